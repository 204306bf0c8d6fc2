"""The stores: operational (SQLite or PostgreSQL), landing zone (Parquet), warehouse (DuckDB snapshots)."""
