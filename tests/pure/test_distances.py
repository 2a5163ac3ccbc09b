"""Statistics equal SciPy's on the data, keep their bounds on sketches, and do not cry wolf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from profiles import compared, file_of, halved, lengths, numeric, words
from scipy import stats
from scipy.spatial.distance import jensenshannon

from driftline import distances, profile, scan
from driftline.drift import Statistic, compare
from driftline.profile import FileProfile, Profile
from driftline.sections import Drift
from driftline.sketches import Distribution
from driftline.verdicts import judged

Floats = npt.NDArray[np.float64]

RULE = Drift(tables=())
Draw = Callable[[np.random.Generator, int], np.ndarray]

SHAPES: dict[str, Draw] = {
    "normal": lambda random, rows: random.normal(size=rows),
    "lognormal": lambda random, rows: random.lognormal(0, 1.5, size=rows),
    "pareto": lambda random, rows: random.pareto(1.5, size=rows),
    "counts": lambda random, rows: random.poisson(2, size=rows).astype(float),
    "mixture": lambda random, rows: np.where(
        random.random(rows) < 0.3, 0.0, random.gamma(2, 3, size=rows)
    ),
    "uniform": lambda random, rows: random.uniform(-1, 1, size=rows),
}


def pair(seed: int, *, most: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    draw = list(SHAPES.values())[seed % len(SHAPES)]
    rows = random.integers(2, most, size=2)
    shift = random.choice([0.0, 0.0, 0.1, 1.0])
    return draw(random, rows[0]), draw(random, rows[1]) * random.choice([1.0, 1.3]) + shift


@pytest.mark.parametrize("seed", range(60))
def test_on_the_data_statistics_are_scipys(seed: int) -> None:
    """Every statistic and chance within 1e-9 of SciPy's, on the same numbers."""
    x, y = pair(seed, most=400)
    a, b = Distribution.of(x), Distribution.of(y)
    near = pytest.approx
    assert distances.ks(a, b) == near(stats.ks_2samp(x, y).statistic, abs=1e-9)
    deviation = float(x.std()) or 1.0
    expected = stats.wasserstein_distance(x, y) / deviation
    assert distances.wasserstein(a, b, deviation) == near(expected, rel=1e-9, abs=1e-9)
    edges = profile.edges(a)
    bins = [-np.inf, *edges, np.inf]
    # bins close on the right, histogram's on the left
    counts = [np.histogram(-each, sorted(-edge for edge in bins))[0][::-1] for each in (x, y)]
    p, q = a.between(edges), b.between(edges)
    assert p == near((counts[0] / len(x)).tolist(), abs=1e-12)
    rows = (len(x), len(y))
    assert distances.js(p, q) == near(float(jensenshannon(p, q, base=2)), abs=1e-9)
    table = np.array(counts)[:, np.sum(counts, axis=0) > 0]
    if table.shape[1] > 1:
        chi = stats.chi2_contingency(table, correction=False)
        assert distances.chi_square(p, q, rows) == near(chi.statistic, rel=1e-9, abs=1e-9)
        chance = distances.chi_square_p(distances.chi_square(p, q, rows), table.shape[1])
        assert chance == near(chi.pvalue, rel=1e-7, abs=1e-9)
        v = stats.contingency.association(table, method="cramer")
        assert distances.cramers_v(p, q, rows) == near(v, abs=1e-9)
    expected = np.abs(np.array(p) - np.array(q)).sum() / 2
    assert distances.total_variation(p, q) == near(expected, abs=1e-12)
    value = distances.ks(a, b)
    effective = rows[0] * rows[1] / sum(rows)
    assert distances.ks_p(value, rows) == near(
        stats.kstwobign.sf(np.sqrt(effective) * value) if value else 1.0, abs=1e-9
    )


def test_total_variation_and_cramers_v_by_hand() -> None:
    assert distances.total_variation([0.5, 0.5], [0.2, 0.8]) == pytest.approx(0.3)
    # 50/50 against 20/80: pooled 35/65, χ² = 2 · 15²/35 + 2 · 15²/65, over 200 rows
    expected = ((2 * 225 / 35 + 2 * 225 / 65) / 200) ** 0.5
    assert distances.cramers_v([0.5, 0.5], [0.2, 0.8], (100, 100)) == pytest.approx(expected)


