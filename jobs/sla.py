"""spark-submit entry point of `driftline sla`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["sla", *sys.argv[1:]])
