"""Delta's JVM half: which jars, unchanged, and where; and an archive for a fast start of the JVM.

``python -m driftline.jars`` (called by the scripts) puts both into the virtual environment, once.
A session that finds them there starts without Ivy and without network; one that does not falls back
to ``spark.jars.packages``, as on a cluster.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from driftline.errors import DriftlineError, Missing

COORDINATES = "io.delta:delta-spark_4.2_2.13:4.4.0"

# Delta by path needs these and nothing else that Spark does not ship (its Ivy closure is 33 jars).
DIGESTS = {
    "io.delta_delta-spark_4.2_2.13-4.4.0.jar": (
        "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead"
    ),
    "io.delta_delta-storage-4.4.0.jar": (
        "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc"
    ),
    "io.unitycatalog_unitycatalog-client-0.6.0.jar": (
        "48257499a86b801a3e2372cec55ac226ca1c1c7eabe5c118e7302f29a1fdbc19"
    ),
}


@dataclass(frozen=True)
class Driver:
    """What lets Spark into a kind of database or store; fetched when a line first goes there."""

    coordinates: str
    digests: Mapping[str, str]


POSTGRESQL = Driver(
    "org.postgresql:postgresql:42.7.7",
    {
        "org.postgresql_postgresql-42.7.7.jar": (
            "157963d60ae66d607e09466e8c0cdf8087e9cb20d0159899ffca96bca2528460"
        )
    },
)

# Of the same Hadoop as Spark's own jars; the AWS SDK is 690 MB of it.
S3 = Driver(
    "org.apache.hadoop:hadoop-aws:3.5.0",
    {
        "org.apache.hadoop_hadoop-aws-3.5.0.jar": (
            "66bd9eefb938b1a1657487324b63c13df2d8b17164a1dd24e0ef37b905bc5baa"
        ),
        "software.amazon.awssdk_bundle-2.35.4.jar": (
            "db4b55f24ad1b4e70f17eb1717a4de76a8dadc5a27d764be7c44ff67b2c1c677"
        ),
        "software.amazon.s3.analyticsaccelerator_analyticsaccelerator-s3-1.3.1.jar": (
            "4959a9747cbb479c73c3ffbcd479bee5b014f8b2880994585a8693fb9d24675e"
        ),
        "org.wildfly.openssl_wildfly-openssl-2.2.5.Final.jar": (
            "71fb7932f99a727edb23c5a2cb8c6855ac7196fad41aa0669b3998e277165154"
        ),
    },
)


def drivers(warehouse: str, *, databases: bool) -> list[Driver]:
    """What Spark needs besides Delta for a warehouse there, and to ask databases."""
    wanted = [POSTGRESQL] if databases else []
    return wanted + ([S3] if warehouse.startswith("s3a://") else [])


# What a first job does, so that the archive holds the classes it will load.
_WARM_UP = """
from driftline.session import build, warm_up
write = {{"spark.driver.extraJavaOptions": '"-XX:ArchiveClassesAtExit={archive}"'}}
warm_up(build(cores=2, memory_gib=2, settings=write))
"""


def folder() -> Path:
    """Where the jars and the archive live: inside the virtual environment."""
    return Path(os.environ.get("DRIFTLINE_JARS", Path(sys.prefix) / "share" / "driftline"))


def jars() -> list[Path]:
    """The jars if all are there, else an empty list."""
    paths = [folder() / name for name in DIGESTS]
    return paths if all(path.exists() for path in paths) else []


def archive() -> Path | None:
    """The class-data archive if there is one."""
    path = folder() / "classes.jsa"
    return path if path.exists() else None


def driver(wanted: Driver) -> list[Path]:
    """The driver's jars, fetched if they are not there."""
    paths = [folder() / name for name in wanted.digests]
    if not all(path.exists() for path in paths):
        _fetch(wanted.coordinates, wanted.digests)
    return paths


def fetch() -> None:
    """Fetch Delta's jars."""
    _fetch(COORDINATES, DIGESTS)


def _fetch(coordinates: str, digests: Mapping[str, str]) -> None:
    """Let Spark's own Ivy resolve the coordinates, check the digests, keep the few jars needed."""
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        nothing = Path(scratch, "nothing.py")
        nothing.write_text("")
        command = [sys.executable, "-m", "pyspark.find_spark_home"]
        home = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        done = subprocess.run(
            [
                f"{home}/bin/spark-submit",
                *("--conf", f"spark.jars.ivy={scratch}/ivy"),
                *("--packages", coordinates),
                *("--exclude-packages", "org.apache.hadoop:hadoop-client-runtime"),
                str(nothing),
            ],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "SPARK_HOME": home,
                "PYSPARK_PYTHON": sys.executable,
                # Ivy looks into Maven's own cache first, and gives up where that has a module's
                # description without its jar, as Maven may leave it.
                "SPARK_SUBMIT_OPTS": f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} "
                f"-Duser.home={scratch}",
            },
            check=False,
        )
        for name, expected in digests.items():
            source = Path(scratch, "ivy", "jars", name)
            if not source.exists():
                raise Missing(
                    f"could not fetch {name}",
                    where=done.stderr.strip()[-600:],
                    hint="the first set-up needs the network; behind a mirror, configure Ivy",
                )
            if hashlib.sha256(source.read_bytes()).hexdigest() != expected:
                raise DriftlineError(
                    f"{name} is not the file that was expected",
                    where=coordinates,
                    hint="its SHA-256 differs from the one in driftline/jars.py: do not use it",
                )
            part = folder() / f"{name}.part"
            shutil.copy(source, part)
            part.rename(folder() / name)  # another process may be looking for it


def make_archive() -> None:
    """Run one small job and let the JVM write down the classes it loaded (190 MB)."""
    target = folder() / "classes.jsa"
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    script = _WARM_UP.format(archive=part)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if done.returncode != 0 or not part.exists():
        # Only speed is lost: a JVM without the archive starts in twice the time.
        print(f"no class-data archive: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return
    part.rename(target)


if __name__ == "__main__":
    if not jars():
        print("fetching Delta's jars", file=sys.stderr)
        fetch()
    if archive() is None:
        print("making the class-data archive (half a minute, once)", file=sys.stderr)
        make_archive()
