"""spark-submit entry point of `driftline score`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["score", *sys.argv[1:]])
