"""The jobs: one module a stage, each ``read → pure functions → one idempotent write``."""

STAGES = ("ingest", "validate", "features", "train", "score", "drift", "report")
"""The stages in the order in which `driftline run` takes them."""
