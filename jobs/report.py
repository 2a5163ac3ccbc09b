"""spark-submit entry point of `driftline report`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
