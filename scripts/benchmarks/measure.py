"""What every benchmark uses: a row of the table, and runs taken in turn."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure: ours against a peer's, in ``unit``; ``ratio`` is ours / peer."""

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    goal: str
    met: bool

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peer


def in_turn(ours: Callable[[], float], peer: Callable[[], float], runs: int) -> tuple[float, float]:
    """Medians of ``runs`` of each, one after the other so that a slow minute hits both."""
    pairs = [(ours(), peer()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
