"""A plain table without time, with the split it was published with: UCI Adult."""

from __future__ import annotations

from driftline.jobs import features, ingest, judging, searching, validate
from driftline.problem import load_problem

HEAD = (
    "id,side,age,workclass,weight,education,education_years,marital_status,occupation,"
    "relationship,race,sex,capital_gain,capital_loss,hours,country,income"
)


def made(line) -> None:
    for stage in (ingest, validate, features):
        stage.run(line)


def test_a_table_without_time_is_a_problem(open_line, repository, tmp_path) -> None:
    """Forty rows by hand: who is on which side, what the models see, what the label is."""
    (tmp_path / "adult").mkdir()
    rest = "State-gov,77516,Bachelors,13,Married,Sales,Husband,White,Male,{},0,40,Peru,{}"
    rows = [HEAD]
    for n in range(40):
        side, rich = ("train", "test")[n % 4 == 0], n % 3 == 0
        dot = "." if side == "test" else ""
        said = rest.format(100 * rich + n, (">50K" if rich else "<=50K") + dot)
        rows.append(f"p{n},{side},{20 + n},{said}")
    (tmp_path / "adult" / "table.csv").write_text("\n".join(rows) + "\n", "utf-8")
    problem = load_problem(repository / "conf" / "adult.yaml")
    line = open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")
    made(line)
    known = [name for name, _ in judging.feature_columns(line)]
    assert known == [name for name in problem.profile.attributes if name != "side"]
    found = line.tables.read("gold.features").collect()
    assert {row.id: row.label for row in found} == {f"p{n}": float(n % 3 == 0) for n in range(40)}
    assert {row.id: row.age for row in found} == {f"p{n}": 20 + n for n in range(40)}
    parts = searching.labelled(line, line.tables.version("gold.features")).collect()
    assert {row.id for row in parts if row.part == "test"} == {f"p{n}" for n in range(0, 40, 4)}
    assert {row.part for row in parts} == {"train", "validation", "test"}
    assert all(row.as_of.isoformat() == "1994-01-01T00:00:00" for row in parts)
