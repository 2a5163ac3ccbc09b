"""What Evidently says of the pairs below, as JSON (kept in ``evidently.json``).

Evidently needs an older plotly than the report does, so it runs in an environment of its own
(``pip install evidently "pandas<3"``); test_evidently.py compares with what it printed.
"""

from __future__ import annotations

import json

import numpy as np


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numbers and words before and after, the same wherever they are drawn."""
    random = np.random.default_rng(1)
    letters = np.array(list("abc"))
    return {
        "normal": (random.normal(size=5000), random.normal(0.3, 1, size=4000)),
        "gamma": (random.gamma(2, 2, size=3000), random.gamma(2, 2.4, size=3000)),
        "same": (random.normal(size=3000), random.normal(size=3000)),
        "words": (
            random.choice(letters, p=[0.5, 0.3, 0.2], size=3000),
            random.choice(letters, p=[0.45, 0.3, 0.25], size=2000),
        ),
        "new word": (
            random.choice(letters, p=[0.6, 0.4, 0.0], size=3000),
            random.choice(letters, p=[0.5, 0.4, 0.1], size=2000),
        ),
        "counts": tuple(random.poisson(mean, size=3000).astype(float) for mean in (1.5, 1.8)),
        "steps": tuple(np.floor(random.gamma(4, size, size=3000) % 35) for size in (3, 3.5)),
        "one far": (random.normal(size=30_000), np.append(random.normal(size=29_999), 9.0)),
        "constant": (np.full(1000, 5.0), random.choice([5.0, 6.0], size=1000)),
    }


def main() -> None:
    from importlib.metadata import version

    import pandas as pd
    from evidently.legacy.calculations import stattests
    from evidently.legacy.core import ColumnType

    found: dict[str, object] = {"version": version("evidently")}
    for name, (before, after) in pairs().items():
        number = before.dtype.kind == "f"
        kind = ColumnType.Numerical if number else ColumnType.Categorical
        tests = [stattests.psi_stat_test, stattests.jensenshannon_stat_test]
        tests += [stattests.wasserstein_stat_test, stattests.ks_stat_test] if number else []
        tests += [] if number else [stattests.chi_stat_test]
        a, b = pd.Series(before), pd.Series(after)
        found[name] = {each.name: float(each.func(a, b, kind, 0.1)[0]) for each in tests}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
