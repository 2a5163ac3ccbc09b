"""How good predictions are, and how good they should be: metrics of counts a score.

Predictions of one period are kept as *cells*: how many rows have about this score, and how many of
those with a known label have which. Cells of any two parts of a period add up to those of both.
What the labels say (*real*) and what the scores promise (*expected*) are the same metrics: of the
counts that came, or of the counts that calibrated scores let expect, CBPE (Guillory et al. 2021,
"Predicting with Confidence on Unseen Distributions"; as NannyML's documentation defines it).

The promise rests on one assumption: a score means what it meant when the model was judged. It holds
when only the mix of rows changes and breaks when what they do changes (concept drift), which
nothing but labels can tell: see :func:`assumption`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from driftline.evaluation import Interval
from driftline.metrics import Floats
from driftline.resampling import RESAMPLES

BINS = 100
"""Cells a unit of log-odds: scores are told apart to 1 % of their odds. Of equal width in scores,
nearly all of a rare label's would be one cell, in which nobody is ranked."""

LEAST = 1e-6
"""Scores nearer to 0 or 1 are taken for this far away."""

_FEWEST = 10
"""Of fewer labels of a class the bootstrap draws the same ones again: its intervals are too narrow
to tell a model that is worse."""

_PENALTY = 1e-6
_EPSILON = float(np.finfo(np.float64).eps)
_DECILES = 10


@dataclass(frozen=True)
class Cells:
    """Rows by score: arrays (n,), in ascending order of score.

    ``called`` is 1 where the answer given was 1; ``rows`` counts all rows of a cell, ``ones`` and
    ``zeros`` those whose label is known.
    """

    score: Floats
    called: Floats
    rows: Floats
    ones: Floats
    zeros: Floats

    @property
    def total(self) -> int:
        """All rows."""
        return int(self.rows.sum())

    @property
    def labelled(self) -> int:
        """Rows whose label is known."""
        return int(self.ones.sum() + self.zeros.sum())


def cells(found: Sequence[tuple[float, float, int, int, int]]) -> Cells:
    """From (sum of scores, answer, rows, labelled rows, labelled 1), one a cell."""
    sums, called, rows, labelled, ones = (
        np.array(column, np.float64) for column in zip(*found, strict=True)
    )
    score = sums / rows
    order = np.argsort(score, kind="stable")
    kept = (each[order] for each in (score, called, rows, ones, labelled - ones))
    return Cells(*kept)


def measured(score: Floats, called: Floats, ones: Floats, zeros: Floats) -> dict[str, Floats]:
    """Metrics of counts: ``ones`` and ``zeros`` are (…, n), each metric (…).

    On cells of one score each they equal :mod:`driftline.metrics` on the rows; the area under the
    ROC curve is the share of pairs in order (Mann & Whitney 1947), a tie counts half.
    """
    n1, n0 = ones.sum(-1), zeros.sum(-1)
    n = n1 + n0
    below = np.cumsum(zeros, -1) - zeros
    hits = np.cumsum(ones[..., ::-1], -1)
    taken = np.cumsum((ones + zeros)[..., ::-1], -1)
    tp, fp = (ones * called).sum(-1), (zeros * called).sum(-1)
    fn = n1 - tp
    p = np.clip(score, _EPSILON, 1 - _EPSILON)
    tenth = np.minimum((score * _DECILES).astype(int), _DECILES - 1)
    gaps = (ones - score * (ones + zeros)) @ np.eye(_DECILES)[tenth]
    return {
        "roc_auc": _ratio(((below + zeros / 2) * ones).sum(-1), n1 * n0, math.nan),
        "pr_auc": _ratio((ones[..., ::-1] * _ratio(hits, taken)).sum(-1), n1, math.nan),
        "log_loss": -_ratio(ones @ np.log(p) + zeros @ np.log(1 - p), n),
        "brier": _ratio(ones @ (1 - score) ** 2 + zeros @ score**2, n),
        "accuracy": _ratio(tp + n0 - fp, n),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, n1),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "calibration_error": _ratio(np.abs(gaps).sum(-1), n),
        "share_of_1": _ratio(n1, n),
        "false_alarms": _ratio(fp, n),
        "misses": _ratio(fn, n),
    }


def _ratio(part: Floats, whole: Floats, otherwise: float = 0.0) -> Floats:
    part, whole = np.broadcast_arrays(part, whole)
    out = np.full(part.shape, otherwise)
    return np.asarray(np.divide(part, whole, out=out, where=whole > 0))


