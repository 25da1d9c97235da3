/**
 * Random tables, as canonical JSON: what every writer is given, and what every reader of a file must yield again.
 *
 * Integers, days and decimals are decimal text, times and timestamps nanoseconds as decimal text, floats the sixteen hexadecimal digits
 * of the double (or `nan`), bytes hexadecimal, strings and booleans themselves; a struct is the array of its fields' values, a map the
 * array of its entries in the order of their keys.
 */
import { Random } from "../spec.ts"

export type Cell = null | boolean | string | ReadonlyArray<Cell>

interface Nullable {
  readonly nullable: boolean
}

export type Type = Nullable &
  (
    | { readonly kind: "boolean" | "string" | "large_string" | "dictionary" | "binary" | "date" | "time" }
    | { readonly kind: "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" }
    | { readonly kind: "half" | "float" | "double" }
    | { readonly kind: "fixed"; readonly width: number }
    | { readonly kind: "decimal"; readonly precision: number; readonly scale: number }
    | { readonly kind: "timestamp"; readonly unit: "ms" | "us" | "ns"; readonly utc: boolean }
    | { readonly kind: "list"; readonly item: Type; readonly large: boolean }
    | { readonly kind: "map"; readonly item: Type }
    | { readonly kind: "struct"; readonly fields: ReadonlyArray<Type & { readonly name: string }> }
  )

export interface Column {
  readonly name: string
  readonly type: Type
  readonly values: ReadonlyArray<Cell>
}

const writers = ["sluice", "pyarrow", "duckdb", "hyparquet"] as const
type WriterName = (typeof writers)[number]

/** A file to be written. */
export interface File {
  readonly seed: number
  readonly writer: WriterName
  readonly columns: ReadonlyArray<Column>
  readonly rows: number
  readonly options: Readonly<Record<string, unknown>>
}

// Each writer is asked for what it has.
const kinds: Readonly<Record<WriterName, ReadonlyArray<Type["kind"]>>> = {
  sluice: ["boolean", "string", "binary", "int32", "int64", "float", "double", "timestamp"],
  pyarrow: [
    ...["boolean", "string", "large_string", "dictionary", "binary", "date", "time", "int8", "int16", "int32"],
    ...["int64", "uint8", "uint16", "uint32", "uint64", "half", "float", "double", "fixed", "decimal", "timestamp"]
  ] as ReadonlyArray<Type["kind"]>,
  duckdb: [
    ...["boolean", "string", "dictionary", "binary", "date", "time", "int8", "int16", "int32", "int64", "uint8"],
    ...["uint16", "uint32", "uint64", "float", "double", "decimal", "timestamp"]
  ] as ReadonlyArray<Type["kind"]>,
  hyparquet: ["boolean", "string", "binary", "int32", "int64", "half", "float", "double", "timestamp", "date"]
}

const nested: Readonly<Record<WriterName, ReadonlyArray<Type["kind"]>>> = {
  sluice: ["list", "struct"],
  pyarrow: ["list", "struct", "map"],
  duckdb: ["list", "struct", "map"],
  hyparquet: ["list", "struct"]
}

const randomType = (random: Random, writer: WriterName, depth: number): Type => {
  const nullable = random.chance(0.6)
  const isNested = random.chance(depth === 0 ? 0.3 : depth === 1 ? 0.2 : 0)
  const kind = random.pick(isNested ? nested[writer] : kinds[writer])
  switch (kind) {
    case "list":
      return {
        kind,
        nullable,
        item: randomType(random, writer, depth + 1),
        large: writer === "pyarrow" && random.chance(0.2)
      }
    case "map":
      return { kind, nullable, item: randomType(random, writer, depth + 1) }
    case "struct": {
      const fields = Array.from({ length: 1 + random.int(3) }, (_, i) => ({
        ...randomType(random, writer, depth + 1),
        name: `f${i}`
      }))
      return { kind, nullable, fields }
    }
    case "fixed":
      return { kind, nullable, width: random.pick([1, 4, 16, 17]) }
    case "decimal": {
      const precision = random.pick(writer === "duckdb" ? [4, 9, 18, 19, 38] : [1, 4, 9, 18, 19, 38, 39, 76])
      return { kind, nullable, precision, scale: random.pick([0, Math.min(2, precision), precision]) }
    }
    case "timestamp":
      return writer === "sluice" || writer === "hyparquet"
        ? { kind, nullable, unit: "ms", utc: true }
        : { kind, nullable, unit: random.pick(["ms", "us", "ns"]), utc: random.chance(0.5) }
    default:
      return { kind, nullable }
  }
}

