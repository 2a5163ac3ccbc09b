"""Numbers, times and names as a person writes them; no line breaks between number and unit."""

from __future__ import annotations

import io
import math
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from driftline.metrics import SMALLER_IS_BETTER

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}

MISSING = "—"
"""Stands where there is no value."""

_SPACE = "\u00a0"

_METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "log_loss": "log loss",
    "brier": "Brier score",
    "f1": "F1",
    "precision_weighted": "precision, both labels by rows",
    "recall_weighted": "recall, both labels by rows",
    "f1_weighted": "F1, both labels by rows",
    "lift_10": "lift of the first tenth",
    "median_error": "median error",
    "error_90": "error that 90 % stay below",
    "psi": "PSI",
    "ks": "KS",
    "js": "JS",
    "null_rate": "null rate",
    "new": "new categories",
    "lost": "lost categories",
    "cramers_v": "Cramér's V",
    "total_variation": "total variation",
    "wasserstein": "Wasserstein",
}


def count(value: float) -> str:
    """``12,345``"""
    return f"{round(value):,}"


def plural(value: float, one: str, many: str = "") -> str:
    """``1 row``, ``2 rows``"""
    return f"{count(value)} {one if round(value) == 1 else many or one + 's'}"


def decimal(value: float | None) -> str:
    """``0.812``, ``45.2``, ``1,235``; ``—`` for a missing one."""
    if value is None or not math.isfinite(value):
        return MISSING
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    if magnitude >= 1000:
        return f"{value:,.0f}"
    if magnitude >= 100:
        return f"{value:.1f}"
    if magnitude >= 10:
        return f"{value:.2f}"
    if magnitude < 0.001:
        return f"{value:.1g}"
    return f"{value:.3f}"


def spread(mean: float | None, deviation: float | None) -> str:
    """``0.801 ± 0.006``, both with as many digits after the point."""
    if mean is None or deviation is None:
        return decimal(mean)
    _, _, digits = decimal(mean).partition(".")
    return f"{decimal(mean)} ± {deviation:,.{len(digits)}f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """``0.812 [0.790, 0.834]``"""
    return f"{decimal(value)} {brackets(low, high)}".rstrip()


def brackets(low: float | None, high: float | None) -> str:
    """``[0.790, 0.834]``; nothing without both ends."""
    return "" if low is None or high is None else f"[{decimal(low)}, {decimal(high)}]"


def share(value: float) -> str:
    """``12.3 %``; some is never ``0 %``, and not quite all is never ``100 %``."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return f"under{_SPACE}0.1{_SPACE}%"
    if 99.9 < percent < 100:
        return f"over{_SPACE}99.9{_SPACE}%"
    return f"{percent:.1f}".removesuffix(".0") + f"{_SPACE}%"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``1 min 12 s``, ``2 h 5 min``"""
    whole = round(seconds)
    minutes = round(seconds / 60)
    if seconds < 9.95:
        parts = [f"{seconds:.1f}", "s"]
    elif whole < 60:
        parts = [f"{whole}", "s"]
    elif whole < 3600:
        parts = [f"{whole // 60}", "min", f"{whole % 60}", "s"]
    else:
        parts = [f"{minutes // 60:,}", "h", f"{minutes % 60}", "min"]
    return _SPACE.join(parts)


def money(amount: float, currency: str) -> str:
    """``€ 12.30``; amounts below one keep two significant digits: ``€ 0.0031``."""
    sign = _SIGNS.get(currency, currency)
    if amount == 0 or abs(amount) >= 0.995:
        return f"{sign}{_SPACE}{amount:,.2f}"
    places = max(2, 1 - math.floor(math.log10(abs(amount))))
    return f"{sign}{_SPACE}{amount:.{min(places, 8)}f}"


def size(amount: float) -> str:
    """``12.3 MB``, in powers of ten."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    places = 0 if unit == "B" or amount >= 99.5 else 1
    return f"{amount:.{places}f}{_SPACE}{unit}"


def when(moment: datetime | None) -> str:
    """``14 May 2025, 09:12 UTC``; a time without a zone is UTC."""
    if moment is None:
        return MISSING
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def day(moment: Any) -> str:
    """``14 May 2025`` for a date or a time; anything else as it is."""
    return f"{moment.day} {moment:%b %Y}" if hasattr(moment, "strftime") else str(moment)


def name(word: str) -> str:
    """``random_forest`` → ``random forest``"""
    return word.replace("_", " ")


def capital(sentence: str) -> str:
    """The first letter in upper case, the others untouched."""
    return sentence[:1].upper() + sentence[1:]


def metric(word: str) -> str:
    """``roc_auc`` → ``ROC AUC``"""
    return _METRICS.get(word, name(word))


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``"""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def better(word: str, one: float, other: float) -> bool:
    """Whether ``one`` is the better value of the metric."""
    return one < other if smaller_is_better(word) else one > other


def smaller_is_better(word: str) -> bool:
    """Whether the metric is an error."""
    return word in SMALLER_IS_BETTER


def parameters(values: dict[str, Any]) -> str:
    """``maxDepth 6, numTrees 40``"""
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "defaults"


def short(value: float) -> str:
    """``0.2``: a number that somebody chose."""
    return f"{value:g}"


def plain(grid: Grid, width: int = 160) -> str:
    """A grid as plain text, also where nobody's terminal is; what is wider is folded."""
    out = io.StringIO()
    Console(file=out, width=width, no_color=True, markup=False).print(grid)
    return "\n".join(each.rstrip() for each in out.getvalue().rstrip().split("\n"))
