/** Laws of Parquet files over random schemas, values, conditions and damage. A seed makes the same case again. */
import { FormatError, Vector } from "@sluice/core"
import { Effect, Schema, Stream } from "effect"
import * as fc from "fast-check"
import * as Parquet from "../../src/formats/Parquet.ts"
import type { Source } from "../../src/task/Format.ts"
import { Storage } from "../../src/storage/Storage.ts"

/** A schema with values of it, good and, seldom, such as cannot be written. */
interface Kind {
  readonly schema: Schema.Constraint
  readonly value: fc.Arbitrary<unknown>
  /** Whether some of the values have to be refused. */
  readonly refused: (value: unknown) => boolean
  readonly nullable?: boolean
}

const never = () => false
const text = fc.oneof(
  { weight: 12, arbitrary: fc.string({ unit: "grapheme", maxLength: 6 }) },
  { weight: 2, arbitrary: fc.constantFrom("", "\u0000", "é".repeat(80), "😀", "null", "__proto__") },
  { weight: 1, arbitrary: fc.constantFrom("\ud800", "a\udfff") }
)
const int64 = fc.oneof(
  { weight: 12, arbitrary: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) },
  { weight: 4, arbitrary: fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n) },
  { weight: 1, arbitrary: fc.constantFrom(2n ** 63n, -(2n ** 63n) - 1n, 2n ** 64n) }
)
const int32 = fc.oneof(
  { weight: 12, arbitrary: fc.integer() },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 31, -(2 ** 31) - 1, 0.5) }
)
const float32 = fc.float()
const date = fc.oneof(
  { weight: 12, arbitrary: fc.date({ noInvalidDate: true }) },
  { weight: 3, arbitrary: fc.constantFrom(new Date(-1), new Date(-62135596800000), new Date(8.64e15)) },
  { weight: 1, arbitrary: fc.constant(new Date(Number.NaN)) }
)

const scalars: ReadonlyArray<Kind> = [
  { schema: Schema.Number, value: fc.double(), refused: never },
  { schema: Parquet.Float32, value: float32, refused: never },
  {
    schema: Parquet.Int32,
    value: int32,
    refused: (value) => !Number.isInteger(value) || Number(value) !== (Number(value) | 0)
  },
  { schema: Schema.BigInt, value: int64, refused: (value) => BigInt.asIntN(64, value as bigint) !== value },
  { schema: Schema.String, value: text, refused: (value) => !(value as string).isWellFormed() },
  { schema: Schema.Boolean, value: fc.boolean(), refused: never },
  { schema: Schema.Date, value: date, refused: (value) => Number.isNaN((value as Date).getTime()) },
  { schema: Schema.Uint8Array, value: fc.uint8Array({ maxLength: 5 }), refused: never },
  { schema: Vector.Float32, value: fc.float32Array({ maxLength: 4 }), refused: never },
  { schema: Schema.Literals(["a", "b"]), value: fc.constantFrom("a", "b"), refused: never },
  { schema: Schema.Literals([1n, -1n]), value: fc.constantFrom(1n, -1n), refused: never }
]

const names = fc.uniqueArray(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("a", "b", "c", "list", "element", "item") },
    { weight: 1, arbitrary: fc.constantFrom("__proto__", "constructor", "toString", "valueOf", "hasOwnProperty") },
    { weight: 1, arbitrary: fc.constantFrom("", "a.b", "ü", "😀", "key=value", "a b", '"') }
  ),
  { minLength: 1, maxLength: 4 }
)

const own = (pairs: ReadonlyArray<readonly [string, unknown]>): object => Object.fromEntries(pairs)
const read = (value: unknown, name: string): unknown =>
  Object.hasOwn(value as object, name) ? (value as Record<string, unknown>)[name] : undefined

/** The fields of a struct: some of them optional, some with a check. */
const structOf = (depth: number): fc.Arbitrary<Kind & { readonly schema: Schema.Struct<Schema.Struct.Fields> }> =>
  names.chain((chosen) =>
    fc
      .tuple(
        ...chosen.map(() => fc.tuple(kindOf(depth), fc.constantFrom("required", "required", "optional", "checked")))
      )
      .map((kinds) => {
        const fields = chosen.flatMap((name, i) => {
          const [kind, chosenPresence] = kinds[i] ?? []
          if (kind === undefined || chosenPresence === undefined) return []
          // For a missing key, Effect takes the value that the object inherits.
          const presence = name in Object.prototype ? "required" : chosenPresence
          const checked = (kind.schema as Schema.Codec<unknown>).check(Schema.makeFilter(() => true))
          return [
            {
              name,
              kind,
              // Parquet has one kind of absence: what may be null as well comes back as null.
              optional: presence !== "required" && kind.nullable !== true,
              schema: (presence === "required"
                ? kind.schema
                : Schema.optionalKey(presence === "checked" ? checked : kind.schema)) as Schema.Constraint
            }
          ]
        })
        const value = fc
          .tuple(...fields.map(({ kind, optional }) => (optional ? fc.option(kind.value) : kind.value)))
          .map((values) =>
            own(
              fields.flatMap(({ name, optional }, i) =>
                optional && values[i] === null ? [] : [[name, values[i]] as const]
              )
            )
          )
        return {
          schema: Schema.Struct(own(fields.map(({ name, schema }) => [name, schema])) as Schema.Struct.Fields),
          value,
          refused: (row: unknown) =>
            fields.some(
              ({ kind, name }) =>
                Object.hasOwn(row as object, name) && read(row, name) !== null && kind.refused(read(row, name))
            )
        }
      })
  )

