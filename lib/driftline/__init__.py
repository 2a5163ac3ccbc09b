"""driftline: from raw logs to a model you can trust, and to the day it stops being true."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("driftline")
except PackageNotFoundError:  # from a zip on an executor, where nothing is installed
    __version__ = "unpacked"
