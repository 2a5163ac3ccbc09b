"""spark-submit entry point of `driftline explore`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["explore", *sys.argv[1:]])
