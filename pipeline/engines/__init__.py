"""Runs the rollups of ``sql/engine``. DuckDB here; the SQL is in the subset that Spark reads too."""
