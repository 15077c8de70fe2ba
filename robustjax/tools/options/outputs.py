"""Formats of results."""

FORMATS = ("csv", "jsonl", "parquet")
