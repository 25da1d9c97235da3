import { Effect, Option, Pull, Scope, Stream } from "effect"
import * as Codec from "../../codec/Codec.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { BroadcastPlan, ExchangeSource } from "../../plan/Plan.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { estimateBytes } from "../../codec/internal/estimate.ts"
import { shuffleFailed } from "../../task/internal/failures.ts"
import {
  codecOr,
  decodeMany,
  encodeMany,
  exchange,
  type JoinOptions,
  KeyMap,
  pairOf,
  pairSide,
  partitioningOf,
  refusing,
  type Side,
  wireOf,
  written
} from "./exchange.ts"
import type { Dataset } from "./model.ts"

// The rows that a join makes for a key: from a value of either side, and from one without a partner on the other side.
interface Rows<K, V, W, B> {
  readonly both: ((key: K, left: V, right: W) => B) | undefined
  readonly left: ((key: K, left: V) => B) | undefined
  readonly right: ((key: K, right: W) => B) | undefined
}

// The same with one side built into a table and the other streamed.
interface Probe<K, T, S, B> {
  readonly both: ((key: K, built: T, streamed: S) => B) | undefined
  readonly built: ((key: K, built: T) => B) | undefined
  readonly streamed: ((key: K, streamed: S) => B) | undefined
}

interface Entry<K, T> {
  readonly key: K
  readonly values: Array<T>
  matched: boolean
}

type Table<K, T> = KeyMap<K, Entry<K, T>>

const insert = <K, T>(table: Table<K, T>, rows: ReadonlyArray<readonly [K, T]>): void => {
  for (const [key, value] of rows) {
    const entry = table.get(key)
    if (entry === undefined) table.set(key, { key, values: [value], matched: false })
    else entry.values.push(value)
  }
}

// Rows that a stream emits at once.
const CHUNK = 4096

const probeWith = <K, T, S, B, E, R>(
  table: Pick<Table<K, T>, "get" | "values">,
  probe: Probe<K, T, S, B>,
  streamed: Stream.Stream<readonly [K, S], E, R>,
  attempt: <A>(run: () => A, row: () => unknown) => Effect.Effect<A> = Effect.sync
): Stream.Stream<B, E, R> => {
  const { both, built } = probe
  const matches = Stream.flatMap(Stream.chunks(streamed), (rows) => {
    let row = 0
    let next = 0
    // A key may have so many values on both sides that the rows of one chunk are too many to make at once.
    const make = (): ReadonlyArray<B> => {
      const out: Array<B> = []
      // A row is a pair, so `undefined` means the end.
      for (let current = rows[row]; current !== undefined && out.length < CHUNK; current = rows[++row]) {
        const [key, value] = current
        const entry = table.get(key)
        if (entry === undefined) {
          if (probe.streamed !== undefined) out.push(probe.streamed(key, value))
          continue
        }
        entry.matched = true
        if (both === undefined) continue
        const { values } = entry
        const room = CHUNK - out.length
        const some = next === 0 && values.length <= room ? values : values.slice(next, next + room)
        for (const one of some) out.push(both(key, one, value))
        next += some.length
        if (next < values.length) break
        next = 0
      }
      return out
    }
    return Stream.paginate(undefined, () =>
      Effect.map(
        attempt(make, () => rows[row]),
        (out) => [out, row < rows.length ? Option.some(undefined) : Option.none<undefined>()] as const
      )
    )
  })
  if (built === undefined) return matches
  return Stream.concat(
    matches,
    Stream.suspend(() =>
      Stream.fromArray(
        table.values().flatMap((entry) => (entry.matched ? [] : entry.values.map((value) => built(entry.key, value))))
      )
    )
  )
}

const sizeOf = (slice: Shuffle.Slice): number =>
  slice.statuses.reduce(
    (sum, status) =>
      sum +
      status.partitions.reduce(
        (bytes, partition, index) =>
          partition < slice.from || partition >= slice.to ? bytes : bytes + (status.bytes[index] ?? 0),
        0
      ),
    0
  )