def test_what_a_side_of_few_rows_lacks_by_hand() -> None:
    """Of four rows two are dealt to each side: each word has both on one with chance 1 in 6."""
    chance = distances.left_out_p({"a": 2}, {"b": 2}, (2, 2))
    expected, variance = 2 * 2 / 6, 2 * 4 * (1 / 6) * (5 / 6)
    assert chance == pytest.approx(stats.norm.sf((2 - expected) / variance**0.5))
    assert distances.left_out_p({"a": 5}, {"a": 5}, (5, 5)) == 1.0
    assert distances.left_out_p({"a": 500}, {"a": 400, "b": 100}, (500, 500)) < 1e-9


def test_eleven_rows_need_not_have_every_hour() -> None:
    """Though none of theirs is there once, of which Good's share would be nothing."""
    before = words(dict(zip("abcde", (3, 2, 2, 2, 2), strict=True)))
    after = words(dict.fromkeys("abcdefghijklmnopqrstuvwx", 4))
    for sides, name in (((before, after), "new"), ((after, before), "lost")):
        found = {e.statistic: e for e in compare({"w": sides[0]}, {"w": sides[1]}, RULE)}
        assert found[name].value > 0.7 and found[name].p > 0.001


def test_cramers_v_of_a_comparison_does_not_hang_on_how_many_rows_there_are() -> None:
    """Of what was added to a large table it would be nothing: each side counts half."""
    for rows in ((100, 100), (10**8, 100)):
        sides = (
            words({"a": round(share * size), "b": size - round(share * size)})
            for share, size in zip((0.5, 0.9), rows, strict=True)
        )
        before, after = sides
        [v] = [s for s in compare({"w": before}, {"w": after}, RULE) if s.statistic == "cramers_v"]
        expected = stats.contingency.association(np.array([[50, 50], [90, 10]]), method="cramer")
        assert v.value == pytest.approx(expected)


# ---- bounds ----------------------------------------------------------------------------------


def test_a_bound_by_hand() -> None:
    """0 … 0.05 against 0.15 … 0.25, and 0.95 … 1 against 0.75 … 0.85."""
    off = ([0.05, 0.05], [0.05, 0.05])
    assert distances.total_variation_bound([0, 1], [0.2, 0.8], off) == pytest.approx(0.1)


def of_shares(p: Sequence[float], q: Sequence[float]) -> dict[str, float]:
    """What is said of shares over the same bins or words; Cramér's V with both sides alike."""
    found = {each.__name__: each(p, q) for each in (distances.psi, distances.js)}
    found["cramers_v"] = distances.cramers_v(p, q, (1, 1))
    return found | {"total_variation": distances.total_variation(p, q)}


def misses(seed: int) -> list[str]:
    """Statistics of a random pair that are further from those of the data than their bound."""
    random = np.random.default_rng(seed)
    x, y = pair(seed, most=30_000)
    files = int(random.integers(1, 12))
    before, after = numeric(x, files=files), numeric(y, files=files)
    found = {each.statistic: each for each in compare({"x": before}, {"x": after}, RULE)}
    a, b = Distribution.of(x), Distribution.of(y)
    exact = {"ks": distances.ks(a, b)}
    if "wasserstein" in found:
        exact["wasserstein"] = distances.wasserstein(a, b, float(x.std()))
    outside = (y < x.min()) | (y > x.max())
    exact["range"] = float(outside.mean())
    if "new" not in found:
        edges = profile.edges(before.distribution)
        p, q = a.between(edges), b.between(edges)
        exact |= of_shares(p, q)
    exact["cardinality"] = abs(len(set(y.tolist())) / len(set(x.tolist())) - 1)
    slack = 1e-9
    return [
        f"{seed} {name}: {found[name].value} ± {found[name].bound}, exact {value}"
        for name, value in exact.items()
        if abs(found[name].value - value) > found[name].bound + slack
    ]


