/** The law that a `where` of a Parquet file finds what a filter finds, for every type that Arrow and Parquet have an order for. */
import { Condition } from "@sluice/core"
import * as Arrow from "apache-arrow"
import { Effect, Schema, Stream } from "effect"
import * as fc from "fast-check"
import * as Parquet from "../../src/formats/Parquet.ts"
import * as Footer from "../../src/formats/internal/parquet/footer.ts"
import * as Thrift from "../../src/formats/internal/parquet/thrift.ts"
import { Storage } from "../../src/storage/Storage.ts"

const big = (min: bigint, max: bigint) =>
  fc.oneof(fc.bigInt(min, max), fc.constantFrom(min, max, 0n, max - 1n, min + 1n))
const int = (min: number, max: number) => fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max, 0, 1, max - 1))
const near = fc.bigInt(-5000n, 5000n)
const time = fc.oneof(near, big(-(2n ** 62n), 2n ** 62n))
const string = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b", "é", "\uffff", "😀"), maxLength: 4 }),
  // Longer than writers keep of a minimum or maximum.
  fc.string({ unit: fc.constantFrom("a", "é", "😀"), minLength: 60, maxLength: 70 })
)

/** A column of Arrow: its type, its values and the memory they lie in. */
const kinds: ReadonlyArray<{
  readonly type: Arrow.DataType
  readonly value: fc.Arbitrary<unknown>
  readonly data?: (values: ReadonlyArray<never>) => ArrayLike<number | bigint>
}> = [
  { type: new Arrow.Int8(), value: int(-128, 127), data: (values) => Int8Array.from(values) },
  { type: new Arrow.Int16(), value: int(-(2 ** 15), 2 ** 15 - 1), data: (values) => Int16Array.from(values) },
  { type: new Arrow.Int32(), value: int(-(2 ** 31), 2 ** 31 - 1), data: (values) => Int32Array.from(values) },
  { type: new Arrow.Int64(), value: big(-(2n ** 63n), 2n ** 63n - 1n), data: (values) => BigInt64Array.from(values) },
  { type: new Arrow.Uint8(), value: int(0, 255), data: (values) => Uint8Array.from(values) },
  { type: new Arrow.Uint16(), value: int(0, 2 ** 16 - 1), data: (values) => Uint16Array.from(values) },
  { type: new Arrow.Uint32(), value: int(0, 2 ** 32 - 1), data: (values) => Uint32Array.from(values) },
  { type: new Arrow.Uint64(), value: big(0n, 2n ** 64n - 1n), data: (values) => BigUint64Array.from(values) },
  { type: new Arrow.Float32(), value: fc.oneof(fc.float(), fc.constantFrom(0, -0)), data: (v) => Float32Array.from(v) },
  {
    type: new Arrow.Float64(),
    value: fc.oneof(fc.double(), fc.constantFrom(0, -0)),
    data: (v) => Float64Array.from(v)
  },
  { type: new Arrow.DateDay(), value: int(-800_000, 2_932_896), data: (values) => Int32Array.from(values) },
  ...[1, 2, 3].flatMap((unit) =>
    [null, "UTC"].map((zone) => ({
      type: new Arrow.Timestamp(unit, zone),
      value: time,
      data: (values: ReadonlyArray<never>) => BigInt64Array.from(values)
    }))
  ),
  { type: new Arrow.TimeMillisecond(), value: int(0, 86_399_999), data: (values) => Int32Array.from(values) },
  { type: new Arrow.TimeMicrosecond(), value: big(0n, 86_399_999_999n), data: (values) => BigInt64Array.from(values) },
  { type: new Arrow.Bool(), value: fc.boolean() },
  { type: new Arrow.Utf8(), value: string },
  { type: new Arrow.LargeUtf8(), value: string },
  { type: new Arrow.Dictionary(new Arrow.Utf8(), new Arrow.Int32()), value: string }
]

const compare = (one: unknown, other: unknown): number =>
  typeof one === "string" && typeof other === "string"
    ? Buffer.compare(Buffer.from(one), Buffer.from(other))
    : (one as number) < (other as number)
      ? -1
      : 1

interface Case {
  readonly column: Arrow.Vector
  readonly rowGroupRows: number
  readonly damage: string
  readonly seed: number
}

