"""spark-submit entry point of `driftline profile`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["profile", *sys.argv[1:]])