def test_bounds_hold() -> None:
    assert not [miss for seed in range(24) for miss in misses(seed)]


@pytest.mark.slow
def test_bounds_hold_on_a_thousand_pairs() -> None:
    assert not [miss for seed in range(1000, 2000) for miss in misses(seed)]


def worded(rows: np.ndarray, files: int) -> Profile:
    """A column of words in files of unequal size, which list what they can."""
    return profile.merge([words(Counter(part.tolist())) for part in halved(rows, files)])


def unlisted(seed: int) -> list[str]:
    """Statistics of a pair of columns of many words that are further from those of the rows, word
    by word, than their bound; ``new`` and ``lost`` by their definition: Good's share is taken off
    where all that was is listed, and what is ten times as frequent as it may have been counts.
    """
    random = np.random.default_rng(seed)
    tail = random.uniform(1.3, 2.5)
    sizes = random.integers(500, 20_000, size=2)
    x, y = (np.minimum(random.zipf(tail, size=rows), 10**6).astype(str) for rows in sizes)
    if seed % 4 == 1:  # a few words, and each side others that it has about once
        rare = [
            np.char.add(side, np.arange(rows).astype(str))
            for side, rows in zip("xy", sizes, strict=True)
        ]
        often = random.uniform(0.5, 0.95, size=2)
        x, y = (
            np.where(random.random(len(each)) < share, "a", each)
            for share, each in zip(often, rare, strict=True)
        )
    if seed % 3 == 0:
        fresh = np.char.add("n", random.integers(0, random.integers(2, 150), len(y)).astype(str))
        y = np.where(random.random(len(y)) < 0.3, fresh, y)
    files = int(random.integers(1, 10))
    sides = worded(x, files), worded(y, files)
    found = {each.statistic: each for each in compare({"w": sides[0]}, {"w": sides[1]}, RULE)}
    if "new" not in found:
        return []
    before, after = Counter(x.tolist()), Counter(y.tolist())
    words_ = sorted(before | after)
    exact = of_shares(*([side[w] / side.total() for w in words_] for side in (before, after)))
    misses = [
        f"{seed} {name}: {found[name].value} ± {found[name].bound}, {value}"
        for name, value in exact.items()
        if abs(found[name].value - value) > found[name].bound + 1e-9
    ]
    for name, seen, now, was in (("new", x, y, sides[0]), ("lost", y, x, sides[1])):
        before, after = Counter(seen.tolist()), Counter(now.tolist())
        hidden = (was.counts.unlisted + was.counts.excess) / was.filled
        share = sum(
            rows / len(now)
            for word, rows in after.items()
            if word not in before
            or (word not in was.counts.values and rows / len(now) > 10 * hidden)
        )
        if was.counts.complete:
            once = sum(rows == 1 for rows in before.values())
            share = max(0.0, share - once / len(seen))
        off = abs(found[name].value - share)
        if off > found[name].bound + 1e-9:
            misses.append(f"{seed} {name}: {found[name].value} ± {found[name].bound}, {share}")
    return misses


def test_bounds_of_words_hold() -> None:
    assert not [miss for seed in range(60) for miss in unlisted(seed)]


@pytest.mark.slow
def test_bounds_of_words_hold_on_a_thousand_pairs() -> None:
    assert not [miss for seed in range(1000, 2000) for miss in unlisted(seed)]


@pytest.mark.parametrize(
    ("values", "rows", "top"),
    [(1300, (2000, 2000), 1000), (1290, (2000, 1900), 1000), (400, (5000, 20_000), 256)],
)
def test_values_that_a_list_came_short_of_by_chance_are_not_new(
    monkeypatch, values: int, rows: tuple[int, int], top: int
) -> None:
    """The same twice: which values are not listed is luck, and they have more rows elsewhere.

    Also against a list of 256 values, as profiles had once.
    """
    random = np.random.default_rng(values)
    for _ in range(20):
        told = []
        for size, kept in zip(rows, (top, 1000), strict=True):
            monkeypatch.setattr(scan, "TOP", kept)
            drawn = random.integers(0, values, size=size)
            told.append(words(Counter(map(str, drawn.tolist())), name="w"))
        assert any(not each.counts.complete for each in told)
        assert not [
            each for each in judged(compare(*({"w": w} for w in told), RULE)) if each.drifted
        ]


