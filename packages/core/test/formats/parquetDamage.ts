/** The law that a damaged file is a typed error or what can be made of it: never a crash, a defect or rows out of nothing. */
import { FormatError } from "@sluice/core"
import { Effect, Stream } from "effect"
import * as fc from "fast-check"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Parquet from "../../src/formats/Parquet.ts"
import * as Footer from "../../src/formats/internal/parquet/footer.ts"
import * as Thrift from "../../src/formats/internal/parquet/thrift.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { rowsOf, show, tableOf, writeTo } from "./parquetLaws.ts"

const golden = path.join(import.meta.dirname, "golden")
const goldenFiles = fs.readdirSync(golden).filter((name) => name.endsWith(".parquet"))

/** Every number in a part of a footer, and the part with one of them changed. */
const numbersOf = (struct: Thrift.Struct, skip: ReadonlySet<number>): number => {
  let found = 0
  const visit = (field: Thrift.Field): void => {
    if (field.type === 5 || field.type === 6) found++
    else if (field.type === 9) field.value.forEach(visit)
    else if (field.type === 12) field.value.forEach(visit)
  }
  for (const [id, field] of struct) if (!skip.has(id)) visit(field)
  return found
}

const withNumber = (struct: Thrift.Struct, skip: ReadonlySet<number>, at: number, to: bigint): Thrift.Struct => {
  let left = at
  const change = (field: Thrift.Field): Thrift.Field => {
    if (field.type === 5 || field.type === 6) return left-- === 0 ? { ...field, value: to } : field
    if (field.type === 9) return { ...field, value: field.value.map(change) }
    if (field.type === 12)
      return { ...field, value: new Map([...field.value].map(([id, inner]) => [id, change(inner)])) }
    return field
  }
  return new Map([...struct].map(([id, field]) => [id, skip.has(id) ? field : change(field)]))
}

// The type of a column, and its statistics, may change and make different rows.
const meaning = new Set([2, 5, 7])

type Damage =
  | { readonly kind: "flips"; readonly at: ReadonlyArray<number>; readonly bits: ReadonlyArray<number> }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "footer"; readonly at: number; readonly to: bigint }

const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({
    kind: fc.constant("flips" as const),
    at: fc.array(fc.double({ min: 0, max: 0.999999, noNaN: true }), { minLength: 1, maxLength: 4 }),
    bits: fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 4, maxLength: 4 })
  }),
  fc.record({ kind: fc.constant("cut" as const), at: fc.double({ min: 0, max: 0.999999, noNaN: true }) }),
  fc.record({
    kind: fc.constant("footer" as const),
    at: fc.double({ min: 0, max: 0.999999, noNaN: true }),
    to: fc.oneof(
      fc.constantFrom(0n, -1n, 1n, 2n ** 31n - 1n, -(2n ** 31n), 2n ** 40n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
      fc.bigInt(-300n, 300n),
      fc.bigInt(0n, 100_000n)
    )
  })
)

const damaged = (file: Uint8Array, done: Damage): Uint8Array => {
  switch (done.kind) {
    case "cut":
      return file.subarray(0, Math.floor(done.at * file.length))
    case "flips": {
      const copy = Uint8Array.from(file)
      done.at.forEach((part, i) => {
        const at = Math.floor(part * copy.length)
        copy[at] = (copy[at] ?? 0) ^ (done.bits[i] ?? 1)
      })
      return copy
    }
    case "footer": {
      const { at, struct } = Footer.ofFile(file)
      const field = Math.floor(done.at * numbersOf(struct, meaning))
      const footer = Thrift.write(withNumber(struct, meaning, field, done.to))
      const length = Buffer.alloc(4)
      length.writeUInt32LE(footer.length)
      return Buffer.concat([file.subarray(0, at), footer, length, Buffer.from("PAR1")])
    }
  }
}

/** Reads a damaged file of the seed, as rows if Sluice wrote it. Returns what is wrong, or nothing. */
export const mutated = Effect.fnUntraced(function* (file: string, seed: number) {
  const storage = yield* Storage
  const name = seed % 3 === 0 ? goldenFiles[(seed / 3) % goldenFiles.length] : undefined
  const table = tableOf(seed)
  if (name === undefined && table.refused) return undefined
  if (name === undefined) yield* writeTo(file, table.schema, table.rows, table.options)
  const bytes =
    name === undefined
      ? yield* storage.readRange(file, 0, (yield* storage.stat(file)).length)
      : yield* Effect.sync(() => fs.readFileSync(path.join(golden, name)))
  const read = Effect.suspend(() =>
    name === undefined
      ? Effect.map(rowsOf(Parquet.source(file, table.schema)), (rows) => rows.map(show))
      : Effect.map(rowsOf(Parquet.batches(file)), (batches) => batches.flatMap((batch) => batch.toArray().map(String)))
  )
  yield* storage.write(file, Stream.succeed(bytes), { overwrite: true })
  const before = yield* read
  const [done] = fc.sample(damage, { seed, numRuns: 1 })
  if (done === undefined) return "no damage"
  yield* storage.write(file, Stream.succeed(damaged(bytes, done)), { overwrite: true })
  const started = performance.now()
  const after = yield* Effect.result(read)
  const seconds = (performance.now() - started) / 1000
  if (seconds > 10) return `took ${seconds} s`
  if (after._tag === "Failure") {
    const error: unknown = after.failure
    return error instanceof FormatError.FormatError ? undefined : `failed with ${String(error)}`
  }
  if (done.kind === "flips") return undefined
  return after.success.join("\n") === before.join("\n")
    ? undefined
    : `${name ?? "a file"} with ${show(done)}: ${after.success.length} rows of ${before.length}, or others`
})
