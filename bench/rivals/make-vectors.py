"""Writes Parquet files of seeded random vectors: id int64, label int32, features list<float>.

    make-vectors.py OUTPUT [--rows 400000] [--features 100] [--files 4] [--row-group 50000] [--seed 7]
"""

import argparse
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser(description="Write Parquet files of seeded random vectors.")
parser.add_argument("output")
parser.add_argument("--rows", type=int, default=400_000)
parser.add_argument("--features", type=int, default=100)
parser.add_argument("--files", type=int, default=4)
parser.add_argument("--row-group", type=int, default=50_000)
parser.add_argument("--seed", type=int, default=7)
args = parser.parse_args()

os.makedirs(args.output, exist_ok=True)
schema = pa.schema([("id", pa.int64()), ("label", pa.int32()), ("features", pa.list_(pa.float32()))])
random = np.random.default_rng(args.seed)
bounds = [args.rows * i // args.files for i in range(args.files + 1)]
for index, (begin, end) in enumerate(zip(bounds, bounds[1:])):
    path = os.path.join(args.output, f"part-{index:05d}.parquet")
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for first in range(begin, end, args.row_group):
            n = min(args.row_group, end - first)
            values = random.random(n * args.features, dtype=np.float32) * 2 - 1
            offsets = np.arange(n + 1, dtype=np.int32) * args.features
            columns = [
                pa.array(np.arange(first, first + n)),
                pa.array(random.integers(0, 10, n, dtype=np.int32)),
                pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=n)
print(f"{args.output}: {args.rows} rows x {args.features} floats in {args.files} files")