@pytest.mark.parametrize("files", [1, 12])
@pytest.mark.parametrize("values", [300, 1200])
def test_many_values_that_were_replaced_or_changed_places(values: int, files: int) -> None:
    """Also where no list has all of them, and of many files each has others."""
    random = np.random.default_rng(values + files)
    share = popular(values)
    moved = share * np.where(random.random(values) < 0.5, 1 / 3, 3)

    def column(shares: Floats, first: int = 0) -> Profile:
        drawn = first + random.choice(values, p=shares / shares.sum(), size=60_000)
        parts = np.array_split(drawn, files)
        return profile.merge([words(Counter(map(str, each.tolist()))) for each in parts])

    before = column(share)
    for after, drifts in (
        (column(share), False),
        (column(share, values), True),
        (column(moved), True),
    ):
        found = {
            each.statistic: each for each in judged(compare({"w": before}, {"w": after}, RULE))
        }
        assert any(each.drifted for each in found.values()) == drifts
        assert "skipped" not in found
    told, exact = found["total_variation"], np.abs(moved / moved.sum() - share).sum() / 2
    assert told.value == pytest.approx(exact, abs=max(0.02, told.bound))
    assert told.value > 0.6 * exact


def test_words_that_are_not_listed_may_be_others_on_each_side() -> None:
    """4,500 words once each, of which no one is on both sides: nothing is seen of it, and said."""
    sides = (words({"a": 5500} | {f"{side}{n}": 1 for n in range(4500)}) for side in "xy")
    before, after = sides
    found = {each.statistic: each for each in compare({"w": before}, {"w": after}, RULE)}
    assert [found[name].value for name in ("psi", "js", "total_variation", "cramers_v")] == [0] * 4
    assert found["total_variation"].bound == pytest.approx(0.45, abs=0.003)
    for name in ("js", "cramers_v"):
        assert found[name].bound == pytest.approx(0.45**0.5, abs=0.003)
    assert not any(each.drifted for each in judged(list(found.values())))
    rare = {"a": 5000} | {f"{n}": 1 for n in range(5000)}
    [said] = [
        each
        for each in compare({"w": words({"a": 10_000})}, {"w": words(rare)}, RULE)
        if each.statistic == "psi"
    ]  # a word of one row in ten thousand is as good as none
    assert said.value == pytest.approx(distances.psi([1.0, 0.0], [0.5, 0.5]), abs=0.01)
    assert said.value - said.bound <= distances.psi([1.0], [0.5]) + 1e-12
    listed = {f"w{n}": 20 for n in range(200)}
    for each in compare({"w": words(listed)}, {"w": words(listed)}, RULE):
        assert each.bound == 0.0 or each.statistic == "cardinality"


def test_bounds_are_not_idle() -> None:
    """A bound that is never needed says nothing: without it, sketches of large columns miss."""
    y = np.random.default_rng(1).normal(size=(2, 30_000))
    before, after = numeric(y[0]), numeric(y[1])
    [ks] = [s for s in compare({"x": before}, {"x": after}, RULE) if s.statistic == "ks"]
    assert 0 < ks.bound < 0.015
    assert ks.value != distances.ks(Distribution.of(y[0]), Distribution.of(y[1]))


@pytest.mark.parametrize("seed", range(5))
def test_bounds_are_no_wider_than_a_sketch_needs(seed: int) -> None:
    """Spend that rose, of as many customers as a small shop has: js 0.16 by a limit of 0.1."""
    random = np.random.default_rng(seed)
    sides = [random.lognormal(mean, 1.0, size=rows) for mean, rows in ((0, 15_000), (0.4, 2_000))]
    before, after = map(numeric, sides)
    found = {each.statistic: each for each in compare({"x": before}, {"x": after}, RULE)}
    assert 0.14 < found["js"].value < 0.2
    assert found["js"].bound < 0.07
    assert found["js"].p < 1e-8


