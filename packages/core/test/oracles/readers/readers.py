"""Writes and reads Parquet with pyarrow and DuckDB: one JSON command a line in, one JSON answer a line out.

Values go both ways as columns of canonical JSON, which `files.ts` defines.
"""

import decimal
import json
import struct
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

decimal.getcontext().prec = 100


def connect():
    global db
    db = duckdb.connect()
    db.sql("set timezone = 'UTC'")
    # Threads are not wanted beside those of the tests.
    db.sql("set threads = 1")


connect()

NANOS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def arrow_type(t):
    kind = t["kind"]
    if kind == "list":
        item = pa.field("element", arrow_type(t["item"]), nullable=t["item"]["nullable"])
        return pa.large_list(item) if t["large"] else pa.list_(item)
    if kind == "struct":
        return pa.struct([pa.field(f["name"], arrow_type(f), nullable=f["nullable"]) for f in t["fields"]])
    if kind == "map":
        return pa.map_(pa.string(), pa.field("value", arrow_type(t["item"]), nullable=t["item"]["nullable"]))
    if kind == "decimal":
        make = pa.decimal128 if t["precision"] <= 38 else pa.decimal256
        return make(t["precision"], t["scale"])
    if kind == "timestamp":
        return pa.timestamp(t["unit"], "UTC" if t["utc"] else None)
    if kind == "time":
        return pa.time64("us")
    if kind == "fixed":
        return pa.binary(t["width"])
    if kind == "dictionary":
        return pa.dictionary(pa.int32(), pa.string())
    names = {"half": "float16", "float": "float32", "double": "float64", "date": "date32", "boolean": "bool_"}
    return getattr(pa, names.get(kind, kind))()


def decode(t, v):
    if v is None:
        return None
    kind = t["kind"]
    if kind == "list":
        return [decode(t["item"], x) for x in v]
    if kind == "struct":
        return {f["name"]: decode(f, x) for f, x in zip(t["fields"], v)}
    if kind == "map":
        return [(k, decode(t["item"], x)) for k, x in v]
    if kind in ("half", "float", "double"):
        return struct.unpack(">d", bytes.fromhex(v))[0] if v != "nan" else float("nan")
    if kind in ("binary", "fixed"):
        return bytes.fromhex(v)
    if kind == "decimal":
        return decimal.Decimal(v)
    if kind == "timestamp":
        return int(v) // NANOS[t["unit"]]
    if kind == "time":
        return int(v) // 1000
    if kind in ("string", "large_string", "dictionary", "boolean"):
        return v
    return int(v)


def encode(s):
    """The canonical JSON of an Arrow scalar."""
    if isinstance(s, pa.DictionaryScalar):
        s = s.value
        if s is None:
            return None
    if not s.is_valid:
        return None
    t = s.type
    if pa.types.is_map(t):
        # Not `to_pylist`: it would lose the microseconds below a millisecond of what is inside.
        return sorted([encode(entry[0]), encode(entry[1])] for entry in map(lambda e: list(e.values()), s.values))
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return [encode(x) for x in s.values]
    if pa.types.is_struct(t):
        return [encode(s[i]) for i in range(len(t))]
    if pa.types.is_timestamp(t):
        return str(s.value * NANOS[t.unit])
    if pa.types.is_time(t):
        return str(s.value * NANOS[t.unit])
    if pa.types.is_date(t):
        return str(s.value if pa.types.is_date32(t) else s.value // 86_400_000)
    if pa.types.is_floating(t):
        v = float(s.as_py())
        return "nan" if v != v else struct.pack(">d", v).hex()
    if pa.types.is_decimal(t):
        return format(s.as_py(), "f")
    if pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t):
        return s.as_py().hex()
    if pa.types.is_integer(t):
        return str(s.as_py())
    return s.as_py()


def columns_of(table):
    return [[encode(x) for x in column] for column in table.columns]


def table_of(columns):
    fields = [pa.field(c["name"], arrow_type(c["type"]), nullable=c["type"]["nullable"]) for c in columns]
    arrays = [pa.array([decode(c["type"], v) for v in c["values"]], f.type) for c, f in zip(columns, fields)]
    return pa.table(arrays, schema=pa.schema(fields))


def write_pyarrow(path, columns, options):
    pq.write_table(table_of(columns), path, **options)


def write_duckdb(path, columns, options):
    table = table_of(columns)
    db.register("written", table)
    settings = ", ".join(f"{name} {value}" for name, value in options.items())
    db.sql(f"copy written to '{path}' (format parquet{', ' if settings else ''}{settings})")
    db.unregister("written")


def read_duckdb(path):
    return db.sql(f"from read_parquet('{path}')").to_arrow_table()


def attempt(f):
    try:
        return {"columns": f()}
    except Exception as error:
        # After an internal error of DuckDB's the connection is good for nothing any more.
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            connect()
        return {"error": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "write":
        writer = {"pyarrow": write_pyarrow, "duckdb": write_duckdb}[command["writer"]]
        answer = attempt(lambda: writer(command["path"], command["columns"], command["options"]))
    else:
        path = command["path"]
        answer = {
            "pyarrow": attempt(lambda: columns_of(pq.ParquetFile(path).read())),
            "duckdb": attempt(lambda: columns_of(read_duckdb(path))),
        }
    print(json.dumps(answer), flush=True)