def real(found: Cells, *, seed: int) -> dict[str, Interval]:
    """What the labels say, with 95 % bootstrap intervals (Efron 1979); needs a labelled row.

    Drawing rows again from cells is drawing their counts from a multinomial distribution.
    """
    both = np.concatenate([found.ones, found.zeros])
    drawn = np.random.default_rng(seed).multinomial(
        found.labelled, both / both.sum(), size=RESAMPLES
    )
    ones, zeros = np.split(drawn.astype(np.float64), 2, axis=1)
    return _intervals(found, (found.ones, found.zeros), (ones, zeros))


def expected(found: Cells, calibrated: Calibrated, *, seed: int) -> dict[str, Interval]:
    """What the scores promise (CBPE), and between what the labels should then come out.

    Each row is 1 with its calibrated probability, so that cells of n rows hold n·p ones: expected
    true and false positives and negatives, from which the metrics are taken. The interval draws
    what the scores may mean as well, rows anew, and then their labels: of a few held-out rows the
    meaning is known worse than a large period's labels tell it.
    """
    p = calibrated(found.score)
    random = np.random.default_rng(seed)
    rows = random.multinomial(found.total, found.rows / found.rows.sum(), size=RESAMPLES)
    ones = random.binomial(rows, calibrated.drawn(found.score, random, RESAMPLES))
    point = (found.rows * p, found.rows * (1 - p))
    drawn = (ones.astype(np.float64), (rows - ones).astype(np.float64))
    return _intervals(found, point, drawn)


def _intervals(
    found: Cells, point: tuple[Floats, Floats], drawn: tuple[Floats, Floats]
) -> dict[str, Interval]:
    values = measured(found.score, found.called, *point)
    spread = measured(found.score, found.called, *drawn)
    made = {}
    for name, value in values.items():
        some = spread[name][np.isfinite(spread[name])]
        if 2 * len(some) < len(spread[name]):  # most draws have one class only: who could rank it
            made[name] = Interval(math.nan, math.nan, math.nan)
            continue
        low, high = np.percentile(some, [2.5, 97.5])
        made[name] = Interval(float(value), float(low), float(high))
    return made


@dataclass(frozen=True)
class Calibrated:
    """What a score means: logit p = a + b · odds of the score, and how well the two are known."""

    line: tuple[float, float] | None = None
    """a and b; None where they could not be learnt, and a score means itself."""
    covariance: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))
    half: float = LEAST
    """Half a held-out row, as a share of those of a point: what is added to scores, see
    :func:`calibration`."""

    def __call__(self, score: Floats) -> Floats:
        """Probabilities of scores."""
        if self.line is None:
            return score
        return np.asarray(expit(self.line[0] + self.line[1] * _odds(score, self.half)))

    def drawn(self, score: Floats, random: np.random.Generator, times: int) -> Floats:
        """Probabilities as they may be just as well, (times, n)."""
        if self.line is None:
            return np.tile(score, (times, 1))
        lines = random.multivariate_normal(self.line, self.covariance, size=times)
        return np.asarray(expit(lines[:, :1] + lines[:, 1:] * _odds(score, self.half)))


def calibration(points: Sequence[tuple[float, float, int]]) -> Calibrated:
    """What a score means, from (mean score, share of label 1, rows) of held-out rows.

    The logistic line logit p = a + b · log odds of the score (Cox 1958; Platt 1999): two numbers,
    so that few rows do for it. Log odds are empirical ones (Haldane 1956; Cox 1970, "Analysis of
    Binary Data"), half a row of a point being added to either side: no rows of a forest that are
    given 0 are as sure as that says, and their plain log odds would turn the line. Without points,
    or where scores do not rank, a score means itself.
    """
    kept = [each for each in points if each[2] > 0]
    if len(kept) < 2:
        return Calibrated()
    from sklearn.linear_model import LogisticRegression

    score, share, rows = (np.array(column, np.float64) for column in zip(*kept, strict=True))
    half = 0.5 / float(rows.mean())
    odds = _odds(score, half)
    x = np.tile(odds, 2).reshape(-1, 1)
    weight = np.concatenate([rows * share, rows * (1 - share)])
    label = np.repeat([1, 0], len(rows))
    if not (weight[: len(rows)].any() and weight[len(rows) :].any()):
        return Calibrated()
    # Next to no penalty: it keeps the line finite where the scores part the labels entirely.
    line = LogisticRegression(C=1 / _PENALTY, max_iter=1000).fit(x, label, sample_weight=weight)
    intercept, slope = float(line.intercept_[0]), float(line.coef_[0, 0])
    if slope <= 0:
        return Calibrated()
    p = expit(intercept + slope * odds)
    both = np.stack([np.ones_like(odds), odds])
    known = (both * (rows * p * (1 - p))) @ both.T + _PENALTY * np.eye(2)  # Fisher's information
    (aa, ab), (ba, bb) = np.linalg.inv(known).tolist()
    return Calibrated((intercept, slope), ((aa, ab), (ba, bb)), half)


