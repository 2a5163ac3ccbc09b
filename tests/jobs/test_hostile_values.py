"""What customers may write: it names no file, makes no line of a log, no formula and no markup."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from driftline.simulate import Shop, simulate
from small_shop import write_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FORGED = "FORGED stage succeeded"
PATHS = (
    "../../escaped",
    "/tmp/escaped",
    "..\\..\\escaped",
    "file:///tmp/escaped",
    "escaped\x00.parquet",
    "escaped=1/%2e%2e%2fescaped",
)
LINES = (
    *(
        f"a{end}{FORGED}"
        for end in ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
    ),
    f"\x1b[2K\x1b[1A{FORGED}",
    f"\x08\x08\x08\x08{FORGED}",
    f'"}}\n{{"level": "info", "message": "{FORGED}"}}',
    f"${{jndi:ldap://127.0.0.1/a}}{' ' * 170}{FORGED}",
)
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    '=HYPERLINK("http://127.0.0.1";"x")',
)
MARKUP = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>')
HOSTILE = (*PATHS, *LINES, *FORMULAS, *MARKUP)


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    """A shop whose customers are called, live and buy where they please.

    Of a country with the end of a line in it, CSV makes records that cannot be read.
    """
    root = tmp_path_factory.mktemp("around") / "project"
    root.mkdir()
    conf = write_project(root, repository)
    problem = yaml.safe_load(conf.read_text("utf-8"))
    problem["drift"]["segments"] = {"silver.orders": ["channel"]}
    conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    shop = root / "data" / "shop"
    simulate(Shop(customers=400), shop, months=10)
    for path in (shop / "customers").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for place, row in enumerate(rows):
            row["country"] = HOSTILE[place % len(HOSTILE)]
            row["customer_id"] = _called(row["customer_id"])
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    for path in (shop / "orders").glob("*.ndjson"):
        lines = path.read_text("utf-8").splitlines()
        path.write_text("".join(f"{_order(line)}\n" for line in lines), "utf-8")
    some = next((shop / "orders").glob("*.ndjson"))
    some.rename(some.with_name(f"2024\n{FORGED}.ndjson"))
    return root


def _called(customer: str) -> str:
    number = int(customer[1:])
    return f"{HOSTILE[number % 50]}{customer}" if number % 50 < len(HOSTILE) else customer


def _order(line: str) -> str:
    order = json.loads(line)
    customer = order["customer_id"]
    channel = HOSTILE[int(customer[1:]) % len(HOSTILE)]
    return json.dumps(order | {"customer_id": _called(customer), "channel": channel})


QUERY = "SELECT channel, count(*) AS orders FROM silver.orders GROUP BY ALL"


@pytest.fixture(scope="module")
def told(project, command) -> dict[str, str]:
    """What the commands said by what they are called: output, errors, and the log."""
    where = ("--problem", project / "conf" / "churn.yaml", "--log-file", project / "log.jsonl")
    query = project / "channels.sql"
    query.write_text(QUERY, "utf-8")
    said = {}

    def run(name: str, *asked: object, code: int = 0) -> None:
        done = command(name, *asked, *where, cwd=project)
        assert done.returncode == code, done.stdout + done.stderr
        said.update({name: done.stdout, f"{name}, errors": done.stderr})

    run("run")
    run("drift", "--table", "silver.orders", "--by", "channel")
    run("report")
    run("suggest", "--table", "silver.customers", "--out", project / "suggested.json")
    run("explore", "--table", "silver.customers")
    run("query", query)
    (project / "data" / "shop" / "orders" / f"none\n{FORGED}.ndjson").write_text("{\n", "utf-8")
    run("ingest", code=3)
    return said | {"log": (project / "log.jsonl").read_text("utf-8")}


def test_no_file_is_named_by_data(told, project) -> None:
    assert [each.name for each in project.parent.iterdir()] == ["project"]
    assert not Path("/tmp/escaped").exists()
    named = [path for path in project.rglob("*") if "escaped" in str(path.relative_to(project))]
    assert named == []


def test_no_value_makes_a_line(told) -> None:
    """12 of 12: whatever a reader takes for the end of a line, also a terminal's."""
    assert told["query"].count(FORGED) == len(LINES)
    assert FORGED in told["log"]  # the name of what ingest refused
    for name, text in told.items():
        assert not [each for each in text.splitlines() if each.strip().startswith(FORGED)], name
        assert not set(text) & {"\x1b", "\x08", "\r", "\x0b", "\x0c", "\x85", "\u2028"}, name
    for line in told["log"].splitlines():
        assert set(json.loads(line)) >= {"at", "level", "message"}, line


def test_no_cell_is_a_formula(told, project, command) -> None:
    """8 of 8, by the command: every channel as the orders told it."""
    out = project / "channels.csv"
    done = command(
        *(
            "query",
            project / "channels.sql",
            "--problem",
            project / "conf" / "churn.yaml",
            "--out",
            out,
        ),
        cwd=project,
    )
    assert done.returncode == 0, done.stderr
    with out.open(encoding="utf-8", newline="") as file:
        cells = {row["channel"] for row in csv.DictReader(file)}
    # One more where a tab or a line's end, too, may end the cell before.
    behind = {each: f"{each[0]}'{each[1:]}" for each in FORMULAS if each[0] in "\t\r\n"}
    assert {f"'{behind.get(each, each)}" for each in FORMULAS} <= cells
    assert not [each for each in cells if each.startswith(tuple("=+-@\t\r\n"))]


def test_no_page_has_markup_of_theirs(told, project) -> None:
    pages = list(project.rglob("*.html"))
    assert len(pages) >= 2
    for page in pages:
        text = page.read_text("utf-8")
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