const toColumn = ({ data, type }: (typeof kinds)[number], values: ReadonlyArray<unknown>): Arrow.Vector => {
  if (data === undefined) return Arrow.vectorFromArray([...values], type)
  const wide = (Arrow.DataType.isInt(type) && type.bitWidth === 64) || Arrow.DataType.isTimestamp(type)
  const zero = wide || type instanceof Arrow.TimeMicrosecond ? 0n : 0
  const safe = data(values.map((value) => (value === null ? zero : value) as never))
  const nullBitmap = Arrow.util.packBools(values.map((value) => value !== null))
  const nullCount = values.filter((value) => value === null).length
  return new Arrow.Vector([
    new Arrow.Data(type, 0, values.length, nullCount, {
      [Arrow.BufferType.DATA]: safe,
      [Arrow.BufferType.VALIDITY]: nullBitmap
    })
  ])
}

const cases = fc
  .constantFrom(...kinds)
  .chain((kind) =>
    fc.record({
      values: fc.array(fc.option(kind.value, { freq: 8 }), { minLength: 1, maxLength: 40 }),
      kind: fc.constant(kind),
      sorted: fc.boolean(),
      rowGroupRows: fc.integer({ min: 1, max: 8 }),
      damage: fc.constantFrom(
        "none",
        "none",
        "none",
        "deprecated",
        "unordered",
        "no nulls",
        "one bound",
        "NaN",
        "truncated"
      ),
      seed: fc.integer()
    })
  )
  .map(({ damage, kind, rowGroupRows, seed, sorted, values }): Case => ({
    column: toColumn(kind, sorted ? values.toSorted(compare) : values),
    rowGroupRows,
    damage,
    seed
  }))

/** A footer with other statistics, that say less than those of the writer or the same. */
const damaged = (file: Uint8Array, damage: string): Uint8Array => {
  const { at, struct } = Footer.ofFile(file)
  const groups = Thrift.structs(struct, 4).map((group) =>
    Thrift.set(group, [
      [
        1,
        Thrift.structList(
          Thrift.structs(group, 1).map((chunk) => {
            const meta = Thrift.struct(chunk, 3)
            const statistics = meta && Thrift.struct(meta, 12)
            if (meta === undefined || statistics === undefined) return chunk
            return Thrift.set(chunk, [
              [
                3,
                Thrift.structField(
                  Thrift.set(meta, [[12, Thrift.structField(changed(statistics, Thrift.int(meta, 1), damage))]])
                )
              ]
            ])
          })
        )
      ]
    ])
  )
  const bytes = Thrift.write(
    Thrift.set(struct, [[4, Thrift.structList(groups)], ...(damage === "unordered" ? ([[7, undefined]] as const) : [])])
  )
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([file.subarray(0, at), bytes, length, Buffer.from("PAR1")])
}

const changed = (statistics: Thrift.Struct, physical: number | undefined, damage: string): Thrift.Struct => {
  const max = Thrift.binary(statistics, 5)
  const min = Thrift.binary(statistics, 6)
  const bytes = (value: Uint8Array): Thrift.Field => ({ type: 8, value })
  switch (damage) {
    // They have another order, such as that of signed bytes, so they say nothing.
    case "deprecated":
      return Thrift.set(statistics, [
        [1, min && bytes(min)],
        [2, max && bytes(max)],
        [5, undefined],
        [6, undefined]
      ])
    case "no nulls":
      return Thrift.set(statistics, [[3, undefined]])
    case "one bound":
      return Thrift.set(statistics, [[5, undefined]])
    case "NaN":
      return physical === 4 || physical === 5
        ? Thrift.set(statistics, [
            [
              6,
              bytes(
                Buffer.from(physical === 4 ? Float32Array.of(Number.NaN).buffer : Float64Array.of(Number.NaN).buffer)
              )
            ]
          ])
        : statistics
    case "truncated":
      return physical === 6 && min !== undefined ? Thrift.set(statistics, [[6, bytes(min.subarray(0, 1))]]) : statistics
    default:
      return statistics
  }
}

const schemas = [Schema.Number, Schema.BigInt, Schema.String, Schema.Boolean, Schema.Date]

const neighbours = (value: unknown): ReadonlyArray<Condition.Comparable> =>
  typeof value === "number"
    ? [value, value + 1, value - 1, -value, value / 2]
    : typeof value === "bigint"
      ? [value, value + 1n, value - 1n, -value, Number(value)]
      : typeof value === "string"
        ? [value, `${value}a`, value.slice(0, -1), value.slice(0, 1), "\ud83d"]
        : value instanceof Date
          ? [value, new Date(value.getTime() + 1), new Date(value.getTime() - 1)]
          : typeof value === "boolean"
            ? [value]
            : []

