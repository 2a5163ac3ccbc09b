"""spark-submit entry point of `driftline sla`: same options, same effect."""

import sys

from driftline.cli import main

if __name__ == "__main__":
    del sys.path[0]  # this folder: its profile.py is not Python's
    main(["sla", *sys.argv[1:]])
