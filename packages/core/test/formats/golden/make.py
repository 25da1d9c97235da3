"""Writes the golden files beside this script: one table in every codec and page version, and its rows as JSON Lines.

    python make.py          (pyarrow 26)
"""

import datetime as dt
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
n = 24


def col(value, type):
    return pa.array([None if i % 10 == 3 else value(i) for i in range(n)], type)


epoch = dt.datetime(1970, 1, 1)
table = pa.table(
    {
        "i8": col(lambda i: i - 12, pa.int8()),
        "u8": col(lambda i: 255 - i, pa.uint8()),
        "i16": col(lambda i: -i * 1000, pa.int16()),
        "u16": col(lambda i: i * 2000, pa.uint16()),
        "i32": col(lambda i: -i * 10**8 // 2, pa.int32()),
        "u32": col(lambda i: i * 10**8, pa.uint32()),
        "i64": col(lambda i: i * 10**17, pa.int64()),
        "u64": col(lambda i: 2**64 - 1 - i, pa.uint64()),
        "f16": col(lambda i: i % 8 / 2, pa.float16()),
        "f32": col(lambda i: i / 4, pa.float32()),
        "f64": col(lambda i: i / 3, pa.float64()),
        "bool": col(lambda i: i % 2 == 0, pa.bool_()),
        "str": col(lambda i: f"s{i} \u00fc\U0001f600", pa.string()),
        "large": col(lambda i: f"l{i}", pa.large_string()),
        "dict": col(lambda i: f"d{i % 5}", pa.dictionary(pa.int32(), pa.string())),
        "bin": col(lambda i: bytes([i, 255]), pa.binary()),
        "fsb": col(lambda i: b"%04d" % i, pa.binary(4)),
        "dec": col(lambda i: decimal.Decimal(i - 5) / 100, pa.decimal128(12, 2)),
        "dec38": col(lambda i: decimal.Decimal(10) ** 30 * (i - 5), pa.decimal128(38, 0)),
        "date": col(lambda i: (epoch + dt.timedelta(days=i * 1000 - 9000)).date(), pa.date32()),
        "ms": col(lambda i: epoch + dt.timedelta(milliseconds=i * 10**9 + 7), pa.timestamp("ms")),
        "us": col(lambda i: epoch + dt.timedelta(milliseconds=i), pa.timestamp("us", tz="UTC")),
        "ns": col(lambda i: epoch + dt.timedelta(milliseconds=i), pa.timestamp("ns")),
        "list": col(lambda i: [float(k) if k != 2 else None for k in range(i % 5)], pa.list_(pa.float64())),
        "nested": col(lambda i: [[k] * k for k in range(i % 4)], pa.list_(pa.list_(pa.int32()))),
        "vector": pa.array([[i + 0.5, -i, 0.25] for i in range(n)], pa.list_(pa.float32())),
        "strict": pa.array(
            [[i] * (i % 3) for i in range(n)], pa.list_(pa.field("element", pa.float32(), nullable=False))
        ),
        "maybe": col(lambda i: [float(k) for k in range(i % 4)], pa.list_(pa.float32())),
        "fixed": pa.array([[float(i), 1.0] for i in range(n)], pa.list_(pa.float32(), 2)),
        "struct": col(
            lambda i: {"a": i, "b": None if i % 2 else "x", "c": {"d": [i]}},
            pa.struct([("a", pa.int32()), ("b", pa.string()), ("c", pa.struct([("d", pa.list_(pa.int32()))]))]),
        ),
        "map": col(lambda i: [("k", i)], pa.map_(pa.string(), pa.int32())),
    }
)


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, dt.date):
        return value.isoformat() + "T00:00:00.000Z"
    return value


def row(record):
    out = {key: plain(value) for key, value in record.items()}
    for key in ("i64", "u64", "dec38"):
        out[key] = None if out[key] is None else str(int(decimal.Decimal(out[key])))
    out["map"] = None if record["map"] is None else dict(record["map"])
    return out


versions = {"none": "1.0", "snappy": "1.0", "gzip": "2.0", "zstd": "2.0", "brotli": "1.0", "lz4": "2.0"}
for codec, version in versions.items():
    pq.write_table(
        table,
        here / f"{codec}-{version}.parquet",
        compression=codec,
        data_page_version=version,
        row_group_size=13,
        write_page_checksum=codec in ("snappy", "zstd"),
        use_dictionary=codec != "none",
    )
ns = table["ns"].cast(pa.timestamp("ms")).to_pylist()
records = table.drop(["ns"]).to_pylist()
rows = [row({**record, "ns": value}) for record, value in zip(records, ns)]
(here / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
