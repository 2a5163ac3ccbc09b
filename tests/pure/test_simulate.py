"""The shop: same bytes every time, every line accounted for, customers who live as the truth says.

Deliveries are read back here with nothing but `re`, `json` and `csv`.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from driftline.simulate import Shop, Written, simulate
from driftline.simulate.posterior import no_order_given_logs
from driftline.simulate.process import (
    BAD_EXPERIENCE,
    COOLING,
    ENGAGED,
    FAILED,
    LAPSED,
    ORDERED,
    live_month,
    months_of,
    no_order_probability,
    season,
)

DIRTY = Shop(
    customers=400,
    malformed=0.05,
    duplicates=0.04,
    late=0.06,
    schema_change_month=2,
    covariate_drift_month=2,
    concept_drift_month=2,
)
ORDER_FIELDS = {"order_id", "customer_id", "time", "amount", "items", "category", "channel"}

COMBINED = re.compile(
    r"(?P<host>[\d.]+) - (?P<user>-|c\d{6,}) "
    r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<method>GET|POST) (?P<path>/[^ "]*) HTTP/1\.1" (?P<status>\d{3}) (?P<size>\d+|-) '
    r'"(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dirty")
    simulate(DIRTY, out, months=4)
    return out


def log_line(line: bytes) -> dict[str, str] | None:
    try:
        found = COMBINED.fullmatch(line.decode())
    except UnicodeDecodeError:
        return None
    return found.groupdict() if found else None


def order(line: bytes) -> dict[str, object] | None:
    try:
        fields = json.loads(line.decode())
    except ValueError:
        return None
    kinds = {"order_id": str, "customer_id": str, "amount": float, "items": int}
    fine = all(isinstance(fields.get(name), kind) for name, kind in kinds.items())
    return fields if fine else None


def lines_of(path: Path) -> list[bytes]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return content.split(b"\n")[:-1]


def day_of(path: Path) -> str:
    return path.name[:10]


def orders_under(out: Path) -> pd.DataFrame:
    """One row per readable order line: its fields, the day of its file; resent files left out."""
    rows = [
        {**fields, "file_day": day_of(path)}
        for path in sorted((out / "orders").glob("*[0-9].ndjson"))
        for line in lines_of(path)
        if (fields := order(line))
    ]
    return pd.DataFrame(rows)


def truth(out: Path, table: str) -> pd.DataFrame:
    return pd.read_parquet(out / "truth" / table)


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_same_shop_writes_same_bytes_however_the_months_are_split(
    dirty: Path, tmp_path: Path
) -> None:
    simulate(DIRTY, tmp_path, first_month=2, months=2, processes=2)
    simulate(DIRTY, tmp_path, first_month=1, months=1)
    simulate(DIRTY, tmp_path, first_month=0, months=1, processes=1)
    assert digests(tmp_path) == digests(dirty)


def test_another_seed_writes_other_files(dirty: Path, tmp_path: Path) -> None:
    simulate(replace(DIRTY, seed=8), tmp_path, months=1)
    assert set(digests(tmp_path).values()) & set(digests(dirty).values()) == set()


def test_writing_over_another_shop_leaves_nothing_of_it(dirty: Path, tmp_path: Path) -> None:
    simulate(replace(DIRTY, seed=8), tmp_path, months=4)
    simulate(DIRTY, tmp_path, months=4)
    assert digests(tmp_path) == digests(dirty)


def test_a_planned_change_alters_no_earlier_byte(dirty: Path, tmp_path: Path) -> None:
    calm = replace(
        DIRTY, schema_change_month=None, covariate_drift_month=None, concept_drift_month=None
    )
    simulate(calm, tmp_path, months=3)
    changed, unchanged = digests(dirty), digests(tmp_path)
    before = {name for name in unchanged if "2024-01" in name or "2024-02" in name}
    assert len(before) == 2 * (31 + 29) + 2 + 2 + 2 * 5
    assert {name for name in before if changed[name] != unchanged[name]} == set()
    since = {name for name in unchanged if "2024-03" in name}
    same = {name for name in since if changed.get(name) == unchanged[name]}
    # What is true when the month begins: the same people, and none of them taken yet.
    assert same == {"truth/churn/2024-03.parquet"}


def test_layout_has_one_file_a_day_and_nothing_unfinished(dirty: Path) -> None:
    days = [(date(2024, 1, 1) + timedelta(n)).isoformat() for n in range(31 + 29 + 31 + 30)]
    assert sorted(p.name for p in (dirty / "access").iterdir()) == [f"{d}.log.gz" for d in days]
    ordinary = sorted(p.name for p in (dirty / "orders").iterdir() if ".resent" not in p.name)
    assert ordinary == [f"{d}.ndjson" for d in days]
    months = ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert sorted(p.name for p in (dirty / "customers").iterdir()) == [f"{m}.csv" for m in months]
    assert list(dirty.rglob(".*")) == []


def test_exactly_the_planted_lines_do_not_parse(dirty: Path) -> None:
    broken = {
        (str(path.relative_to(dirty)), number)
        for folder, parse in (("access", log_line), ("orders", order))
        for path in (dirty / folder).iterdir()
        for number, line in enumerate(lines_of(path), start=1)
        if parse(line) is None
    }
    dirt = truth(dirty, "dirt")
    planted = dirt[dirt.kind == "malformed"]
    assert broken == set(zip(planted.file, planted.line, strict=True))
    in_log = planted.file.str.startswith("access/")
    assert set(planted.detail[in_log]) == {"truncated", "bad_quoting", "invalid_utf8", "wrong_type"}
    assert set(planted.detail[~in_log]) == set(planted.detail[in_log]) | {"broken_json"}
    lines = truth(dirty, "files").set_index("file").lines
    assert in_log.sum() / lines.filter(like="access/").sum() == pytest.approx(0.05, abs=0.005)


def test_every_line_is_clean_or_planted(dirty: Path) -> None:
    files = truth(dirty, "files").set_index("file")
    deliveries = [p for name in ("access", "orders", "customers") for p in (dirty / name).iterdir()]
    counted = {str(path.relative_to(dirty)): len(lines_of(path)) for path in deliveries}
    assert counted == files.lines.to_dict()
    per_file = truth(dirty, "dirt").groupby(["file", "kind"]).size().unstack(fill_value=0)
    per_file = per_file.reindex(files.index, fill_value=0)
    assert per_file[["malformed", "late", "duplicate"]].equals(
        files[["malformed", "late", "duplicate"]].rename_axis(columns="kind")
    )
    # What is not planted is a readable order, once, in the file of its own day.
    dirt = truth(dirty, "dirt")
    planted = set(zip(dirt.file, dirt.line, strict=True))
    for path in (dirty / "orders").glob("*[0-9].ndjson"):
        for number, line in enumerate(lines_of(path), start=1):
            if (f"orders/{path.name}", number) not in planted:
                assert str(order(line)["time"]).startswith(day_of(path))  # type: ignore[index]


def test_duplicates_are_as_planted(dirty: Path) -> None:
    times = Counter(orders_under(dirty).order_id)
    dirt = truth(dirty, "dirt")
    first_files = ~dirt.file.str.contains("resent")
    planted = dirt[(dirt.kind == "duplicate") & first_files].order_id
    assert {order_id for order_id, n in times.items() if n > 1} == set(planted)
    assert max(times.values()) == 2
    assert len(planted) / len(times) == pytest.approx(0.04, abs=0.015)


def test_the_copy_comes_after_the_original(dirty: Path) -> None:
    dirt = truth(dirty, "dirt")
    copies = dirt[(dirt.kind == "duplicate") & ~dirt.file.str.contains("resent")]
    same_day = 0
    for copy in copies.itertuples():
        line = lines_of(dirty / copy.file)[copy.line - 1]
        happened = json.loads(line)["time"][:10]
        original = lines_of(dirty / f"orders/{happened}.ndjson")
        assert line in original
        if copy.file == f"orders/{happened}.ndjson":
            same_day += 1
            assert original.index(line) < copy.line - 1
    assert 0 < same_day < len(copies)


def test_late_orders_are_as_planted_across_months(dirty: Path) -> None:
    found = orders_under(dirty)
    delay = (pd.to_datetime(found.file_day) - pd.to_datetime(found.time.str[:10])).dt.days
    dirt = truth(dirty, "dirt")
    dirt = dirt[~dirt.file.str.contains("resent")]
    late = dirt[dirt.kind == "late"]
    copies = set(dirt[dirt.kind == "duplicate"].order_id)
    once = found[(delay > 0) & ~found.order_id.isin(copies)]
    assert set(once.order_id) == set(late.order_id)
    assert delay.min() == 0 and delay.max() == 10
    assert (late.file.str[12:14] != late.order_id.str[4:6]).any()
    assert len(late) / len(found) == pytest.approx(0.06, abs=0.015)


def test_one_file_a_month_is_sent_again(dirty: Path) -> None:
    files = truth(dirty, "files").dropna(subset="resent_of")
    assert len(files) == 4
    for again, first in zip(files.file, files.resent_of, strict=True):
        assert (dirty / again).read_bytes() == (dirty / first).read_bytes()
    assert len(list((dirty / "orders").glob("*.resent.ndjson"))) == 4


def test_counts_returned_are_counts_on_disk(dirty: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    written = simulate(DIRTY, tmp_path, months=4, on_progress=heard.append)
    files = truth(dirty, "files")
    first = files[files.resent_of.isna()]
    on_disk = [path for path in dirty.rglob("*") if path.is_file()]
    assert written == Written(
        files=len(on_disk),
        log_lines=int(files.lines[files.file.str.startswith("access/")].sum()),
        orders=int(first.lines[first.file.str.startswith("orders/")].sum()),
        customers=len(lines_of(dirty / "customers/2024-04.csv")) - 1,
        bytes=sum(path.stat().st_size for path in on_disk),
        dirt={
            "malformed": int(first.malformed.sum()),
            "late": int(first.late.sum()),
            "duplicate": int(first.duplicate.sum()),
            "resent_file": 4,
        },
    )
    assert [sentence[:7] for sentence in heard] == ["2024-01", "2024-02", "2024-03", "2024-04"]


def test_log_is_in_order_of_time_and_of_its_day(dirty: Path) -> None:
    for path in sorted((dirty / "access").iterdir())[::7]:
        seen = [found["time"] for line in lines_of(path) if (found := log_line(line))]
        times = [datetime.strptime(t, "%d/%b/%Y:%H:%M:%S %z") for t in seen]
        assert times == sorted(times)
        assert {t.date().isoformat() for t in times} == {day_of(path)}


def test_every_checkout_is_an_order_once_late_ones_are_in(tmp_path: Path) -> None:
    simulate(Shop(customers=400, late=0.5), tmp_path, months=3)
    in_log = {
        (found["user"], datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z"))
        for path in (tmp_path / "access").iterdir()
        for line in lines_of(path)
        if (found := log_line(line)) and found["method"] == "POST" and found["status"] == "302"
    }
    found = orders_under(tmp_path)
    delivered = {
        (user, datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc))
        for user, at in zip(found.customer_id, found.time, strict=True)
    }
    # Of the last ten days, some are still under way.
    settled = datetime(2024, 3, 22, tzinfo=timezone.utc)
    assert len(in_log) > 500
    assert delivered <= in_log
    assert {pair for pair in in_log if pair[1] < settled} <= delivered


def test_snapshots_hold_those_who_signed_up_before(dirty: Path) -> None:
    people = truth(dirty, "customers").set_index("customer_id")
    for month in (1, 2, 3, 4):
        taken = date(2024, month, 1)
        with (dirty / f"customers/{taken:%Y-%m}.csv").open(newline="") as source:
            rows = list(csv.DictReader(source))
        assert [row["customer_id"] for row in rows] == list(
            people.index[people.signup_date < taken]
        )
        assert {row["updated_at"] for row in rows} == {f"{taken}T00:00:00Z"}
        assert {row["gender"] for row in rows} == {"F", "M", "X"}
        ages = {row["customer_id"]: row["age"] for row in rows}
        assert 0.02 < list(ages.values()).count("") / len(ages) < 0.12
        assert all(int(age) == people.age[who] for who, age in ages.items() if age)
        for row in rows:
            date.fromisoformat(row["signup_date"])


def test_schema_change_adds_fields_from_its_month_on(dirty: Path) -> None:
    found = orders_under(dirty)
    changed = found.time.str[:7] >= "2024-03"
    assert found.payment[changed].isin(["card", "paypal", "invoice"]).all()
    assert found.payment[~changed].isna().all()
    # Late ones of before keep the old shape in a file of after.
    assert (~changed & (found.file_day >= "2024-03-01")).any()
    assert set(found.columns) == ORDER_FIELDS | {"payment", "file_day"}
    headers = [lines_of(path)[0] for path in sorted((dirty / "customers").iterdir())]
    assert [header.endswith(b",loyalty") for header in headers] == [False, False, True, True]


def test_nobody_orders_after_lapsing(dirty: Path) -> None:
    found = orders_under(dirty)
    lapsed = truth(dirty, "lapses").set_index("customer_id").lapsed_on
    last_day = pd.to_datetime(found.customer_id.map(lapsed))
    ordered_on = pd.to_datetime(found.time.str[:10])
    assert last_day.notna().sum() > 50
    assert (ordered_on <= last_day)[last_day.notna()].all()
    signed_up = truth(dirty, "customers").set_index("customer_id").signup_date
    assert (ordered_on >= pd.to_datetime(found.customer_id.map(signed_up))).all()


def test_lapsed_customers_have_lapsed_before_the_state_says_so(dirty: Path) -> None:
    churn = truth(dirty, "churn")
    lapsed_on = churn.customer_id.map(truth(dirty, "lapses").set_index("customer_id").lapsed_on)
    gone = (pd.to_datetime(lapsed_on) < pd.to_datetime(churn.as_of)).to_numpy()
    assert (churn.state.isin(["comparing", "lapsed"]) == gone).all()
    assert (churn.p_no_order[gone] == 1).all()
    assert churn.p_no_order[~gone].between(0, 1, inclusive="neither").all()


def test_only_the_competitor_takes_whole_customers_and_only_after_the_drift(dirty: Path) -> None:
    lapses = truth(dirty, "lapses")
    taken = lapses.reason == "competitor"
    assert taken.sum() > 20
    assert (pd.to_datetime(lapses.lapsed_on[taken]) >= "2024-03-01").all()
    assert set(lapses.reason[~taken]) == {"faded", "bad_experience"}


def test_optimal_probability_is_the_frequency_of_no_order() -> None:
    shop = Shop(customers=8000)
    lives = list(months_of(shop, 1))
    january = lives[0]
    probability = no_order_probability(shop, january.opening, 0)
    # January has 31 days; the horizon is 30.
    visits = january.visits
    buyers = visits.customer[(visits.outcome == ORDERED) & (visits.day < 30)]
    silent = ~np.isin(np.arange(len(january.opening)), buyers)
    for state in (ENGAGED, COOLING):
        of_state = january.opening.state == state
        for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
            group = of_state & (probability >= low) & (probability < high)
            if group.sum() > 100:
                error = 4 * np.sqrt(0.25 / group.sum())
                assert silent[group].mean() == pytest.approx(probability[group].mean(), abs=error)
    assert silent[january.opening.state == LAPSED].all()


def test_what_logs_tell_at_most_is_calibrated_and_less_than_the_truth_knows() -> None:
    shop = Shop(customers=2000)
    lives = list(months_of(shop, 5))
    day = shop.first_day(5)
    who, probability = no_order_given_logs(shop, lives, day)
    customer, on, outcome = (
        np.concatenate([getattr(month.visits, name) for month in lives])
        for name in ("customer", "day", "outcome")
    )
    ordered = outcome == ORDERED
    before = customer[ordered & (on >= day - 90) & (on < day)]
    assert who.tolist() == sorted(set(before.tolist()))
    silent = ~np.isin(who, customer[ordered & (on >= day) & (on < day + 30)])
    for group in np.array_split(np.argsort(probability), 5):
        error = 4 * np.sqrt(0.25 / len(group))
        assert silent[group].mean() == pytest.approx(probability[group].mean(), abs=error)
    visits = np.bincount(customer[(on >= day - 30) & (on < day)], minlength=who[-1] + 1)[who]
    truth = no_order_probability(shop, lives[5].opening, day)[who]
    areas = [roc_auc_score(silent, score) for score in (-visits, probability, truth)]
    assert areas[0] + 0.02 < areas[1] < areas[2] - 0.02


def test_season_moves_with_the_week_and_the_year() -> None:
    shop = Shop(start=date(2023, 1, 1))
    by_day = np.array([season(shop, day) for day in range(365)])
    assert by_day.mean() == pytest.approx(1.0, abs=0.005)
    saturdays, tuesdays = by_day[6::7], by_day[2::7]
    assert (saturdays > tuesdays).all()
    assert by_day[335:350].mean() > 1.3 * by_day[150:165].mean()


def test_base_stays_about_constant() -> None:
    shop = Shop(customers=2000)
    active = [int((life.closing.state <= COOLING).sum()) for life in months_of(shop, 14)]
    assert min(active) > 1600
    assert max(active) < 2200


def test_more_visits_leave_orders_and_lapsing_alone() -> None:
    def life(shop: Shop) -> tuple[int, int, float]:
        lives = list(months_of(shop, 5))
        visits, last = [month.visits for month in lives], lives[-1].opening
        orders = sum(int((v.outcome == ORDERED).sum()) for v in visits)
        gloom = no_order_probability(shop, last, shop.first_day(5))[last.state == ENGAGED].mean()
        return sum(len(v.customer) for v in visits), orders, float(gloom)

    few, many = life(Shop(customers=3000)), life(Shop(customers=3000, visits_per_month=12.0))
    assert many[0] / few[0] == pytest.approx(4.0, rel=0.1)
    assert many[1] / few[1] == pytest.approx(1.0, rel=0.05)
    assert many[2] == pytest.approx(few[2], abs=0.02)


def test_covariate_drift_changes_who_comes_not_how_they_lapse(tmp_path: Path) -> None:
    shop = Shop(customers=800, covariate_drift_month=2)
    simulate(shop, tmp_path, months=4)
    people = truth(tmp_path, "customers")
    before = pd.to_datetime(people.signup_date) < "2024-03-01"
    assert people.age[~before].mean() < people.age[before].mean() - 10
    # The hazard is the same function of age and purchase rate on both sides of the drift.
    appetite = people.visits_per_month / shop.visits_per_month * people.orders_per_visit
    for side in (before, ~before):
        rest = np.log(people.cooling_hazard[side]) + 0.03 * people.age[side]
        usual = appetite[side].between(0.1, 2.0)
        assert np.corrcoef(rest[usual], np.log(appetite[side][usual]))[0, 1] < -0.999
    found = orders_under(tmp_path)
    after = found.time >= "2024-03-01"
    assert found.amount[after].median() > 1.4 * found.amount[~after].median()
    assert "app" not in set(found.channel[~after])
    assert (found.channel[after] == "app").mean() > 0.1


def test_concept_drift_turns_visits_into_a_bad_sign() -> None:
    def auc_of_visits(shop: Shop, month: int) -> float:
        """How well few visits in the 30 days before tell no order in the 30 after, by rank sum."""
        lives = list(months_of(shop, month))
        ordered = [life.visits.customer[life.visits.outcome == ORDERED] for life in lives]
        count = len(lives[-1].opening)
        visits = np.bincount(lives[-2].visits.customer, minlength=count)
        recent = np.isin(np.arange(count), np.concatenate(ordered[-4:-1]))
        silent = ~np.isin(np.arange(count), ordered[-1])
        ranks = pd.Series(-visits[recent]).rank().to_numpy()
        loses = silent[recent]
        return float(
            (ranks[loses].sum() - loses.sum() * (loses.sum() + 1) / 2)
            / (loses.sum() * (~loses).sum())
        )

    calm, drifted = Shop(customers=4000), Shop(customers=4000, concept_drift_month=5)
    assert auc_of_visits(calm, 8) > 0.70
    assert auc_of_visits(drifted, 8) < auc_of_visits(calm, 8) - 0.05


def test_a_failed_checkout_makes_customers_cool() -> None:
    lives = list(months_of(Shop(customers=3000), 2))
    closing = lives[-1].closing
    blamed = closing.reason[closing.state == LAPSED] == BAD_EXPERIENCE
    assert 0.1 < blamed.mean() < 0.5
    failures = np.concatenate(
        [life.visits.customer[life.visits.outcome == FAILED] for life in lives]
    )
    shaken = (closing.state == COOLING) & (closing.reason == BAD_EXPERIENCE)
    assert np.isin(np.flatnonzero(shaken), failures).mean() > 0.8


def test_a_month_lived_twice_is_the_same_month() -> None:
    shop = Shop(customers=200)
    opening = next(months_of(shop, 0)).opening
    first, second = live_month(shop, opening, 0), live_month(shop, opening, 0)
    assert (first[0].state == second[0].state).all()
    assert (first[1].customer == second[1].customer).all()


def test_a_shop_of_one(tmp_path: Path) -> None:
    shop = Shop(customers=1, malformed=0.5, duplicates=0.5, late=0.5)
    written = simulate(shop, tmp_path, months=2)
    assert written.files == 2 * (31 + 29) + 2 + 2 + 2 * 5 + 1
    assert min(truth(tmp_path, "files").lines) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed: found -1; allowed: a whole number, 0 or more"),
        ({"customers": 0}, "customers: found 0; allowed: a whole number, 1 to 10000000"),
        ({"customers": True}, "customers: found True; allowed: a whole number, 1 to 10000000"),
        ({"late": 0.6}, "late: found 0.6; allowed: a number, 0 to 0.5"),
        ({"malformed": float("nan")}, "malformed: found nan; allowed: a number, 0 to 0.5"),
        ({"visits_per_month": 1}, "visits_per_month: found 1; allowed: a number, 3 to 10000"),
        (
            {"concept_drift_month": -2},
            "concept_drift_month: found -2; allowed: a whole number, 0 or more",
        ),
        (
            {"start": date(2024, 1, 2)},
            "start: found datetime.date(2024, 1, 2); "
            "allowed: a date on the first of a month, 1970 to 2200",
        ),
    ],
)
def test_option_out_of_range_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Shop(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"months": 0}, {"first_month": -1}, {"processes": 0}])
def test_run_out_of_range_writes_nothing(options: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        simulate(Shop(), tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
