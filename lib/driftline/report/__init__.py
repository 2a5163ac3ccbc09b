"""One self-contained HTML page about a problem: what came in, what was learnt, what it cost.

:class:`Facts` holds the ``ops`` tables as pandas frames; :func:`render` turns them into HTML. Each
section of the page is one module that returns a :class:`~driftline.report.blocks.Section`.
"""

from driftline.report.facts import Facts
from driftline.report.page import render

__all__ = ["Facts", "render"]
