"""spark-submit entry point of `driftline train`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
