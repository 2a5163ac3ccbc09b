"""The session as it was built."""

from __future__ import annotations


def test_an_environments_options_of_the_jvm_come_beside_ours(spark) -> None:
    said = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    arguments = list(said.getInputArguments())
    for expected in ("-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1"):
        assert expected in arguments
    assert any(each.endswith("log4j2.properties") for each in arguments)