// Decoded rows in a table take about this many times their bytes.
const GROWTH = 4

const hashed = <K, T, S, B>(
  key: Codec.Codec<K>,
  probe: Probe<K, T, S, B>,
  built: Stream.Stream<readonly [K, T], Shuffle.ShuffleError, Shuffle.Shuffle>,
  streamed: Stream.Stream<readonly [K, S], Shuffle.ShuffleError, Shuffle.Shuffle>
) =>
  Stream.unwrap(
    Effect.suspend(() => {
      const table: Table<K, T> = new KeyMap(key)
      return Effect.as(
        Stream.runForEachArray(built, (rows) => Effect.sync(() => insert(table, rows))),
        probeWith(table, probe, streamed)
      )
    })
  )

// A table is built once for all tasks of a process. Its rows are not marked as matched, because the joins that use it
// do not emit unmatched ones.
const tablesOf = <K, T>(key: Codec.Codec<K>, value: Codec.Codec<T>) => {
  const tables = new WeakMap<ReadonlyArray<Uint8Array>, Table<K, T>>()
  return (collected: ReadonlyArray<Uint8Array>): Table<K, T> => {
    const known = tables.get(collected)
    if (known !== undefined) return known
    const table: Table<K, T> = new KeyMap(key)
    for (const bytes of collected) insert(table, decodeMany(pairOf(key, value), bytes))
    tables.set(collected, table)
    return table
  }
}

// The values of a stream until it ends or they take more memory than the budget allows.
const gather = Effect.fnUntraced(function* <A, E, R>(
  pull: Pull.Pull<ReadonlyArray<A>, E, unknown, R>,
  claim: { readonly resize: (bytes: number) => boolean }
) {
  const values: Array<A> = []
  for (let bytes = 0; claim.resize(bytes);) {
    const more = yield* Pull.catchDone(pull, () => Effect.succeed(undefined))
    if (more === undefined) return { values, ended: true }
    for (const value of more) values.push(value)
    bytes += estimateBytes(more)
  }
  return { values, ended: false }
})

const tableOfOne = <K, T>(key: K, values: Array<T>): Pick<Table<K, T>, "get" | "values"> => {
  const entry: Entry<K, T> | undefined = values.length === 0 ? undefined : { key, values, matched: false }
  return { get: () => entry, values: () => (entry === undefined ? [] : [entry]) }
}

const keyed = <K, A, E, R>(key: K, values: Stream.Stream<A, E, R>) =>
  Stream.map(values, (value) => [key, value] as const)

// One key with few values.
const collected = <K, T, S, B>(
  key: K,
  built: Stream.Stream<T, Shuffle.ShuffleError>,
  streamed: Stream.Stream<S, Shuffle.ShuffleError>,
  probe: Probe<K, T, S, B>
): Stream.Stream<B, Shuffle.ShuffleError> =>
  Stream.unwrap(
    Effect.map(Stream.runCollect(built), (values) => probeWith(tableOfOne(key, values), probe, keyed(key, streamed)))
  )

let kept = 0