# ---- verdicts --------------------------------------------------------------------------------


DAY = 86_400


def shipped(random: np.random.Generator, rows: int, span: tuple[int, int]) -> dict[str, Profile]:
    """Times from one day to before another, fewer at night and on the last two days of a week."""
    days = np.arange(*span)
    busy = np.where(days % 7 < 5, 1.0, 0.4)
    hours = 1 + np.sin(np.arange(24) / 24 * np.pi)
    day = random.choice(days, p=busy / busy.sum(), size=rows)
    hour = random.choice(24, p=hours / hours.sum(), size=rows)
    at = day * DAY + hour * 3600 + random.random(rows) * 3600
    parts = {
        part: replace(words(Counter(map(str, values)), name="at", type="timestamp"), part=part)
        for part, values in (("weekday", (day + 3) % 7), ("hour", hour))
    }
    told = (numeric(at, name="at", type="timestamp"), *parts.values())
    return {each.name: each for each in told}


def popular(values: int) -> Floats:
    """Shares of values of which some are several times as frequent as others."""
    found = np.random.default_rng(values).lognormal(0, 0.9, size=values)
    return found / found.sum()


def stores(random: np.random.Generator, rows: int, *, others: int = 0) -> Profile:
    """A column of six hundred values, of which so many are others."""
    drawn = random.choice(600, p=popular(600), size=rows)
    named = Counter(f"s{n + 600 * (n < others)}" for n in drawn.tolist())
    return words(named, name="store")


