"""The whole stage over a real PostgreSQL: rows land once, later ones follow, none at the border is
lost or doubled, and of customers nothing but pseudonyms is written.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from driftline import pseudonyms
from driftline.jobs.line import Line

from .postgres import PASSWORD

pytestmark = pytest.mark.slow

KEY = "k" * 32


def write(folder: Path, repository: Path, url: str) -> Path:
    told = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    orders = told["sources"]["orders"]
    del orders["path"], orders["format"]
    orders["database"] = {"connection": "shop", "table": "orders", "watermark": "time"}
    orders["columns"]["customer_id"] = {"type": "string", "pseudonym": True}
    told["sources"] = {"orders": orders}
    del told["profile"]
    told["features"] = [each for each in told["features"] if each["source"] == "orders"]
    told["drift"]["tables"] = ["silver.orders"]
    (folder / "conf" / "env").mkdir(parents=True)
    (folder / "data").mkdir()
    place = {"warehouse": "warehouse", "data": "data", "mlflow": "warehouse/m.db", "memory_gib": 2}
    place["connections"] = {"shop": {"url": url, "user": "SHOP_USER", "password": "SHOP_PASSWORD"}}
    (folder / "conf" / "env" / "local.yaml").write_text(yaml.safe_dump(place), "utf-8")
    path = folder / "conf" / "churn.yaml"
    path.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    suites = folder / "expectations" / "churn"
    suites.parent.mkdir()
    suites.symlink_to(repository / "expectations" / "churn")
    return path


def files_with(name: bytes, folder: Path) -> list[str]:
    """Files that hold a name: text as it is, Parquet by its values."""
    found = []
    for path in (each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += str(pq.ParquetFile(path).read().to_pylist()).encode()
        if name in content:
            found.append(str(path))
    return found


def test_rows_of_a_database_land_once(
    postgres, command, repository, tmp_path, monkeypatch, open_line
) -> None:
    from driftline.problem import load_problem

    postgres.run(
        "CREATE TABLE orders (order_id text, customer_id text, time timestamptz, amount numeric,"
        " items int, category text, channel text);"
        "INSERT INTO orders SELECT n::text, 'buyer' || (n % 50),"
        " timestamptz '2024-01-01Z' + n * interval '1 minute', n / 7.0, 1, 'a', 'web'"
        " FROM generate_series(1, 20000) n; UPDATE orders SET amount = 'NaN' WHERE order_id = '77'"
    )
    monkeypatch.setenv("SHOP_USER", "shop")
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    monkeypatch.setenv(pseudonyms.VARIABLE, KEY)
    conf = write(tmp_path, repository, postgres.url)

    def landed() -> str:
        done = command("ingest", "--problem", conf)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout

    def line() -> Line:
        data, warehouse = tmp_path / "data", tmp_path / "warehouse"
        return open_line(load_problem(conf), data=data, warehouse=warehouse, root=tmp_path)

    assert "1 new deliveries with 20,000 records" in landed()
    assert "nothing new" in landed()
    postgres.run(
        "INSERT INTO orders SELECT 'late' || n, 'buyer1', (SELECT max(time) FROM orders), 5, 1,"
        " 'b', 'web' FROM generate_series(1, 3) n"
    )
    assert "1 new deliveries with 3 records" in landed()
    tables = line().tables
    rows = tables.read("bronze.orders")
    lost = tables.read("ops.rejects").count()
    assert rows.count() + lost == 20_003
    assert rows.select("order_id").distinct().count() == rows.count()
    # Whom an erasure forgets is forgotten by the pulled files, too.
    warehouse = tmp_path / "warehouse" / "churn"
    made = {n: pseudonyms.pseudonym(f"buyer{n}", KEY.encode()) for n in range(50)}
    assert files_with(b"buyer", tmp_path / "warehouse") == []
    assert len(files_with(made[1].encode(), warehouse / "_spool")) == 2
    assert len(list(warehouse.glob("_spool/orders/*.parquet"))) == 2
    done = command("erase", "--problem", conf, "--entity", "buyer7", "--request", "r", "--yes")
    assert done.returncode == 0, done.stderr
    assert "delivered files" not in done.stdout
    assert "pulled from shop: orders: delete them there" in done.stdout
    assert not list(warehouse.glob("_spool/orders/*.parquet"))
    assert set(tables.read("bronze.orders").toPandas().customer_id) == {
        each for n, each in made.items() if n != 7
    }
    assert "nothing new" in landed()
    # Of people who have the eleven newest times the next pull asks for none but the very last one.
    whom = [each for n in (0, 1, *range(40, 50)) for each in ("--entity", f"buyer{n}")]
    done = command("erase", "--problem", conf, *whom, "--request", "s", "--yes")
    assert done.returncode == 0, done.stderr
    assert "1 new deliveries with 4 records" in landed()
    (first, last) = tables.read("ops.erasures").where("status = 'complete'").orderBy("at").collect()
    assert first.pulled == last.pulled == ["shop: orders"]
    postgres.run("DROP TABLE orders")
    gone = command("ingest", "--problem", conf)
    assert gone.returncode == 4, gone.stderr
