"""Files of other writers, and what other readers make of files.

foreign.py write FOLDER SEED   pyarrow and DuckDB write columns of every type with few rows a row group
foreign.py read FILE...        a line of JSON for each file: its rows as pyarrow and as DuckDB read them
"""

import datetime as dt
import decimal
import json
import random
import struct
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq


def number(value):
    if isinstance(value, int):
        return str(value)
    if value != value:
        return "NaN"
    if value == 0:
        return "-0" if str(value)[0] == "-" else "0"
    if abs(value) < 2**53 and value == int(value):
        return str(int(value))
    return struct.pack("<d", value).hex()


def plain(scalar):
    if not scalar.is_valid:
        return None
    t = scalar.type
    if pa.types.is_struct(t):
        fields = [(t.field(i).name, plain(scalar[i])) for i in range(t.num_fields)]
        return {"$": sorted([k, v] for k, v in fields if v is not None)}
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return [plain(v) for v in scalar.values]
    if pa.types.is_timestamp(t):
        return "d:%d" % (scalar.value // {"s": 1, "ms": 1, "us": 1000, "ns": 1000000}[t.unit])
    value = scalar.as_py()
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, bytes):
        return "b:" + value.hex()
    return "s:" + value


def rows(table):
    columns = [(table.column_names[i], table.column(i)) for i in range(table.num_columns)]
    out = []
    for i in range(table.num_rows):
        fields = [(name, plain(column[i])) for name, column in columns]
        out.append({"$": sorted([k, v] for k, v in fields if v is not None)})
    return out


def read(files):
    for file in files:
        duck = duckdb.sql("from read_parquet($1)", params=[file]).to_arrow_table()
        print(json.dumps({"pyarrow": rows(pq.read_table(file)), "duckdb": rows(duck)}))


def write(folder, seed):
    rnd = random.Random(seed)
    n = 120
    epoch = dt.datetime(1970, 1, 1)

    def some(make, type):
        values = [make() for _ in range(n)]
        # Sorted, so that row groups differ; floats as they come, for NaN has no place.
        if rnd.random() < 0.7 and not any(v != v for v in values):
            values.sort()
        return pa.array([None if rnd.random() < 0.1 else v for v in values], type)

    def ints(bits, signed):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return lambda: rnd.choice([low, high, 0, rnd.randint(low, high), max(low, rnd.randint(-9, 9))])

    def real():
        return rnd.choice([0.0, -0.0, rnd.uniform(-5, 5), float(rnd.randint(-9, 9)), 1e30, -1e30])

    def nan():
        return float("nan") if rnd.random() < 0.2 else real()

    def text():
        return "".join(rnd.choice("abé\uffff😀") for _ in range(rnd.choice([0, 1, 3, 70])))

    def moment():
        return epoch + dt.timedelta(microseconds=rnd.choice([rnd.randint(-5000, 5000), rnd.randint(-(10**15), 10**16)]))

    def cents(digits):
        return lambda: decimal.Decimal(rnd.choice([rnd.randint(-99, 99), rnd.randint(-(10**digits - 1), 10**digits - 1)])).scaleb(-2)

    columns = {f"i{bits}": some(ints(bits, True), getattr(pa, f"int{bits}")()) for bits in (8, 16, 32, 64)}
    columns |= {f"u{bits}": some(ints(bits, False), getattr(pa, f"uint{bits}")()) for bits in (8, 16, 32, 64)}
    columns |= {"f32": some(real, pa.float32()), "f64": some(real, pa.float64())}
    columns |= {"nan32": some(nan, pa.float32()), "nan64": some(nan, pa.float64())}
    columns |= {"s": some(text, pa.string()), "b": some(lambda: rnd.random() < 0.5, pa.bool_())}
    columns |= {"day": some(lambda: moment().date(), pa.date32())}
    for unit in ("s", "ms", "us", "ns"):
        columns["t" + unit] = pa.array(
            [None if rnd.random() < 0.1 else (1000 * rnd.randint(-(10**9), 10**9) if unit != "s" else rnd.randint(-99, 99)) for _ in range(n)],
            pa.int64(),
        ).cast(pa.timestamp(unit, tz=rnd.choice([None, "UTC"])))
    columns |= {"us": some(moment, pa.timestamp("us")), "time": some(lambda: moment().time(), pa.time64("us"))}
    columns |= {"d9": some(cents(9), pa.decimal128(9, 2)), "d18": some(cents(18), pa.decimal128(18, 2)), "d38": some(cents(38), pa.decimal128(38, 2))}
    columns |= {"null": pa.nulls(n), "dict": some(text, pa.string()).dictionary_encode()}
    table = pa.table(columns)
    pq.write_table(
        table,
        f"{folder}/pyarrow-{seed}.parquet",
        row_group_size=rnd.choice([3, 10, 40]),
        version=rnd.choice(["1.0", "2.4", "2.6"]),
        data_page_version=rnd.choice(["1.0", "2.0"]),
        store_schema=rnd.random() < 0.5,
        store_decimal_as_integer=rnd.random() < 0.5,
        allow_truncated_timestamps=True,
        use_deprecated_int96_timestamps=rnd.random() < 0.2,
        **({"coerce_timestamps": "us"} if rnd.random() < 0.3 else {}),
    )
    flat = table.drop_columns(["null"])
    groups = "ROW_GROUP_SIZE 2048" if rnd.random() < 0.5 else "ROW_GROUP_SIZE 2048, PARQUET_VERSION V2"
    many = pa.concat_tables([flat] * 40).sort_by("i32")
    duckdb.sql(f"copy (from many) to '{folder}/duckdb-{seed}.parquet' (FORMAT PARQUET, {groups})")


if sys.argv[1] == "read":
    read(sys.argv[2:])
else:
    for seed in sys.argv[3:]:
        write(sys.argv[2], int(seed))
