"""spark-submit entry point of `driftline monitor`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["monitor", *sys.argv[1:]])