const kindOf = (depth: number): fc.Arbitrary<Kind> => {
  const scalar = fc.constantFrom(...scalars)
  const plain: fc.Arbitrary<Kind> =
    depth === 0
      ? scalar
      : fc.oneof(
          { weight: 5, arbitrary: scalar },
          {
            weight: 2,
            arbitrary: kindOf(depth - 1).map((item) => ({
              schema: Schema.Array(item.schema),
              value: fc.array(item.value, { maxLength: 4 }),
              refused: (value: unknown) =>
                (value as ReadonlyArray<unknown>).some((one) => one !== null && item.refused(one))
            }))
          },
          { weight: 2, arbitrary: structOf(depth - 1) }
        )
  return fc.tuple(plain, fc.integer({ min: 0, max: 3 })).map(([kind, nullable]) =>
    nullable > 0
      ? kind
      : {
          nullable: true,
          schema: Schema.NullOr(kind.schema),
          value: fc.option(kind.value),
          refused: (value: unknown) => value !== null && kind.refused(value)
        }
  )
}

interface Table {
  readonly schema: Schema.Struct<Schema.Struct.Fields>
  readonly rows: ReadonlyArray<Record<string, unknown>>
  /** Whether one of the rows has to be refused. */
  readonly refused: boolean
  readonly options: Parquet.ParquetWriterOptions
}

const table = (maxRows: number): fc.Arbitrary<Table> =>
  structOf(2).chain(({ refused, schema, value }) =>
    fc
      .record({
        schema: fc.constant(schema),
        rows: fc.array(value as fc.Arbitrary<Record<string, unknown>>, { maxLength: maxRows }),
        options: fc.record({
          compression: fc.constantFrom("snappy" as const, "zstd" as const, "gzip" as const, "none" as const),
          rowGroupRows: fc.integer({ min: 1, max: maxRows })
        })
      })
      .map((made) => ({ ...made, refused: made.rows.some(refused) }))
  )

/** The value of a seed. */
const sample = <A>(arbitrary: fc.Arbitrary<A>, seed: number): A => {
  const [value] = fc.sample(arbitrary, { seed, numRuns: 1 })
  if (value === undefined) throw new Error("no value")
  return value
}

export const rowsOf = <A>(source: Source<A>) =>
  Effect.flatMap(source.resolve({ splitBytes: 2 ** 40, openCostBytes: 0 }), ({ splits }) =>
    Effect.map(
      Effect.forEach(splits, (split) => Stream.runCollect(split.read)),
      (parts) => parts.flat()
    )
  )

export const writeTo = <A>(
  path: string,
  source: Schema.Struct<Schema.Struct.Fields>,
  rows: ReadonlyArray<A>,
  options?: Parquet.ParquetWriterOptions
) =>
  Effect.flatMap(Storage, (storage) =>
    storage.write(path, Parquet.writer(source, options).encode(Stream.fromIterable(rows as ReadonlyArray<never>)), {
      overwrite: true
    })
  )

/** Strict equality, which distinguishes `-0`, NaN, missing keys and the kinds of objects. */
const same = (one: unknown, other: unknown): boolean => {
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null)
    return Object.is(one, other)
  if (one instanceof Date || other instanceof Date) {
    return one instanceof Date && other instanceof Date && Object.is(one.getTime(), other.getTime())
  }
  if (ArrayBuffer.isView(one) || ArrayBuffer.isView(other) || Array.isArray(one) || Array.isArray(other)) {
    if (one.constructor.name !== other.constructor.name && !(one instanceof Uint8Array && other instanceof Uint8Array))
      return false
    const a = one as ArrayLike<unknown>
    const b = other as ArrayLike<unknown>
    return a.length === b.length && Array.from(a).every((value, i) => same(value, b[i]))
  }
  const keys = Object.keys(one)
  return (
    Object.getPrototypeOf(other) === Object.prototype &&
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && same(read(one, key), read(other, key)))
  )
}

export const show = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "bigint"
      ? `${inner}n`
      : typeof inner === "number" && !Number.isFinite(inner)
        ? String(inner)
        : Object.is(inner, -0)
          ? "-0"
          : inner
  )

/** Write and read is the identity, or the rows are refused with the place of the value. What is wrong, or nothing. */
export const identity = (path: string, { options, refused, rows, schema }: Table) =>
  Effect.gen(function* () {
    const written = yield* Effect.result(writeTo(path, schema, rows, options))
    if (written._tag === "Failure") {
      const error = written.failure
      if (!(error instanceof FormatError.FormatError) || error.reason._tag !== "Unencodable")
        return `failed with ${error}`
      if (!refused) return `refused what can be written: ${error.message}`
      return error.reason.column !== undefined && error.reason.row !== undefined
        ? undefined
        : `no place: ${error.message}`
    }
    if (refused) return "wrote a value that cannot be written"
    const back = yield* Effect.result(rowsOf(Parquet.source(path, schema)))
    if (back._tag === "Failure") return `wrote ${show(rows)} and read ${back.failure.message}`
    const at = rows.findIndex((row, i) => !same(row, back.success[i]))
    if (back.success.length !== rows.length) return `wrote ${rows.length} rows and read ${back.success.length}`
    return at === -1 ? undefined : `row ${at}: wrote ${show(rows[at])} and read ${show(back.success[at])}`
  })

export const tableOf = (seed: number): Table => sample(table(12), seed)
