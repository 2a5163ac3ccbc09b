"""spark-submit entry point of `driftline ingest`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    main(["ingest", *sys.argv[1:]])
