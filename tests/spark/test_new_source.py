"""A kind of log nobody here has seen before comes in by a YAML file alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROBLEM = """
name: mall
question: Which visitors of a mall's shop buy nothing in the next 30 days?
task: classification
entity: user
sources:
  actions:
    path: actions/*.csv
    format: csv
    encoding: gbk
    time: time
    columns:
      user: {type: long, from: 用户}
      item: {type: long, from: 商品}
      action: {type: string, from: 行为}
      time: {type: timestamp, from: 时间, format: "%Y/%m/%d %H:%M"}
label: {source: actions, where: action = '下单', horizon: 30d, outcome: none}
population: {source: actions, within: 90d}
features:
  - {name: clicks, source: actions, where: action = '点击', operation: count, windows: [30d]}
  - {name: carts, source: actions, where: action = '加购', operation: count, windows: [30d]}
  - {name: orders, source: actions, where: action = '下单', operation: count, windows: [30d]}
cutoffs: {first: 2024-03-01, every: 30d}
split: {by: time}
train:
  metric: roc_auc
  candidates: {logistic_regression: {regParam: [0.01]}}
drift: {tables: [silver.actions]}
"""

PLACE = "{warehouse: warehouse, data: data, mlflow: warehouse/mlflow.db, memory_gib: 2}\n"


@pytest.mark.slow
def test_clicks_carts_and_orders_in_one_gbk_file(spark, tmp_path) -> None:
    from driftline.tables import Tables

    conf = tmp_path / "conf" / "mall.yaml"
    (conf.parent / "env").mkdir(parents=True)
    conf.write_text(PROBLEM, "utf-8")
    (conf.parent / "env" / "local.yaml").write_text(PLACE)
    lines = ["用户,商品,行为,时间,店铺"]
    for n in range(1000):
        action = ("点击", "加购", "下单")[n % 3]
        lines.append(f"{266000 + n % 50}.0,{n},{action},2024/{n % 9 + 1}/05 10:0{n % 6},东店")
    lines.append("no number,1,点击,2024/1/5 10:00,东店")
    data = tmp_path / "data" / "actions" / "day.csv"
    data.parent.mkdir(parents=True)
    data.write_bytes("\r\n".join(lines).encode("gbk"))
    done = subprocess.run(
        [Path(sys.executable).with_name("driftline"), "ingest", "--problem", conf],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tables = Tables(spark, str(tmp_path / "warehouse" / "mall"))
    rows = tables.read("bronze.actions")
    assert rows.count() == 1000
    assert {row.action for row in rows.select("action").distinct().collect()} == {
        "点击",
        "加购",
        "下单",
    }
    assert rows.agg({"user": "min"}).first()[0] == 266000
    assert rows.where('_rescued = \'{"店铺":"东店"}\'').count() == 1000
    (reject,) = tables.read("ops.rejects").collect()
    assert (reject.reason, reject.column) == ("bad_value", "user")
