/** The actions of random pipelines, and whether their results agree with the arrays. */
import { Commit, Dataset, type Engine, JobError, Storage } from "@sluice/core"
import { Effect, HashMap, Option, Order, Result, Schema, Stream } from "effect"
import { parquetReadObjects } from "hyparquet"
import { compressors } from "hyparquet-compressors"
import { Bad, failedOf, groups, isClean, type Model, Odd, type Row, type Rows, rowsOf, textOf, wrap } from "./model.ts"
import type { Env, Facts } from "./operator.ts"

/** What is wrong with a result; `undefined` if nothing is. */
type Verdict = string | undefined

export interface Action {
  /** Runs the action and says what is wrong with what it yields. */
  readonly run: (
    rows: Rows,
    model: Model,
    a: number,
    env: Env
  ) => Effect.Effect<Verdict, unknown, Engine.Engine | Storage.Storage>
  /** Whether it may be done before it has met the elements that fail. */
  readonly early: boolean
  /** Whether it hands rows on, so that none of its tasks is tried again. */
  readonly streams: boolean
}

const shown = (values: ReadonlyArray<string>) =>
  values.length > 12
    ? `${values.slice(0, 12).join(" ")} ... (${values.length})`
    : `${values.join(" ")} (${values.length})`

const counted = (values: ReadonlyArray<string>) => {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

/** What is in the second more often than in the first. */
const without = (values: ReadonlyArray<string>, others: ReadonlyArray<string>) => {
  const counts = counted(values)
  return others.filter((value) => {
    const left = counts.get(value) ?? 0
    counts.set(value, left - 1)
    return left <= 0
  })
}

const bag = (actual: ReadonlyArray<string>, expected: ReadonlyArray<string>): Verdict => {
  const missing = without(actual, expected)
  const extra = without(expected, actual)
  return missing.length + extra.length === 0 ? undefined : `missing: ${shown(missing)}; too many: ${shown(extra)}`
}

const list = (actual: ReadonlyArray<string>, expected: ReadonlyArray<string>): Verdict =>
  bag(actual, expected) ??
  (actual.every((value, i) => value === expected[i])
    ? undefined
    : `in another order: ${shown(actual)} and not ${shown(expected)}`)

const all = (actual: ReadonlyArray<Row>, model: Model): Verdict =>
  (model.ordered ? list : bag)(actual.map(textOf), rowsOf(model).map(textOf))

/** The first few: which ones is promised where the order is. */
const few = (actual: ReadonlyArray<Row>, n: number, model: Model): Verdict => {
  const rows = rowsOf(model)
  if (actual.length !== Math.min(n, rows.length) && isClean(model)) {
    return `${actual.length} rows and not ${Math.min(n, rows.length)}`
  }
  if (model.ordered) return list(actual.map(textOf), rows.slice(0, actual.length).map(textOf))
  const extra = without(rows.map(textOf), actual.map(textOf))
  return extra.length === 0 ? undefined : `too many: ${shown(extra)}`
}

const same = (actual: unknown, expected: unknown): Verdict =>
  textOf(actual) === textOf(expected) ? undefined : `${textOf(actual)} and not ${textOf(expected)}`

const total = Order.mapInput(
  Order.Tuple([Order.Number, Order.String]),
  ([key, value]: Row) => [value, textOf(key)] as const
)
const sum = (rows: ReadonlyArray<Row>) => rows.reduce((left, [, value]) => wrap(left + value), 0)
const add = (left: Row, right: Row): Row => [left[0], wrap(left[1] + right[1])]

const whole = <A>(
  run: (rows: Rows, a: number, env: Env) => Effect.Effect<A, unknown, Engine.Engine | Storage.Storage>,
  check: (result: A, model: Model, a: number) => Verdict
): Action => ({
  run: (rows, model, a, env) => Effect.map(run(rows, a, env), (result) => check(result, model, a)),
  early: false,
  streams: false
})

const early = (action: Action): Action => ({ ...action, early: true })
const streaming = (action: Action): Action => ({ ...action, streams: true })

const Written = Schema.Struct({ k: Schema.String, v: Schema.Number })
type Written = typeof Written.Type

const written = (rows: Rows) => Dataset.map(rows, ([key, value]): Written => ({ k: textOf(key), v: value }))
const asWritten = (model: Model): Model => ({
  ...model,
  items: rowsOf(model).map(([key, value]): Row => [textOf(key), value])
})

const bytesOf = Effect.fnUntraced(function* (path: string) {
  const storage = yield* Storage.Storage
  const { length } = yield* storage.stat(path)
  return yield* storage.readRange(path, 0, length)
})

/** The rows of the files that a manifest names, or what is wrong with them. */
const filesOf = Effect.fnUntraced(function* (
  folder: string,
  manifest: Commit.Manifest,
  read: (bytes: Uint8Array) => Promise<ReadonlyArray<Row>>
) {
  const found: Array<Row> = []
  for (const file of manifest.files) {
    const bytes = yield* bytesOf(`${folder}/${file.path}`)
    const part = yield* Effect.promise(() => read(bytes))
    if (part.length !== file.rows) return `${file.path} has ${part.length} rows, its manifest ${file.rows}`
    if (bytes.length !== file.bytes) return `${file.path} has ${bytes.length} bytes, its manifest ${file.bytes}`
    found.push(...part)
  }
  return found
})

const accountOf = ({ conservation }: Commit.Manifest, rows: number, facts: Facts): Verdict => {
  const { cut, deadLettered, filtered, read, written } = conservation
  const right =
    read === filtered + deadLettered + cut + written &&
    written === rows &&
    (facts.setAside === undefined || facts.cuts || deadLettered === facts.setAside) &&
    (facts.filters || filtered === 0) &&
    (facts.cuts || facts.caches || cut === 0) &&
    (facts.read === undefined || facts.cuts || read === facts.read)
  return right
    ? undefined
    : `the account of ${rows} rows is ${JSON.stringify(conservation)}, but ${JSON.stringify(facts)}`
}

/** Writes, reads the bytes of the files that the manifest names, and looks at what the manifest says of them. */
const writing = (
  write: (rows: Rows, folder: string) => Effect.Effect<Commit.Manifest, unknown, Engine.Engine | Storage.Storage>,
  read: (bytes: Uint8Array) => Promise<ReadonlyArray<Row>>
): Action => ({
  run: Effect.fnUntraced(function* (rows, model, _, env) {
    const folder = env.folder()
    const manifest = yield* write(rows, folder)
    yield* env.calm
    const found = yield* filesOf(folder, manifest, read)
    if (typeof found === "string") return found
    return accountOf(manifest, found.length, env.facts) ?? all(found, asWritten(model))
  }),
  early: false,
  streams: false
})

const decodeLine = Schema.decodeSync(Schema.fromJsonString(Written))
const decodeWritten = Schema.decodeUnknownSync(Schema.Array(Written))
const linesOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8").split("\n").slice(0, -1)
const jsonRow = (line: string): Row => {
  const { k, v } = decodeLine(line)
  return [k, v]
}

const readJson = (bytes: Uint8Array) => Promise.resolve(linesOf(bytes).map(jsonRow))
const readCsv = (bytes: Uint8Array) =>
  Promise.resolve(
    linesOf(bytes)
      .slice(1)
      .map((line): Row => {
        const comma = line.lastIndexOf(",")
        const key = line.slice(0, comma)
        return [key.startsWith('"') ? key.slice(1, -1).replaceAll('""', '"') : key, Number(line.slice(comma + 1))]
      })
  )
const readParquet = async (bytes: Uint8Array): Promise<ReadonlyArray<Row>> => {
  const file = Uint8Array.from(bytes).buffer
  return decodeWritten(await parquetReadObjects({ file, compressors })).map(({ k, v }): Row => [k, v])
}

const lines = (rows: Rows) => Dataset.map(written(rows), (row) => JSON.stringify(row))

/** Appends several times to one output, one after another or all at once. Each append is complete, or has failed. */
const appending = (atOnce: boolean): Action => ({
  run: Effect.fnUntraced(function* (rows, model, a, env) {
    const folder = env.folder()
    const append = Effect.result(Dataset.writeText(lines(rows), folder, { mode: "append" }))
    const results = yield* Effect.all([append, append, append].slice(a % 2), {
      concurrency: atOnce ? "unbounded" : 1
    })
    yield* env.calm
    const done = results.filter(Result.isSuccess).length
    const manifest = done === 0 ? undefined : yield* Commit.readManifest(folder)
    const found = manifest === undefined ? [] : yield* filesOf(folder, manifest, readJson)
    if (typeof found === "string") return found
    const expected = Array.from({ length: done }, () => rowsOf(asWritten(model)).map(textOf)).flat()
    const verdict = bag(found.map(textOf), expected)
    if (verdict !== undefined) return `${done} of ${results.length} appends have succeeded; ${verdict}`
    const failed = results.find(Result.isFailure)
    // One that finds the output in use may say so; the rest is the business of who asked.
    if (failed !== undefined && !(atOnce && isBusy(failed.failure))) return yield* Effect.fail(failed.failure)
    return undefined
  }),
  early: false,
  streams: false
})

const isBusy = (error: unknown): boolean =>
  error instanceof JobError.JobError && error.reason._tag.startsWith("Output") && !error.message.includes("on purpose")

const bounds = [0, 100, 500, 1009]

export const actions: Readonly<Record<string, Action>> = {
  collect: whole((rows) => Dataset.collect(rows), all),
  count: whole(
    (rows) => Dataset.count(rows),
    (n, model) => same(n, model.items.length)
  ),
  first: early(
    whole(
      (rows) => Dataset.first(rows),
      (found, model) => few(Option.toArray(found), 1, model)
    )
  ),
  take: early(
    whole(
      (rows, a) => Dataset.take(rows, a % 20),
      (found, model, a) => few(found, a % 20, model)
    )
  ),
  isEmpty: early(
    whole(
      (rows) => Dataset.isEmpty(rows),
      (empty, model) => (isClean(model) ? same(empty, model.items.length === 0) : undefined)
    )
  ),
  top: whole(
    (rows, a) => Dataset.top(rows, a % 6, total),
    (found, model, a) =>
      list(
        found.map(textOf),
        rowsOf(model)
          .toSorted(Order.flip(total))
          .slice(0, a % 6)
          .map(textOf)
      )
  ),
  takeOrdered: whole(
    (rows, a) => Dataset.takeOrdered(rows, a % 6, total),
    (found, model, a) =>
      list(
        found.map(textOf),
        rowsOf(model)
          .toSorted(total)
          .slice(0, a % 6)
          .map(textOf)
      )
  ),
  reduce: whole(
    (rows) => Dataset.reduce(rows, add),
    (found, model) => {
      const rows = rowsOf(model)
      if (rows.length === 0 || Option.isNone(found)) return same(Option.isNone(found), rows.length === 0)
      return same(found.value[1], sum(rows)) ?? (model.ordered ? same(found.value[0], rows[0]?.[0]) : undefined)
    }
  ),
  fold: whole(
    (rows) => Dataset.fold(rows, (): Row => ["zero", 0], add),
    (found, model) => same(found, ["zero", sum(rowsOf(model))])
  ),
  aggregate: whole(
    (rows) =>
      Dataset.aggregate(
        rows,
        () => "",
        (text, row) => text + textOf(row),
        (left, right) => left + right
      ),
    (found, model) => {
      const expected = rowsOf(model).map(textOf).join("")
      return model.ordered ? same(found, expected) : same(found.length, expected.length)
    }
  ),
  treeAggregate: whole(
    (rows, a) =>
      Dataset.treeAggregate(
        rows,
        () => 0,
        (state, [, value]) => wrap(state + value),
        (left, right) => wrap(left + right),
        { groups: 1 + (a % 4) }
      ),
    (found, model) => same(found, sum(rowsOf(model)))
  ),
  stats: whole(
    (rows) => Dataset.stats(Dataset.values(rows)),
    (found, model) => {
      const values = rowsOf(model).map(([, value]) => value)
      return same([found.count, found.sum], [values.length, values.reduce((left, right) => left + right, 0)])
    }
  ),
  max: whole(
    (rows) => Dataset.max(rows, total),
    (found, model) => same(Option.toArray(found), rowsOf(model).toSorted(Order.flip(total)).slice(0, 1))
  ),
  histogram: whole(
    (rows) => Dataset.histogram(Dataset.values(rows), bounds),
    (found, model) =>
      same(
        found,
        bounds.slice(1).map((upper, i) => {
          const lower = bounds[i] ?? 0
          const last = i === bounds.length - 2
          return rowsOf(model).filter(([, value]) => value >= lower && (value < upper || (last && value === upper)))
            .length
        })
      )
  ),
  countByKey: whole(
    (rows) => Dataset.countByKey(rows),
    (found, model) =>
      bag(
        HashMap.toEntries(found).map(textOf),
        Array.from(groups(rowsOf(model)).values(), ({ key, values }) => textOf([key, values.length]))
      )
  ),
  countByValue: whole(
    (rows) => Dataset.countByValue(Dataset.values(rows)),
    (found, model) =>
      bag(
        HashMap.toEntries(found).map(textOf),
        Array.from(counted(rowsOf(model).map(([, value]) => textOf(value))), ([value, n]) => `[${value},${n}]`)
      )
  ),
  lookup: {
    run: (rows, model, a) => {
      const keys = rowsOf(model)
      const key = keys.length === 0 ? "nobody" : keys[a % keys.length]?.[0]
      const expected = keys.filter(([other]) => textOf(other) === textOf(key)).map(([, value]) => textOf(value))
      return Effect.map(Dataset.lookup(rows, key), (found) => (model.ordered ? list : bag)(found.map(textOf), expected))
    },
    early: true,
    streams: false
  },
  forEach: whole(
    (rows) => {
      const seen: Array<Row> = []
      return Effect.as(
        Dataset.forEach(rows, (row) => Effect.sync(() => seen.push(row))),
        seen
      )
    },
    // A task that was tried again has shown its rows before.
    (found, model) => {
      const missing = without(found.map(textOf), rowsOf(model).map(textOf))
      return missing.length === 0 ? undefined : `missing: ${shown(missing)}`
    }
  ),
  toStream: streaming(whole((rows) => Stream.runCollect(Dataset.toStream(rows)), all)),
  "toStream, a few": streaming(
    early(
      whole(
        (rows, a) => Stream.runCollect(Stream.take(Dataset.toStream(rows), a % 20)),
        (found, model, a) => few(found, a % 20, model)
      )
    )
  ),
  // Two jobs over the same caches.
  "count and collect at once": whole(
    (rows) => Effect.all([Dataset.count(rows), Dataset.collect(rows)], { concurrency: 2 }),
    ([n, found], model) => same(n, model.items.length) ?? all(found, model)
  ),
  "take and collect at once": {
    run: (rows, model, a) =>
      Effect.map(
        Effect.all([Dataset.take(rows, a % 20), Dataset.collect(rows)], { concurrency: 2 }),
        ([some, found]) => few(some, a % 20, model) ?? all(found, model)
      ),
    early: false,
    streams: false
  },
  explain: {
    run: (rows) => Effect.map(Dataset.explain(rows), (text) => (text.includes("Stage") ? undefined : text)),
    early: true,
    streams: false
  },
  writeText: writing((rows, folder) => Dataset.writeText(lines(rows), folder), readJson),
  append: appending(false),
  "append at once": appending(true),
  "writeJsonLines into folders": {
    run: Effect.fnUntraced(function* (rows, model, _, env) {
      const folder = env.folder()
      yield* Dataset.writeJsonLines(written(rows), folder, Written, { partitionBy: ["k"], partitionBufferBytes: 200 })
      yield* env.calm
      const read = Dataset.jsonLines(folder, Written, { partitionColumns: ["k"] })
      // Without rows there are no folders.
      const found = model.items.length === 0 ? [] : yield* Dataset.collect(read)
      return bag(
        found.map(({ k, v }) => textOf([k, v])),
        rowsOf(asWritten(model)).map(textOf)
      )
    }),
    early: false,
    streams: false
  },
  writeJsonLines: writing((rows, folder) => Dataset.writeJsonLines(written(rows), folder, Written), readJson),
  writeCsv: writing((rows, folder) => Dataset.writeCsv(written(rows), folder, Written), readCsv),
  writeParquet: writing(
    (rows, folder) => Dataset.writeParquet(written(rows), folder, Written, { rowGroupRows: 7 }),
    readParquet
  )
}

/** Whether this is the failure of one of the elements that fail. */
export const isPromised = (error: unknown, model: Model): boolean =>
  (error instanceof Bad || error instanceof Odd) &&
  failedOf(model).some((failed) => failed.tag === error._tag && failed.value === error.value)
