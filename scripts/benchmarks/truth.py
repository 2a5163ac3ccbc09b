"""How good champions are: on the simulated shop beside what its logs can tell at most, on public
data beside the best single feature.

The shop has no dirt, so that rows and labels are those of its truth. Public data are read where
they lie in data/ (README, "On real data"); those that do not are said to be missing.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from deltalake import DeltaTable
from measure import Row

from driftline import metrics
from driftline.problem import load_problem
from driftline.simulate import Shop, process, simulate
from driftline.simulate.posterior import no_order_given_logs

ROOT = Path(__file__).parents[2]
MONTHS = 12
PUBLIC = ("online_retail", "cdnow", "cdnow_spend", "weblog", "adult")


def rows(quick: bool) -> list[Row]:
    """Each problem through ingest, validate, features and train; the metric on its test rows."""
    found = [_shop(3000 if quick else 10_000)]
    for name in PUBLIC:
        sources = load_problem(ROOT / "conf" / f"{name}.yaml").sources.values()
        missing = [each.path for each in sources if not any((ROOT / "data").glob(each.path))]
        if missing:
            print(f"{name} is left out: there is no data/{missing[0]}")
        else:
            found.append(_public(name))
    return found


def _shop(customers: int) -> Row:
    """How much of the way from a coin to what the logs can tell the champion goes."""
    shop = Shop(customers=customers)
    with tempfile.TemporaryDirectory() as scratch:
        simulate(shop, Path(scratch, "data", "shop"), months=MONTHS)
        measured, tables = _run("churn", Path(scratch))
        features = DeltaTable(str(tables / "gold" / "features")).to_pandas()
    value, low, high = measured["model"]
    labelled = features[features["label"].notna()]
    test = labelled[labelled["as_of"] == labelled["as_of"].max()].sort_values("customer_id")
    day = (test["as_of"].iloc[0].date() - shop.start).days
    # A month more than was delivered: what came of the last days is not asked, who came before is.
    months = list(process.months_of(shop, MONTHS))
    who, silent = no_order_given_logs(shop, months, day)
    if [f"c{each:06d}" for each in who] != test["customer_id"].tolist():
        raise RuntimeError("the test rows are not the customers of the truth")
    most = metrics.roc_auc(test["label"].to_numpy(), silent)
    share = (value - 0.5) / (most - 0.5)
    name = f"shop of {customers:,}: roc_auc - 0.5 [{low - 0.5:.3f}, {high - 0.5:.3f}]"
    peer = "all that its logs can tell"
    return Row(name, "1", value - 0.5, most - 0.5, peer, ">= 0.95", bool(share >= 0.95))


def _public(name: str) -> Row:
    """The champion beside the best single feature on the same rows."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "data").symlink_to(ROOT / "data")
        measured, _ = _run(name, Path(scratch))
    metric = load_problem(ROOT / "conf" / f"{name}.yaml").train.metric
    value, low, high = measured["model"]
    peer = measured["best_feature"][0]
    above = metric in ("roc_auc", "pr_auc")
    met = high >= peer if above else low <= peer
    name = f"{name}: {metric} [{low:.3f}, {high:.3f}]"
    return Row(name, "1", value, peer, "best single feature", "interval reaches it", bool(met))


def _run(name: str, folder: Path) -> tuple[dict[str, tuple[float, float, float]], Path]:
    """(model → its metric on the test rows and both ends of its interval, the tables)."""
    problem = ROOT / "conf" / f"{name}.yaml"
    program = str(Path(sys.executable).with_name("driftline"))
    command = [program, "run", "--problem", str(problem)]
    command += ["--env", "small", "--stages", "ingest,validate,features,train"]
    command += ["--data", str(folder / "data"), "--warehouse", str(folder / "tables")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    print(done.stdout)
    tables = folder / "tables" / name
    measured = DeltaTable(str(tables / "ops" / "evaluations")).to_pandas()
    metric = load_problem(problem).train.metric
    kept = measured[(measured["part"] == "test") & (measured["metric"] == metric)]
    spans = {each.model: (each.value, each.low, each.high) for each in kept.itertuples()}
    return {model: tuple(np.round(span, 6)) for model, span in spans.items()}, tables