def _odds(score: Floats, half: float) -> Floats:
    """Log odds that end at half a row: clipping there instead would rank no rare label's scores."""
    return np.asarray(np.log((score + half) / (1 - score + half)))


@dataclass(frozen=True)
class Assumption:
    """Whether scores still mean what they meant, on rows whose labels came."""

    holds: bool
    words: str


def assumption(
    promised: Mapping[str, Interval],
    came: Mapping[str, Interval],
    names: Sequence[str],
    *,
    drop: float,
) -> Assumption:
    """Compare what was expected of a period with what its labels say.

    Broken where one of the metrics (the problem's own, and how many labels are 1, or of a
    regression how far they are from the scores on average) is further off than ``drop`` and than
    chance explains (three standard errors of both): then what rows do has changed, not only which
    rows there are, and what scores promise can be believed no longer. How many labels are 1 may
    not be off by half either, which for a rare label is less than ``drop``.
    """
    broken = []
    told = [name for name in names if name in promised and name in came]  # not of one class, say
    for name in told:
        if gap(name, promised, came, drop=drop):
            broken.append(
                f"{name} {promised[name].value:.3f} expected, {came[name].value:.3f} came"
            )
    if broken:
        return Assumption(False, "concept drift: " + "; ".join(broken))
    return Assumption(True, f"{', '.join(told)} as expected")


def gap(
    name: str, promised: Mapping[str, Interval], came: Mapping[str, Interval], *, drop: float
) -> float:
    """By how much more of a metric came than was promised; 0 where it is within ``drop``, or
    chance. How many labels are 1 may not be off by half, either.
    """
    share = promised[name].value
    rare = min(share, 1 - share) / 2 if name == "share_of_1" else drop
    return off(promised[name], came[name], drop=min(drop, rare))


def off(promised: Interval, came: Interval, *, drop: float) -> float:
    """By how much more came than was promised; 0 where it is within ``drop``, or chance."""
    found = came.value - promised.value
    chance = 3 * math.hypot(error(came), error(promised))
    return found if abs(found) > max(drop, chance) else 0.0


def error(found: Interval) -> float:
    """The standard error that a 95 % interval stands for."""
    return (found.high - found.low) / (2 * 1.96)


def weighty(came: Mapping[str, Interval], labelled: int) -> dict[str, Interval]:
    """Of what labels say, what a model may be judged by: where they are :func:`few`, how many of
    them are 1 alone.
    """
    if not few(came, labelled):
        return dict(came)
    return {name: each for name, each in came.items() if name == "share_of_1"}


def few(came: Mapping[str, Interval], labelled: int) -> str:
    """Why so many labels cannot tell how well rows are ranked; empty where they can."""
    if "share_of_1" not in came:
        return "" if labelled >= _FEWEST else f"{labelled} labels are too few to judge by"
    ones = round(came["share_of_1"].value * labelled)
    if min(ones, labelled - ones) >= _FEWEST:
        return ""
    return f"{ones:,} of {labelled:,} labels are 1: too few of a class to judge the metric by"


def residuals(found: Mapping[str, float]) -> dict[str, Interval]:
    """RMSE, MAE and bias of a regression from sums over ``n`` labelled rows: of errors (``e``:
    score − label), their sizes (``e1``), squares (``e2``) and fourth powers (``e4``).
    """
    n = found["n"]

    def mean(first: str, second: str) -> tuple[float, float]:
        value = found[first] / n
        return value, math.sqrt(max(found[second] / n - value**2, 0.0) / n)

    return moments(mean("e", "e2"), mean("e1", "e2"), mean("e2", "e4"))


def moments(
    bias: tuple[float, float], size: tuple[float, float], square: tuple[float, float]
) -> dict[str, Interval]:
    """Metrics from the mean error, absolute and squared error, each with its standard error.

    95 % intervals are normal, of a mean and, by the delta method, of the root of one.
    """
    low, high = (math.sqrt(max(square[0] + 1.96 * off, 0.0)) for off in (-square[1], square[1]))
    return {"rmse": Interval(math.sqrt(square[0]), low, high)} | {
        name: Interval(value, value - 1.96 * off, value + 1.96 * off)
        for name, (value, off) in (("mae", size), ("bias", bias))
    }
