"""spark-submit entry point of `driftline validate`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["validate", *sys.argv[1:]])
