"""spark-submit entry point of `driftline drift`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["drift", *sys.argv[1:]])
