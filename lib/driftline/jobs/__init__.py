"""The jobs: one module a stage, each ``read → pure functions → one idempotent write``."""