const conditionOf = (values: ReadonlyArray<unknown>, random: () => number): Condition.Expression => {
  const pick = <A>(from: ReadonlyArray<A>): A | undefined => from[Math.floor(random() * from.length)]
  const value = pick(neighbours(pick(values)))
  const other = pick(neighbours(pick(values)))
  if (value === undefined || other === undefined) {
    return (random() < 0.5 ? Condition.isNull : Condition.isNotNull).expression
  }
  const all: ReadonlyArray<Condition.Expression> = [
    ...(["=", "!=", "<", "<=", ">", ">="] as const).map((operator) => ({ _tag: "Compare" as const, operator, value })),
    { _tag: "OneOf", values: [value, other] },
    Condition.isNull.expression,
    Condition.isNotNull.expression,
    ...(typeof value === "string" ? [{ _tag: "StartsWith" as const, prefix: value }] : []),
    {
      _tag: random() < 0.5 ? "And" : "Or",
      of: [
        { _tag: "Compare", operator: ">=", value },
        { _tag: "Compare", operator: "<", value: other }
      ]
    }
  ]
  return pick(all) ?? Condition.isNull.expression
}

const splitmix = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
}

const key = (row: unknown): string =>
  JSON.stringify(row, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value))

interface Found {
  /** What is wrong, or nothing. */
  readonly wrong: string | undefined
  /** Row groups that were not read. */
  readonly skipped: number
}

/** Holds the law for some conditions on every column of a file, read as every type that it can be read as. */
export const whereIsFilter = Effect.fnUntraced(function* (path: string, seed: number, conditions = 6) {
  const random = splitmix(seed)
  const [file] = yield* Parquet.metadata(path)
  let skipped = 0
  for (const { name } of file?.schema.fields ?? []) {
    for (const type of schemas) {
      const schema = Schema.Struct({ [name]: Schema.NullOr(type) })
      const source = Parquet.source(path, schema)
      const options = { splitBytes: 2 ** 40, openCostBytes: 0 }
      const rowsOf = (restricted: typeof source) =>
        Effect.flatMap(restricted.resolve(options), ({ splits }) =>
          Effect.map(
            Effect.forEach(splits, (split) => Stream.runCollect(split.read)),
            (parts) => ({
              rows: parts.flat(),
              groups: splits.flatMap((split) => split.parts).reduce((n, part) => n + (part.rowGroups?.length ?? 0), 0)
            })
          )
        )
      const whole = yield* Effect.result(rowsOf(source))
      // It cannot be read as this.
      if (whole._tag === "Failure") continue
      const values = whole.success.rows.map((row) => (row as Record<string, unknown>)[name])
      for (let i = 0; i < conditions; i++) {
        const where = [{ column: name, expression: conditionOf(values, random) }]
        const found = yield* rowsOf(source.restrict?.(where) ?? source)
        const matching = (rows: ReadonlyArray<object>) =>
          rows.filter((row) => Condition.matchesAll(where, row as Record<string, unknown>)).map(key)
        const expected = matching(whole.success.rows)
        const got = matching(found.rows)
        skipped += whole.success.groups - found.groups
        if (expected.join() !== got.join()) {
          const its = where.map(Condition.print).join()
          const wrong = `${String(file?.schema)}: where ${its} as ${type.ast._tag} finds ${got.length} rows, filter ${expected.length}: ${expected.slice(0, 5).join()}`
          return { wrong, skipped } satisfies Found as Found
        }
      }
    }
  }
  return { wrong: undefined, skipped } as Found
})

/** The law for the file of a seed. */
export const where = Effect.fnUntraced(function* (path: string, seed: number) {
  const [made] = fc.sample(cases, { seed, numRuns: 1 })
  if (made === undefined) return { wrong: "no case", skipped: 0 }
  const { column, damage, rowGroupRows } = made
  const storage = yield* Storage
  const table = new Arrow.Table({ c: column })
  const batches = Array.from(
    { length: Math.ceil(column.length / rowGroupRows) },
    (_, i) => table.slice(i * rowGroupRows, (i + 1) * rowGroupRows).batches
  ).flat()
  yield* storage.write(path, Parquet.batchWriter({ rowGroupRows }).encode(Stream.fromIterable(batches)), {
    overwrite: true
  })
  const { length } = yield* storage.stat(path)
  const bytes = damaged(yield* storage.readRange(path, 0, length), damage)
  yield* storage.write(path, Stream.succeed(bytes), { overwrite: true })
  return yield* whereIsFilter(path, made.seed)
})
