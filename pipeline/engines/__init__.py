"""Runs the rollups of ``sql/engine`` in DuckDB or Spark. The SQL is in the subset that both read."""