def table(
    random: np.random.Generator, rows: int, span: tuple[int, int] = (0, 30)
) -> dict[str, Profile]:
    """Eight columns as tables have them, and the hours and weekdays of the one that is of times."""
    x = random.normal(10, 3, size=rows)
    money = random.lognormal(3, 1, size=rows)
    words_ = random.choice(["a", "b", "c", "d"], p=[0.6, 0.3, 0.08, 0.02], size=rows)
    zipf = np.minimum(random.zipf(1.6, size=rows), 10**6)
    return {
        "x": numeric(x, name="x"),
        "money": numeric(money, nulls=rows // 20, name="money"),
        "count": numeric(random.poisson(1.5, size=rows).astype(float), name="count"),
        "word": words(Counter(words_.tolist()), name="word"),
        "page": words(Counter(f"/{n}" for n in zipf.tolist()), name="page"),
        "flag": words(Counter(map(str, random.random(rows) < 0.1)), name="flag"),
        **shipped(random, rows, span),
        "store": stores(random, rows),
    }


def alarms(before: dict[str, Profile], after: dict[str, Profile]) -> list[Statistic]:
    return [each for each in judged(compare(before, after, RULE)) if each.drifted]


def calm(seeds: range) -> float:
    """Share of pairs of samples of the same, of 50 to 20,000 rows and of one to sixty days, one
    after the other, in which anything is called.
    """
    called = 0
    for seed in seeds:
        random = np.random.default_rng(seed)
        rows = np.exp(random.uniform(np.log(50), np.log(20_000), size=2)).astype(int)
        first, last = np.cumsum(np.exp(random.uniform(0, np.log(60), size=2)).astype(int)).tolist()
        before = table(random, rows[0], (0, first))
        called += bool(alarms(before, table(random, rows[1], (first, last))))
    return called / len(seeds)


def test_the_same_is_calm() -> None:
    assert calm(range(100, 140)) <= 0.025


@pytest.mark.slow
def test_a_thousand_pairs_of_the_same_are_calm() -> None:
    assert calm(range(5000, 6000)) <= 0.01


COUNTRIES = {"a": 0.4, "b": 0.25, "c": 0.15, None: 0.1, "d": 0.06, "e": 0.03, "f": 0.01}


def in_segments(random: np.random.Generator, rows: int) -> FileProfile:
    """Twelve columns and parts of a file, its rows in up to seven segments of unequal size."""
    cells = []
    sizes = random.multinomial(rows, list(COUNTRIES.values()))
    for country, size in zip(COUNTRIES, sizes, strict=True):
        columns = table(random, size)
        nulls = random.binomial(size, 0.05)
        columns["money"] = numeric(random.lognormal(3, 1, size - nulls), nulls=nulls, name="money")
        pages = Counter(f"/{n}" for n in np.minimum(random.zipf(1.6, size=size), 10**6))
        columns["page"] = words(pages, name="page")
        told = {} if country is None else {country: size}
        named = words(told, nulls=size - sum(told.values()), name="country")
        parts = [lengths(pages, name="page"), lengths(told, nulls=named.nulls, name="country")]
        if size:
            cells.append(({"country": country}, [*columns.values(), named, *parts]))
    return file_of(cells)


def calm_in_segments(seeds: range) -> float:
    """Share of pairs of samples of the same, of 50 to 20,000 rows, in which anything is called, as
    the job asks: of all rows and of each segment, judged together.
    """
    called = 0
    for seed in seeds:
        random = np.random.default_rng(seed)
        rows = np.exp(random.uniform(np.log(50), np.log(20_000), size=2)).astype(int)
        sides = [in_segments(random, size) for size in rows]
        found, _ = compared([sides[0]], [[sides[1]]], RULE, segments=("country",))
        assert {each.segment for each in found} > {"", "country=a", "country is null"}
        called += any(each.drifted for each in found)
    return called / len(seeds)


def test_the_same_is_calm_in_segments() -> None:
    assert calm_in_segments(range(300, 320)) == 0.0


@pytest.mark.slow
def test_a_thousand_pairs_of_the_same_are_calm_in_segments() -> None:
    assert calm_in_segments(range(9000, 10_000)) <= 0.01


ROWS = 5000
"""At this size each of the changes below is found."""


def changed(name: str, random: np.random.Generator) -> tuple[dict[str, Profile], str]:
    """A table with one change of a stated size, and the column that has it."""
    rows = ROWS
    x = random.normal(10, 3, size=rows)
    money = random.lognormal(3, 1, size=rows)
    after = table(random, rows)
    if name == "mean + 0.4 deviations":
        return after | {"x": numeric(x + 1.2, name="x")}, "x"
    if name == "deviation × 1.5":
        return after | {"x": numeric((x - 10) * 1.5 + 10, name="x")}, "x"
    if name == "a new category of 6 %":
        counts = Counter(
            random.choice(["a", "b", "c", "e"], p=[0.58, 0.28, 0.08, 0.06], size=rows).tolist()
        )
        return after | {"word": words(counts, name="word")}, "word"
    if name == "nulls 0 → 5 %":
        gone = random.binomial(rows, 0.05)
        return after | {"x": numeric(x[gone:], nulls=gone, name="x")}, "x"
    if name == "unit: dollars → cents":
        return after | {"money": numeric(money * 100, nulls=rows // 20, name="money")}, "money"
    if name == "180 of 600 values replaced":
        return after | {"store": stores(random, rows, others=180)}, "store"
    assert name == "two columns swapped"
    return after | {"x": numeric(money, name="x"), "money": numeric(x, name="money")}, "x"


CHANGES = [
    "mean + 0.4 deviations",
    "deviation × 1.5",
    "a new category of 6 %",
    "nulls 0 → 5 %",
    "unit: dollars → cents",
    "two columns swapped",
    "180 of 600 values replaced",
]


def share_found(change: str, seeds: Sequence[int]) -> float:
    found = 0
    for seed in seeds:
        random = np.random.default_rng(seed)
        before = table(random, ROWS)
        after, column = changed(change, random)
        found += column in {each.column for each in alarms(before, after)}
    return found / len(seeds)


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_found(change: str) -> None:
    assert share_found(change, range(10)) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_of_two_hundred_changes_all_but_two_are_found(change: str) -> None:
    assert share_found(change, range(7000, 7200)) >= 0.99
