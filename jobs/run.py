"""spark-submit entry point of `driftline run`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