export const doubleText = (value: number): string => {
  if (Number.isNaN(value)) return "nan"
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString("hex")
}

export const doubleOf = (text: string): number =>
  text === "nan" ? Number.NaN : Buffer.from(text, "hex").readDoubleBE()

const between = (random: Random, least: bigint, greatest: bigint): bigint => {
  const span = greatest - least + 1n
  const draw = random.int(6)
  if (draw === 0) return least
  if (draw === 1) return greatest
  const small = BigInt(random.int(2000) - 1000)
  if (draw <= 3) return small < least ? least : small > greatest ? greatest : small
  return (
    least +
    ((((BigInt(random.int(2 ** 32)) << 32n) | BigInt(random.int(2 ** 32))) * (span >> 60n > 0n ? span >> 60n : 1n)) %
      span)
  )
}

const decimalText = (unscaled: bigint, scale: number): string => {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, "0")
  const whole = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  return unscaled < 0n ? `-${whole}` : whole
}

const texts = [
  "",
  "a",
  "ü",
  "😀",
  "\u0000",
  "a\u0000b",
  "\n\r\t",
  '"',
  "\uFFFD",
  "constructor",
  "0123456789abcdef".repeat(20)
]

const numbersOf = [
  0,
  -0,
  1,
  -1,
  0.5,
  Number.NaN,
  Infinity,
  -Infinity,
  3.4e38,
  -1e-40,
  5e-324,
  1.7976931348623157e308,
  0.1,
  65504
]

const halves = [0, -0, 1, -1, 0.5, Number.NaN, Infinity, -Infinity, 65504, 2 ** -24, 1.5]

const nanos = { ms: 1_000_000n, us: 1000n, ns: 1n }

const bytesText = (random: Random, length: number): string =>
  Array.from({ length }, () => random.int(256).toString(16).padStart(2, "0")).join("")

