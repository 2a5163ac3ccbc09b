"""spark-submit entry point of `driftline features`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["features", *sys.argv[1:]])
