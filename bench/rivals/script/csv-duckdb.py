"""Adds up a file of CSV with DuckDB on one thread: csv-duckdb.py FILE, as bench/support/csv.ts does."""

import sys

import duckdb

connection = duckdb.connect()
connection.execute("set threads = 1")
query = """
select count(*), sum(id)::bigint, sum(length(name) + length(country))::bigint, sum(round(amount * 100))::bigint
from read_csv(?)
"""
print(*connection.execute(query, [sys.argv[1]]).fetchone())