const randomValue = (random: Random, type: Type, writer: WriterName): Cell => {
  switch (type.kind) {
    case "boolean":
      return random.chance(0.5)
    case "string":
    case "large_string":
    case "dictionary":
      return random.chance(0.5) ? random.pick(texts) : `text ${random.int(1000)}`
    case "binary":
      return bytesText(random, random.pick([0, 1, 3, 40]))
    case "fixed":
      return bytesText(random, type.width)
    case "date":
      return String(between(random, -700_000n, 2_900_000n))
    case "time":
      return String(between(random, 0n, 86_399_999_999n) * 1000n)
    case "timestamp": {
      // Years that every unit has; and in DuckDB the ends are infinities.
      const [least, greatest] =
        type.unit === "ns" ? [-9_000_000_000n, 9_000_000_000n] : [-60_000_000_000n, 250_000_000_000n]
      const seconds = between(random, least, greatest)
      const part =
        type.unit === "ms"
          ? between(random, 0n, 999n)
          : between(random, 0n, type.unit === "us" ? 999_999n : 999_999_999n)
      return String(seconds * 1_000_000_000n + part * nanos[type.unit])
    }
    case "decimal": {
      const most = 10n ** BigInt(type.precision) - 1n
      return decimalText(between(random, -most, most), type.scale)
    }
    case "half":
      return doubleText(random.pick(halves))
    case "float":
      return doubleText(Math.fround(random.chance(0.6) ? random.pick(numbersOf) : random.next() * 1000 - 500))
    case "double":
      return doubleText(random.chance(0.6) ? random.pick(numbersOf) : random.next() * 1000 - 500)
    case "list": {
      const length = random.pick([0, 1, 2, 5])
      return Array.from({ length }, () => randomCell(random, type.item, 0.2, writer))
    }
    case "map": {
      const keys = ["a", "b", "ü", ""].filter(() => random.chance(0.5))
      return keys.toSorted(compare).map((key) => [key, randomCell(random, type.item, 0.2, writer)])
    }
    case "struct":
      return type.fields.map((field) => randomCell(random, field, 0.2, writer))
    default: {
      const bits = BigInt(type.kind.replace(/\D+/, ""))
      return String(
        type.kind.startsWith("u")
          ? between(random, 0n, 2n ** bits - 1n)
          : between(random, -(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n)
      )
    }
  }
}

const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

const randomCell = (random: Random, type: Type, nulls: number, writer: WriterName): Cell =>
  type.nullable && random.chance(nulls) ? null : randomValue(random, type, writer)

const codecs = ["none", "snappy", "gzip", "zstd", "brotli", "lz4"] as const

/** The encodings that a column of this type can have. */
const encodings = (type: Type): ReadonlyArray<string> => {
  switch (type.kind) {
    case "boolean":
      return ["PLAIN", "RLE"]
    case "int8":
    case "int16":
    case "int32":
    case "int64":
    case "uint8":
    case "uint16":
    case "uint32":
    case "uint64":
    case "timestamp":
    case "date":
    case "time":
      return ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"]
    case "float":
    case "double":
      return ["PLAIN", "BYTE_STREAM_SPLIT"]
    case "half":
    case "fixed":
      return ["PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BYTE_ARRAY"]
    case "string":
    case "large_string":
    case "binary":
      return ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    default:
      return ["PLAIN"]
  }
}

const optionsOf = (random: Random, writer: WriterName, columns: ReadonlyArray<Column>): Record<string, unknown> => {
  const rowGroup = random.pick([1, 7, 50, 1000])
  switch (writer) {
    case "sluice":
      return { compression: random.pick(["none", "snappy", "gzip", "zstd"]), rowGroupRows: rowGroup }
    case "duckdb":
      return {
        codec: random.pick(["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"]),
        parquet_version: random.pick(["V1", "V2"]),
        row_group_size: random.pick([2048, 100_000]),
        ...(random.chance(0.5) ? { dictionary_size_limit: random.pick([1, 1000]) } : {}),
        ...(random.chance(0.3) ? { string_dictionary_page_size_limit: 64 } : {})
      }
    case "hyparquet":
      return {
        codec: random.pick(["UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "BROTLI"]),
        rowGroupSize: rowGroup,
        pageSize: random.pick([64, 1024, 1_048_576]),
        statistics: random.chance(0.7),
        ...(random.chance(0.3) ? { dictionarySize: 20 } : {}),
        encodings: Object.fromEntries(
          columns.map(({ name, type }) => [name, random.chance(0.5) ? undefined : random.pick(encodings(type))])
        ),
        columnIndex: random.chance(0.3),
        offsetIndex: random.chance(0.7)
      }
    case "pyarrow": {
      const dictionary = random.chance(0.5)
      const encoding = Object.fromEntries(
        columns.flatMap(({ name, type }) => (encodings(type).length > 1 ? [[name, random.pick(encodings(type))]] : []))
      )
      return {
        compression: random.pick(codecs),
        data_page_version: random.pick(["1.0", "2.0"]),
        version: random.pick(["1.0", "2.4", "2.6", "2.6"]),
        use_dictionary: dictionary,
        ...(dictionary || Object.keys(encoding).length === 0 ? {} : { column_encoding: encoding }),
        row_group_size: rowGroup,
        data_page_size: random.pick([1, 64, 1_048_576]),
        write_batch_size: random.pick([1, 3, 1024]),
        write_page_index: random.chance(0.3),
        write_page_checksum: random.chance(0.3),
        write_statistics: random.chance(0.7),
        store_schema: random.chance(0.7),
        use_compliant_nested_type: random.chance(0.8),
        store_decimal_as_integer: random.chance(0.3),
        ...(random.chance(0.2) ? { use_deprecated_int96_timestamps: true } : {})
      }
    }
  }
}

/** The file of a seed. */
export const fileOf = (seed: number): File => {
  const random = new Random(seed ^ 0x7ead)
  const writer = random.pick(writers)
  const rows = random.pick([0, 1, 5, 40, 40, 200])
  const columns = Array.from({ length: 1 + random.int(5) }, (_, i): Column => {
    const type = randomType(random, writer, 0)
    const nulls = random.pick([0, 0.1, 0.5, 1])
    // Few different values make dictionaries and runs.
    const pool = random.chance(0.4)
      ? Array.from({ length: 3 }, () => randomCell(random, type, nulls, writer))
      : undefined
    const values = Array.from({ length: rows }, () =>
      pool === undefined ? randomCell(random, type, nulls, writer) : random.pick(pool)
    )
    return { name: `c${i}`, type, values }
  })
  return { seed, writer, columns, rows, options: optionsOf(random, writer, columns) }
}
