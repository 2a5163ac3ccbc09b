"""The session as it was built."""

from __future__ import annotations

import uuid

from driftline import session


def test_a_collector_of_ones_own_is_the_only_one() -> None:
    name = "spark.driver.extraJavaOptions"
    options = session.jvm_settings(java_options="-XX:+UseG1GC -Xss4m")[name].split()
    assert [each for each in options if each.endswith("GC")] == ["-XX:+UseG1GC"]
    assert "-XX:+UseParallelGC" in session.jvm_settings()[name].split()


def test_an_environments_options_of_the_jvm_come_beside_ours(spark) -> None:
    said = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    arguments = list(said.getInputArguments())
    for expected in ("-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1"):
        assert expected in arguments
    assert any(each.endswith("log4j2.properties") for each in arguments)


def test_what_the_jvm_writes_is_not_ours(spark, tmp_path_factory) -> None:
    system = spark._jvm.java.lang.System
    said = [f"chatter of {uuid.uuid4()}" for _ in range(2)]
    for stream, each in zip((system.out, system.err), said, strict=True):
        stream.println(each)
        stream.flush()
    logs = tmp_path_factory.getbasetemp().glob("spark[0-9]*/spark.log")
    written = "".join(each.read_text("utf-8") for each in logs)
    assert [each for each in said if each not in written] == []