// One key when neither side of the partition fits into memory. The built values are held in memory if they fit;
// otherwise they are spilled, and read again for each part of the streamed values that fits.
const grouped = <K, T, S, B>(
  key: K,
  built: Stream.Stream<T, Shuffle.ShuffleError>,
  streamed: Stream.Stream<S, Shuffle.ShuffleError>,
  probe: Probe<K, T, S, B>,
  wire: Shuffle.Wire<K, T>
): Stream.Stream<B, Shuffle.ShuffleError, Shuffle.Shuffle> => {
  const { both, built: alone, streamed: without } = probe
  if (both === undefined && alone === undefined) {
    return Stream.unwrap(
      Effect.map(Stream.runHead(built), (found) =>
        Option.isSome(found) || without === undefined ? Stream.empty : Stream.map(streamed, (s) => without(key, s))
      )
    )
  }
  return Stream.unwrap(
    Effect.gen(function* () {
      const { memory, remove } = yield* Shuffle.Shuffle
      const claim = yield* Effect.acquireRelease(
        Effect.sync(() => memory.claim()),
        (held) => Effect.sync(held.release)
      )
      const again = { ...wire, id: `${wire.id}-again-${kept++}`, key: Codec.none }
      const scope = yield* Effect.scope
      // The streams of a large group are read one after another: the scope of the first ends here.
      const first = yield* Effect.scoped(
        Effect.gen(function* () {
          const pull = yield* Stream.toPull(built)
          const { ended, values } = yield* gather(pull, claim)
          if (ended) return { values, status: undefined }
          yield* Scope.addFinalizer(scope, remove(again.id))
          const status = yield* Shuffle.write(
            { ...again, partitioner: Partitioner.roundRobin(1), keyOf: () => undefined, valueOf: (value: T) => value },
            { map: 0, attempt: 0 },
            Stream.concat(Stream.fromArray(values), Stream.fromPull(Effect.succeed(pull)))
          )
          return { values: [], status }
        })
      )
      if (first.status === undefined) return probeWith(tableOfOne(key, first.values), probe, keyed(key, streamed))
      claim.resize(0)
      const slice = { statuses: [first.status], from: 0, to: 1 }
      const all = Shuffle.read(again, slice, (_, value) => value)
      const pull = yield* Stream.toPull(streamed)
      let matched = false
      const blocks = Stream.paginate(undefined, () =>
        Effect.map(gather(pull, claim), ({ ended, values }) => {
          matched ||= values.length > 0
          return [[values], ended ? Option.none<undefined>() : Option.some(undefined)] as const
        })
      )
      const pairs =
        both === undefined
          ? Stream.flatMap(blocks, () => Stream.empty)
          : Stream.flatMap(blocks, (values) =>
              values.length === 0
                ? Stream.empty
                : probeWith<K, S, T, B, Shuffle.ShuffleError, Shuffle.Shuffle>(
                    tableOfOne(key, values),
                    { both: (k, s, t) => both(k, t, s), built: undefined, streamed: undefined },
                    keyed(key, all)
                  )
            )
      if (alone === undefined) return pairs
      return Stream.concat(
        pairs,
        Stream.suspend(() => (matched ? Stream.empty : Stream.map(all, (value) => alone(key, value))))
      )
    })
  )
}

// One side of a join: how its rows are encoded, and what a table of them is probed for.
interface Sides<K, V, W, B> {
  readonly name: string
  readonly rows: Rows<K, V, W, B>
  readonly key: Codec.Codec<K>
  readonly left: Side<readonly [K, V], K, V>
  readonly right: Side<readonly [K, W], K, W>
  readonly buildLeft: Probe<K, V, W, B>
  readonly buildRight: Probe<K, W, V, B>
}

const sidesOf = <K, V, W, B>(
  name: string,
  options: JoinOptions<K, V, W> | undefined,
  rows: Rows<K, V, W, B>
): Sides<K, V, W, B> => {
  const key = codecOr(options?.key)
  const { both } = rows
  return {
    name,
    rows,
    key,
    left: pairSide(name, key, codecOr(options?.left)),
    right: pairSide(name, key, codecOr(options?.right)),
    buildLeft: { both, built: rows.left, streamed: rows.right },
    buildRight: {
      both: both === undefined ? undefined : (k, w, v) => both(k, v, w),
      built: rows.right,
      streamed: rows.left
    }
  }
}

const pair = <X, Y>(k: X, v: Y) => [k, v] as const

