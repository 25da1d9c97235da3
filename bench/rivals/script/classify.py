"""classify.py INPUT OUTPUT ENDPOINT [--batch-rows 1000] [--threads 8] [--vector features] [--columns id]: Parquet rows, scored,
to Parquet; with --columns, only these and the score."""

import argparse
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import urllib3

parser = argparse.ArgumentParser()
parser.add_argument("input", type=pathlib.Path)
parser.add_argument("output", type=pathlib.Path)
parser.add_argument("endpoint")
parser.add_argument("--batch-rows", type=int, default=1000)
parser.add_argument("--threads", type=int, default=8)
parser.add_argument("--vector", default="features")
parser.add_argument("--columns", type=lambda names: names.split(","))
args = parser.parse_args()
http = urllib3.PoolManager(maxsize=args.threads, retries=False)


def score(batch):
    answer = http.request("PUT", args.endpoint, body=batch.column(args.vector).flatten().to_numpy().tobytes())
    if answer.status != 200 or len(answer.data) != 4 * batch.num_rows:
        raise RuntimeError(f"status {answer.status}, {len(answer.data)} bytes for {batch.num_rows} rows")
    kept = batch if args.columns is None else batch.select(args.columns)
    return kept.append_column("score", pa.array(np.frombuffer(answer.data, "<f4")))


args.output.mkdir(parents=True, exist_ok=True)
with ThreadPoolExecutor(args.threads) as threads:
    for path in sorted(args.input.glob("*.parquet")):
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names if args.columns is None else args.columns
        schema = pa.schema([file.schema_arrow.field(name) for name in names] + [pa.field("score", pa.float32())])
        with pq.ParquetWriter(args.output / path.name, schema) as writer:
            for group in range(file.num_row_groups):
                columns = None if args.columns is None else [*args.columns, args.vector]
                batches = file.read_row_group(group, columns).to_batches(args.batch_rows)
                writer.write_table(pa.Table.from_batches(threads.map(score, batches), schema))
