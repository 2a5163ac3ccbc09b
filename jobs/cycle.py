"""spark-submit entry point of `driftline cycle`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["cycle", *sys.argv[1:]])