// The rows of a partition: with a table of its smaller side if that fits into memory, otherwise key by key.
const readJoin = <K, V, W, B>(
  { buildLeft, buildRight, key, left, right, rows }: Sides<K, V, W, B>,
  first: ExchangeSource,
  second: ExchangeSource
) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const ofLeft = wireOf(left, first)
      const ofRight = wireOf(right, second)
      const { memory } = yield* Shuffle.Shuffle
      const sizes = [sizeOf(first.slice), sizeOf(second.slice)] as const
      const claim = yield* Effect.acquireRelease(
        Effect.sync(() => memory.claim()),
        (claim) => Effect.sync(claim.release)
      )
      if (claim.resize(GROWTH * Math.min(...sizes))) {
        const lefts = Shuffle.read(ofLeft, first.slice, pair)
        const rights = Shuffle.read(ofRight, second.slice, pair)
        return sizes[0] < sizes[1] ? hashed(key, buildLeft, lefts, rights) : hashed(key, buildRight, rights, lefts)
      }
      claim.release()
      const one = { wire: ofLeft, slice: first.slice }
      const two = { wire: ofRight, slice: second.slice }
      // A side that yields no rows is only asked whether it has the key.
      return (rows.both === undefined ? rows.left === undefined : sizes[0] < sizes[1])
        ? Stream.flatMap(Shuffle.cogroup<K, readonly [V, W]>([one, two]), ({ key: k, large, values: [vs, ws] }) =>
            large ? grouped(k, vs, ws, buildLeft, ofLeft) : collected(k, vs, ws, buildLeft)
          )
        : Stream.flatMap(Shuffle.cogroup<K, readonly [W, V]>([two, one]), ({ key: k, large, values: [ws, vs] }) =>
            large ? grouped(k, ws, vs, buildRight, ofRight) : collected(k, ws, vs, buildRight)
          )
    })
  )

// The same join when every task gets all of one side.
const broadcastOf = <K, V, W, B>({
  buildLeft,
  buildRight,
  key,
  left,
  name,
  right,
  rows
}: Sides<K, V, W, B>): BroadcastPlan => {
  const leftTable = tablesOf(key, left.value)
  const rightTable = tablesOf(key, right.value)
  return {
    sides: [rows.left === undefined, rows.right === undefined],
    rows: (side, source) =>
      side === 0
        ? Shuffle.read(wireOf(left, source), source.slice, pair)
        : Shuffle.read(wireOf(right, source), source.slice, pair),
    collect: (side, small: Stream.Stream<readonly [K, V & W], unknown, unknown>) =>
      Stream.runCollect(
        Stream.mapEffect(Stream.chunks(small), (chunk) =>
          side === 0
            ? encodeMany(name, pairOf(key, left.value), chunk)
            : encodeMany(name, pairOf(key, right.value), chunk)
        )
      ),
    probe: (side, collected, large: Stream.Stream<readonly [K, V & W], unknown, unknown>, task) =>
      Stream.suspend(() => {
        // The keys of the large side have not been written: the codec sees them here for the first time.
        const attempt = <A>(run: () => A, row: () => unknown) =>
          Effect.catch(refusing(name, run, row), (error) => task.abort(shuffleFailed(error)))
        return side === 0
          ? probeWith(leftTable(collected), buildLeft, large, attempt)
          : probeWith(rightTable(collected), buildRight, large, attempt)
      })
  }
}

/** A join that makes these rows for each key. */
export const joinOf = <K, V, W, B, E, R, E2, R2>(
  name: string,
  self: Dataset<readonly [K, V], E, R>,
  that: Dataset<readonly [K, W], E2, R2>,
  options: JoinOptions<K, V, W> | undefined,
  rows: Rows<K, V, W, B>
): Dataset<B, E | E2, R | R2> => {
  const sides = sidesOf(name, options, rows)
  return exchange({
    name,
    inputs: [written(self, sides.left, true), written(that, sides.right, true)],
    partitioning: partitioningOf(options, sides.key),
    keyed: true,
    read: ([first, second]) =>
      first === undefined || second === undefined ? Stream.empty : readJoin(sides, first, second),
    ...(options?.partitioner === undefined && options?.partitions === undefined
      ? { broadcast: broadcastOf(sides) }
      : {})
  })
}
