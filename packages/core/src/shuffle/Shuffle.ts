/**
 * Moves keyed rows from the tasks of one stage to those of the next.
 *
 * A map task calls {@link write} (or {@link writeCombined}) and returns a {@link MapStatus}, which is plain data; a reduce task reads
 * its {@link Slice} of all map tasks with {@link read}, {@link aggregate}, {@link sort}, {@link group} or {@link cogroup}. Everything
 * that crosses is bytes. All of them work under one memory budget and spill to disk beyond it.
 *
 * @since 0.1.0
 */
import {
  Array as Arr,
  Cause,
  Context,
  Deferred,
  Effect,
  Layer,
  type Order,
  type Pull,
  Random,
  Schema,
  Scope,
  Stream
} from "effect"
import { type Codec, none } from "../codec/Codec.ts"
import { bytes, firstOf, oneOf, optional } from "../codec/internal/checks.ts"
import { type Block, Blocks } from "./internal/blocks.ts"
import { Reader, Refused, Writer } from "../codec/internal/bytes.ts"
import * as memoryBudget from "./internal/memory.ts"
import { type Aggregator, CodecFailed, GroupPassed, type MapStatus, Reason } from "./internal/model.ts"
import { Allowance, Output } from "./internal/output.ts"
import { hashBytes, hashWritten, prefix, refusal, skipPlain } from "../codec/internal/plain.ts"
import {
  byHash,
  byOrder,
  type Cursor,
  type Kind,
  type Layout,
  type Merge,
  type Rows,
  Sorter,
  trapMalformed
} from "./internal/sorter.ts"
import { makeFolder } from "./internal/folder.ts"
import * as stores from "./internal/store.ts"
import type { Claim, Memory, Store } from "./internal/store.ts"
import { Table } from "./internal/table.ts"
import type { Partitioner } from "./Partitioner.ts"

export {
  type Aggregator,
  CodecFailed,
  Corrupt,
  GroupPassed,
  MapStatus,
  Missing,
  NoSpace,
  Reason,
  Unavailable
} from "./internal/model.ts"

/**
 * What crosses: all that the reduce side has to know.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire<in out K, in out V> {
  /** Unique among the shuffles alive, usable as a file name: `<job>-<stage>`. */
  readonly id: string
  /** Named in errors: `reduceByKey`. */
  readonly operator: string
  /** For a hash partitioner, the same codec as the partitioner's. */
  readonly key: Codec<K>
  readonly value: Codec<V>
}

/**
 * What a map task writes: which rows become which keys and values, and where they go.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange<in out Row, in out K, in out V> extends Wire<K, V> {
  readonly partitioner: Partitioner<K>
  readonly keyOf: (row: Row) => K
  readonly valueOf: (row: Row) => V
}

/**
 * What a reduce task reads: the partitions `from` (inclusive) to `to` (exclusive) of some map outputs. One partition of all outputs as
 * a rule; several when small ones are coalesced; part of the outputs when a skewed one is split.
 *
 * @category models
 * @since 0.1.0
 */
export interface Slice {
  readonly statuses: ReadonlyArray<MapStatus>
  readonly from: number
  readonly to: number
}

/**
 * A shuffle failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class ShuffleError extends Schema.TaggedError<ShuffleError>("@sluice/core/ShuffleError")("ShuffleError", {
  operator: Schema.String,
  reason: Reason,
  /** The map task whose output is lost: the failure is mended by running it again. */
  lost: Schema.optional(Schema.Struct({ shuffle: Schema.String, map: Schema.Number, attempt: Schema.Number }))
}) {
  override get message(): string {
    return `${this.operator}: ${this.reason.message}`
  }
}

/**
 * Holds map outputs and spilled runs.
 *
 * @category services
 * @since 0.1.0
 */
export class Shuffle extends Context.Service<
  Shuffle,
  {
    /** Deletes the map outputs of a shuffle. */
    readonly remove: (shuffle: string) => Effect.Effect<void>
    readonly store: Store
    readonly memory: Memory
    /** What of its settings cannot be: every job fails with it. */
    readonly invalid?: string | undefined
  }
>()("@sluice/core/Shuffle") {}

// Puts what an operator needs around its work: an exclusive claim on memory, released with the scope, and errors with a name.
const claimed = Effect.fnUntraced(function* (operator: string) {
  const { memory, store } = yield* Shuffle
  const claim = yield* Effect.acquireRelease(
    Effect.sync(() => memory.claim()),
    (held) => Effect.sync(held.release)
  )
  const scope = yield* Effect.scope
  const spill = (shuffle: string, name: string) => Scope.provide(store.create(shuffle, name), scope)
  return { memory, store, claim, spill, fail: (reason: Reason) => new ShuffleError({ operator, reason }) }
})

// Rows that a codec refuses fail with where in the row the fault lies.
const encoding = <A>(row: () => unknown, write: () => A): A => {
  try {
    return write()
  } catch (thrown) {
    if (thrown instanceof Refused) throw new RowRefused(new CodecFailed(refusal(thrown, row())))
    throw thrown
  }
}

class RowRefused {
  readonly reason: CodecFailed
  constructor(reason: CodecFailed) {
    this.reason = reason
  }
}

const guarded = <A>(run: () => A): Effect.Effect<A, CodecFailed> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (thrown) {
      if (thrown instanceof RowRefused) return Effect.fail(thrown.reason)
      throw thrown
    }
  })

// Appends records to the buckets of an output.
const recorder = <K, C>(
  output: Output,
  exchange: { readonly partitioner: Partitioner<K>; readonly key: Codec<K> },
  value: Codec<C>,
  map: number
) => {
  const { key, partitioner } = exchange
  const { partitions } = partitioner
  const scratch = new Writer(256)
  scratch.canonical = true
  // Consecutive map tasks begin apart, so that small ones fill all partitions.
  let turn = Math.imul(map, 0x9e3779b1) >>> 0
  return (k: K, v: C): void => {
    let bucket
    let capacity
    // A record's hash is that of its value, begun with that of its key where there is one.
    let high = 0x9747b28c
    let low = 0x3c6ef372
    let from
    if (partitioner._tag === "Hash") {
      scratch.position = 0
      scratch.depth = 0
      key.write(k, scratch)
      hashBytes(scratch.bytes, 0, scratch.position)
      high = prefix.high
      low = prefix.low
      bucket = output.begin(prefix.high % partitions)
      capacity = bucket.writer.bytes.length
      bucket.writer.copy(scratch.bytes, 0, scratch.position)
      from = bucket.writer.position
    } else {
      const partition = partitioner._tag === "RoundRobin" ? turn++ : Math.floor(partitioner.partition(k))
      bucket = output.begin(((partition % partitions) + partitions) % partitions || 0)
      capacity = bucket.writer.bytes.length
      from = bucket.writer.position
      bucket.writer.depth = 0
      bucket.writer.canonical = true
      key.write(k, bucket.writer)
    }
    bucket.writer.canonical = false
    bucket.writer.depth = 0
    value.write(v, bucket.writer)
    hashWritten(bucket.writer, from, high, low)
    output.end(bucket, capacity, prefix.high, prefix.low)
  }
}

const outputName = (task: { readonly map: number; readonly attempt: number }, unique: number) =>
  `map-${task.map}-${task.attempt}-${unique.toString(16)}`

const unique = Random.nextIntBetween(0, 0xffffffff)

/**
 * Writes the output of a map task. An attempt that fails or is interrupted leaves nothing.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const write = <Row, K, V, E, R>(
  exchange: Exchange<Row, K, V>,
  task: { readonly map: number; readonly attempt: number },
  rows: Stream.Stream<Row, E, R>
): Effect.Effect<MapStatus, E | ShuffleError, R | Shuffle> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { claim, fail, memory, spill, store } = yield* claimed(exchange.operator)
      const name = outputName(task, yield* unique)
      const output = new Output(memory.blockBytes, store, spill(exchange.id, name))
      const allowance = new Allowance(claim, memory.total)
      const record = recorder(output, exchange, exchange.value, task.map)
      const { keyOf, valueOf } = exchange
      const take = (chunk: ReadonlyArray<Row>, from: number): number => {
        let i = from
        return encoding(
          () => chunk[i],
          () => {
            while (i < chunk.length) {
              const row = chunk[i]
              record(keyOf(row), valueOf(row))
              i++
              if (!allowance.allows(output.held)) break
            }
            return i
          }
        )
      }
      const takeAll = (chunk: ReadonlyArray<Row>, from: number): Effect.Effect<void, Reason> =>
        Effect.flatMap(
          guarded(() => take(chunk, from)),
          (next) => {
            if (next === chunk.length && allowance.allows(output.held)) return Effect.void
            return Effect.andThen(
              output.pass,
              Effect.suspend(() => {
                allowance.clear()
                return next === chunk.length ? Effect.void : takeAll(chunk, next)
              })
            )
          }
        )
      yield* Stream.runForEachArray(rows, (chunk) => Effect.mapError(takeAll(chunk, 0), fail))
      return yield* Effect.mapError(output.finish(exchange.id, task), fail)
    })
  )

// Rows between two measurements of a table at first, and the share by which they grow.
const MEASURE = { every: 1024, share: 0.25 }

// A budget that a thousand rows may exceed is looked after row by row.
const rowsBetween = (memory: Memory): number => (memory.total < 1024 * 1024 ? 1 : MEASURE.every)

const measured = (memory: Memory, claim: Claim) => {
  const every = rowsBetween(memory)
  let seen = 0
  let next = every
  return {
    /** Whether the table is too large, looked at now and then. */
    full: (table: { readonly held: () => number; readonly size: number }, rows: number): boolean => {
      seen += rows
      if (seen < next) return false
      next = seen + Math.max(every, Math.floor(seen * MEASURE.share))
      // The growth until the next measurement is asked for as well.
      return table.size > 0 && !claim.resize(table.held() * (1 + MEASURE.share))
    },
    clear: (): void => {
      seen = 0
      next = every
      claim.resize(0)
    }
  }
}

/**
 * As {@link write}, but values of one key are combined before they are written. Its output is read by {@link aggregate} with
 * `combined: true`.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const writeCombined = <Row, K, V, C, E, R>(
  exchange: Exchange<Row, K, V>,
  aggregator: Aggregator<V, C>,
  task: { readonly map: number; readonly attempt: number },
  rows: Stream.Stream<Row, E, R>
): Effect.Effect<MapStatus, E | ShuffleError, R | Shuffle> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { claim, fail, memory, spill, store } = yield* claimed(exchange.operator)
      const name = outputName(task, yield* unique)
      const output = new Output(memory.blockBytes, store, spill(exchange.id, name))
      const record = recorder(output, exchange, aggregator.codec, task.map)
      const table = new Table<K, V, C>(exchange.key, aggregator)
      const measure = measured(memory, claim)
      const { keyOf, valueOf } = exchange
      const every = rowsBetween(memory)
      // Where the table is full it goes out as it is: the reduce side merges what it finds more than once.
      const drain = Effect.suspend(() => {
        let i = 0
        const some: Effect.Effect<void, Reason> = Effect.suspend(() =>
          Effect.flatMap(
            guarded(() => {
              encoding(
                () => [table.keys[i], table.values[i]],
                () => {
                  while (i < table.size && output.held < memory.total) {
                    record(table.keys[i] as K, table.values[i])
                    i++
                  }
                }
              )
            }),
            () => (i < table.size ? Effect.andThen(output.pass, some) : output.pass)
          )
        )
        return Effect.andThen(
          some,
          Effect.sync(() => {
            table.clear()
            measure.clear()
          })
        )
      })
      const take = (chunk: ReadonlyArray<Row>, from: number): { readonly next: number; readonly full: boolean } => {
        let i = from
        return encoding(
          () => chunk[i],
          () => {
            while (i < chunk.length) {
              const start = i
              const end = Math.min(chunk.length, i + every)
              while (i < end) {
                const row = chunk[i]
                table.mergeValue(keyOf(row), valueOf(row), i)
                i++
              }
              if (measure.full(table, end - start)) return { next: i, full: true }
            }
            return { next: i, full: false }
          }
        )
      }
      const takeAll = (chunk: ReadonlyArray<Row>, from: number): Effect.Effect<void, Reason> =>
        Effect.flatMap(
          guarded(() => take(chunk, from)),
          ({ full, next }) => {
            if (!full) return Effect.void
            return next === chunk.length ? drain : Effect.andThen(drain, takeAll(chunk, next))
          }
        )
      yield* Stream.runForEachArray(rows, (chunk) => Effect.mapError(takeAll(chunk, 0), fail))
      yield* Effect.mapError(drain, fail)
      return yield* Effect.mapError(output.finish(exchange.id, task), fail)
    })
  )

// --- the reduce side

// Rows a stream gives at once.
const CHUNK = 1024

interface Lost {
  readonly reason: Reason
  readonly status: MapStatus
}

// Runs `take` on every block of a slice, in the order of the map tasks.
const forEachBlock = <E>(
  store: Store,
  slice: Slice,
  take: (block: Block, file: string) => Effect.Effect<void, E>
): Effect.Effect<void, E | Lost> =>
  Effect.gen(function* () {
    const statuses = slice.statuses.toSorted((x, y) => x.map - y.map)
    for (const status of statuses) {
      const ranges = rangesOf(status, slice)
      if (ranges.length === 0) continue
      const lost = (reason: Reason): Lost => ({ reason, status })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const source = yield* Effect.mapError(store.open(status), lost)
          const blocks = new Blocks(source, ranges)
          for (;;) {
            const block = yield* Effect.mapError(blocks.next, lost)
            if (block === undefined) return
            yield* take(block, status.file)
          }
        })
      )
    }
  })

const rangesOf = (status: MapStatus, slice: Slice) => {
  const ranges: Array<{ offset: number; length: number }> = []
  status.partitions.forEach((partition, index) => {
    if (partition < slice.from || partition >= slice.to) return
    const offset = status.offsets[index] ?? 0
    const length = status.lengths[index] ?? 0
    const last = ranges.at(-1)
    if (last !== undefined && last.offset + last.length === offset) last.length += length
    else ranges.push({ offset, length })
  })
  return ranges
}

const lostError = (operator: string, { reason, status }: Lost) =>
  new ShuffleError({
    operator,
    reason,
    // A full disk or a bug is not mended by writing again what was written well.
    ...(reason._tag === "Corrupt" || reason._tag === "Missing"
      ? { lost: { shuffle: status.shuffle, map: status.map, attempt: status.attempt } }
      : {})
  })

const isLost = (failure: Reason | Lost): failure is Lost => "status" in failure

// A stream of what a pull makes within a scope that lives as long as the stream.
const pulling = <A, E, R>(
  make: Effect.Effect<Effect.Effect<ReadonlyArray<A> | undefined, E>, E, R>
): Stream.Stream<A, E, Exclude<R, Scope.Scope>> =>
  Stream.unwrap(
    Effect.map(make, (next) => {
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E> = Effect.flatMap(next, (values) => {
        if (values === undefined) return Cause.done()
        return Arr.isReadonlyArrayNonEmpty(values) ? Effect.succeed(values) : pull
      })
      return Stream.fromPull(Effect.succeed(pull))
    })
  )

/**
 * Rows in the order of the map tasks, and as each wrote them. `make` turns a key and a value into the row.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const read = <K, V, B>(
  wire: Wire<K, V>,
  slice: Slice,
  make: (key: K, value: V) => B
): Stream.Stream<B, ShuffleError, Shuffle> => {
  const statuses = slice.statuses.toSorted((x, y) => x.map - y.map)
  return Stream.flatMap(Stream.fromArray(statuses), (status) => {
    const ranges = rangesOf(status, slice)
    if (ranges.length === 0) return Stream.empty
    const fail = (reason: Reason) => lostError(wire.operator, { reason, status })
    return pulling(
      Effect.gen(function* () {
        const { store } = yield* Shuffle
        const blocks = new Blocks(yield* Effect.mapError(store.open(status), fail), ranges)
        return Effect.flatMap(Effect.mapError(blocks.next, fail), (block) => {
          if (block === undefined) return Effect.succeed(undefined)
          const rows: Array<B> = []
          const fault = trapMalformed(() => {
            const reader = new Reader(block.bytes)
            for (let i = 0; i < block.rows; i++) rows.push(make(wire.key.read(reader), wire.value.read(reader)))
          }, status.file)
          return fault === undefined ? Effect.succeed(rows) : Effect.fail(fail(fault))
        })
      })
    )
  })
}

// Reads the records of a merge in order, a chunk at a time.
const drained = <B>(merge: Merge, take: (cursor: Cursor, rows: Array<B>) => void, file: string) =>
  Effect.suspend(() => {
    const rows: Array<B> = []
    const some: Effect.Effect<ReadonlyArray<B> | undefined, Reason> = Effect.suspend(() => {
      let refill = false
      const fault = trapMalformed(() => {
        while (rows.length < CHUNK && merge.current !== undefined && !refill) {
          take(merge.current, rows)
          refill = !merge.step()
        }
      }, file)
      if (fault !== undefined) return Effect.fail(fault)
      if (refill) return Effect.andThen(merge.refill, rows.length < CHUNK ? some : Effect.succeed(rows))
      return Effect.succeed(rows.length === 0 ? undefined : rows)
    })
    return some
  })

const loaded = Effect.fnUntraced(function* (
  operator: string,
  kind: Kind,
  layout: Layout,
  inputs: ReadonlyArray<{ readonly shuffle: string; readonly slice: Slice }>
) {
  const { claim, fail, memory, spill, store } = yield* claimed(operator)
  const id = inputs[0]?.shuffle ?? operator
  const sorter = new Sorter({
    kind,
    layout,
    claim,
    store,
    blockBytes: memory.blockBytes,
    create: spill(id, `run-${(yield* unique).toString(16)}`)
  })
  for (const [input, { slice }] of inputs.entries()) {
    yield* Effect.mapError(
      forEachBlock(store, slice, (block, file) => sorter.add(block, input, file)),
      (failure) => (isLost(failure) ? lostError(operator, failure) : fail(failure))
    )
  }
  return { sorter, fail }
})

/**
 * Rows in the order of their keys; equal keys in the order of the map tasks, and as each wrote them. `Order.String` and
 * `Order.Number` sort bytes; any other order sorts decoded keys.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const sort = <K, V, B>(
  wire: Wire<K, V>,
  order: Order.Order<K>,
  slice: Slice,
  make: (key: K, value: V) => B
): Stream.Stream<B, ShuffleError, Shuffle> =>
  pulling(
    Effect.gen(function* () {
      const { fail, sorter } = yield* loaded(wire.operator, byOrder(order), layoutOf(wire.key, [wire.value]), [
        { shuffle: wire.id, slice }
      ])
      const reader = new Reader(Buffer.alloc(0))
      if (sorter.runs.length === 0) {
        const { rows: held } = sorter
        const sorted = held.sorted()
        let at = 0
        return Effect.sync((): ReadonlyArray<B> | undefined => {
          if (at >= sorted.length) return undefined
          const rows: Array<B> = []
          for (const stop = Math.min(sorted.length, at + CHUNK); at < stop; at++) {
            const n = sorted[at]
            reader.bytes = held.blocks[held.where[n]]
            reader.end = reader.bytes.length
            reader.position = held.offset[n]
            rows.push(make(wire.key.read(reader), wire.value.read(reader)))
          }
          return rows
        })
      }
      const merge = yield* Effect.mapError(sorter.merged, fail)
      const next = drained<B>(
        merge,
        (cursor, rows) => {
          reader.bytes = cursor.bytes
          reader.end = cursor.end
          reader.position = cursor.start
          rows.push(make(wire.key.read(reader), wire.value.read(reader)))
        },
        wire.id
      )
      return Effect.mapError(next, fail)
    })
  )

/**
 * One row for every key. With `combined`, of what {@link writeCombined} wrote; otherwise of what {@link write} wrote.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const aggregate = <K, V, C, B>(
  wire: Wire<K, V>,
  aggregator: Aggregator<V, C>,
  slice: Slice,
  options: { readonly combined: boolean; readonly make: (key: K, combined: C) => B }
): Stream.Stream<B, ShuffleError, Shuffle> =>
  pulling(
    Effect.gen(function* () {
      const { claim, fail, memory, spill, store } = yield* claimed(wire.operator)
      const table = new Table<K, V, C>(wire.key, aggregator)
      const measure = measured(memory, claim)
      const sorter = new Sorter({
        kind: byHash,
        layout: layoutOf(wire.key, [aggregator.codec]),
        // The table has the budget; its entries pass through the sorter on their way to the disk.
        claim: { resize: () => true, release: () => {} },
        store,
        blockBytes: memory.blockBytes,
        create: spill(wire.id, `run-${(yield* unique).toString(16)}`)
      })
      const toSorter = Effect.suspend(() => {
        let i = 0
        const some: Effect.Effect<void, Reason> = Effect.suspend(() => {
          const writer = new Writer(memory.blockBytes + 4096)
          let rows = 0
          const encoded = guarded(() =>
            encoding(
              () => [table.keys[i], table.values[i]],
              () => {
                while (i < table.size && writer.position < memory.blockBytes) {
                  writer.canonical = true
                  writer.depth = 0
                  wire.key.write(table.keys[i] as K, writer)
                  writer.canonical = false
                  aggregator.codec.write(table.values[i], writer)
                  i++
                  rows++
                }
              }
            )
          )
          return Effect.flatMap(encoded, () =>
            rows === 0 ? Effect.void : Effect.andThen(sorter.add({ bytes: writer.take(), rows }, 0, wire.id), some)
          )
        })
        return Effect.andThen(
          some,
          Effect.sync(() => {
            table.clear()
            measure.clear()
          })
        )
      })
      yield* Effect.mapError(
        forEachBlock(store, slice, (block, file) =>
          Effect.suspend(() => {
            const reader = new Reader(block.bytes)
            const fault = trapMalformed(() => {
              for (let i = 0; i < block.rows; i++) {
                const key = wire.key.read(reader)
                if (options.combined) table.mergeCombined(key, aggregator.codec.read(reader), i)
                else table.mergeValue(key, wire.value.read(reader), i)
              }
            }, file)
            if (fault !== undefined) return Effect.fail<Reason>(fault)
            return Effect.flatMap(
              guarded(() =>
                encoding(
                  () => table.values,
                  () => measure.full(table, block.rows)
                )
              ),
              (full) => (full ? Effect.andThen(toSorter, sorter.spill) : Effect.void)
            )
          })
        ),
        (failure) => (isLost(failure) ? lostError(wire.operator, failure) : fail(failure))
      )
      if (sorter.runs.length === 0) {
        let i = 0
        return Effect.sync((): ReadonlyArray<B> | undefined => {
          if (i >= table.size) return undefined
          const rows: Array<B> = []
          for (const end = Math.min(table.size, i + CHUNK); i < end; i++)
            rows.push(options.make(table.keys[i] as K, table.values[i]))
          return rows
        })
      }
      yield* Effect.mapError(Effect.andThen(toSorter, sorter.spill), fail)
      const merge = yield* Effect.mapError(sorter.merged, fail)
      const reader = new Reader(Buffer.alloc(0))
      let open: { readonly key: K; combined: C; readonly at: Key } | undefined
      const next = drained<B>(
        merge,
        (cursor, rows) => {
          reader.bytes = cursor.bytes
          reader.end = cursor.end
          if (open !== undefined && open.at.equals(cursor)) {
            reader.position = cursor.keyEnd
            open.combined = aggregator.mergeCombiners(open.combined, aggregator.codec.read(reader))
            return
          }
          if (open !== undefined) rows.push(options.make(open.key, open.combined))
          reader.position = cursor.start
          const key = wire.key.read(reader)
          open = { key, combined: aggregator.codec.read(reader), at: new Key(cursor) }
        },
        wire.id
      )
      return Effect.map(Effect.mapError(next, fail), (rows) => {
        if (rows !== undefined || open === undefined) return rows
        const last = options.make(open.key, open.combined)
        open = undefined
        return [last]
      })
    })
  )

// A key that outlives the block of its cursor.
class Key {
  private readonly bytes: Buffer
  private readonly high: number
  private readonly low: number
  constructor(cursor: Cursor) {
    this.bytes = cursor.bytes.subarray(cursor.start, cursor.keyEnd)
    this.high = cursor.high
    this.low = cursor.low
  }
  equals(cursor: Cursor): boolean {
    const { bytes } = this
    if (cursor.high !== this.high || cursor.low !== this.low || cursor.keyEnd - cursor.start !== bytes.length)
      return false
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== cursor.bytes[cursor.start + i]) return false
    return true
  }
}

// The operators below treat the values of different inputs alike, as bytes with the codec of their input.
const layoutOf = <K>(key: Codec<K>, values: ReadonlyArray<{ readonly id: string }>): Layout => ({
  key: erase(key),
  values: values.map(erase)
})

const erase = (codec: { readonly id: string }): Codec<unknown> => codec as Codec<unknown>

/**
 * The keys with a stream of their values, which may be larger than memory. Values come in the order of the map tasks. A group that
 * is not read is skipped; one larger than memory can be read once, and has to be begun before the next is taken (others at any time).
 *
 * @category shuffling
 * @since 0.1.0
 */
export const group = <K, V>(
  wire: Wire<K, V>,
  slice: Slice
): Stream.Stream<readonly [K, Stream.Stream<V, ShuffleError>], ShuffleError, Shuffle> =>
  Stream.map(cogroup<K, readonly [V]>([{ wire, slice }]), ([key, [values]]) => [key, values] as const)
/**
 * One of the inputs of a {@link cogroup}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input<in out K, in out V> {
  readonly wire: Wire<K, V>
  readonly slice: Slice
}

/**
 * The keys of several inputs, partitioned alike, with a stream of the values of each, and whether they are many: the values of
 * other keys are few enough to be held. As {@link group} otherwise; the streams of a large group are read in the order of the inputs.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const cogroup = <K, const Values extends ReadonlyArray<unknown>>(inputs: {
  readonly [I in keyof Values]: Input<K, Values[I]>
}): Stream.Stream<
  readonly [K, { readonly [I in keyof Values]: Stream.Stream<Values[I], ShuffleError> }, boolean],
  ShuffleError,
  Shuffle
> => {
  const all: ReadonlyArray<Input<K, unknown>> = inputs
  // One stream for each input, in their order: what the mapped type says.
  type Group = readonly [K, { readonly [I in keyof Values]: Stream.Stream<Values[I], ShuffleError> }, boolean]
  return pulling(
    Effect.map(groups(all), (next) => next as Effect.Effect<ReadonlyArray<Group> | undefined, ShuffleError>)
  )
}

type Values = Stream.Stream<unknown, ShuffleError>

// An array made when the stream runs. There is one for every group, so what it costs to make one counts (`Stream.suspend` keeps
// each in a weak map).
const lazy = (make: () => ReadonlyArray<unknown>): Values =>
  Stream.fromPull(
    Effect.sync(() => {
      let done = false
      return Effect.suspend(() => {
        if (done) return Cause.done()
        done = true
        const values = make()
        return Arr.isReadonlyArrayNonEmpty(values) ? Effect.succeed(values) : Cause.done()
      })
    })
  )

// Values that lie one after another in a buffer.
const decoded = (codec: Codec<unknown>, bytes: Buffer, count: number): Values =>
  count === 0
    ? Stream.empty
    : lazy(() => {
        const reader = new Reader(bytes)
        const values: Array<unknown> = []
        for (let i = 0; i < count; i++) values.push(codec.read(reader))
        return values
      })

const groups = Effect.fnUntraced(function* <K>(inputs: ReadonlyArray<Input<K, unknown>>) {
  const wires = inputs.map(({ wire }) => wire)
  const [first] = wires
  if (first === undefined) return Effect.succeed(undefined)
  const { fail, sorter } = yield* loaded(
    first.operator,
    byHash,
    layoutOf(
      first.key,
      wires.map(({ value }) => value)
    ),
    inputs.map(({ slice, wire }) => ({ shuffle: wire.id, slice }))
  )
  const reader = new Reader(Buffer.alloc(0))
  const keyAt = (bytes: Buffer, start: number): K => {
    reader.bytes = bytes
    reader.position = start
    reader.end = bytes.length
    return first.key.read(reader)
  }
  if (sorter.runs.length === 0) return groupsInMemory(wires, sorter.rows, keyAt)
  const { memory } = yield* Shuffle
  const merge = yield* Effect.mapError(sorter.merged, fail)
  return Effect.mapError(groupsOnDisk(wires, merge, keyAt, Math.max(memory.blockBytes, memory.total / 16), fail), fail)
})

const groupsInMemory = <K>(
  wires: ReadonlyArray<Wire<K, unknown>>,
  rows: Rows,
  keyAt: (bytes: Buffer, start: number) => K
) => {
  const order = rows.sorted()
  const values = (wire: Wire<K, unknown>, from: number, to: number): Values => {
    if (from === to) return Stream.empty
    const decode = (start: number, end: number) => {
      const reader = new Reader(Buffer.alloc(0))
      const items: Array<unknown> = []
      for (let i = start; i < end; i++) {
        const n = order[i]
        reader.bytes = rows.blocks[rows.where[n]]
        reader.position = rows.offset[n]
        reader.end = reader.bytes.length
        if (wire.key.id !== none.id) skipPlain(reader)
        items.push(wire.value.read(reader))
      }
      return items
    }
    if (to - from <= CHUNK) return lazy(() => decode(from, to))
    return Stream.flatMap(Stream.range(0, Math.ceil((to - from) / CHUNK) - 1), (chunk) =>
      Stream.fromArray(decode(from + chunk * CHUNK, Math.min(to, from + (chunk + 1) * CHUNK)))
    )
  }
  const { starts } = rows
  let at = 0
  return Effect.sync(() => {
    if (at >= starts.length) return undefined
    const chunk: Array<readonly [K, ReadonlyArray<Values>, boolean]> = []
    for (const stop = Math.min(starts.length, at + CHUNK); at < stop; at++) {
      const start = starts[at]
      const end = at + 1 < starts.length ? starts[at + 1] : order.length
      const leader = order[start]
      const streams: Array<Values> = []
      let from = start
      for (let input = 0; input < wires.length - 1; input++) {
        let to = from
        while (to < end && rows.inputs[rows.where[order[to]]] === input) to++
        streams.push(values(wires[input], from, to))
        from = to
      }
      streams.push(values(wires[wires.length - 1], from, end))
      chunk.push([keyAt(rows.blocks[rows.where[leader]], rows.offset[leader]), streams, end - start > CHUNK])
    }
    return chunk
  })
}

// A group too large to be gathered: its values are read from the merge itself.
class Large {
  readonly key: Key
  passed = false
  /** The inputs whose streams have begun. */
  readonly begun = new Set<number>()
  /** Done when the stream that reads now has ended. */
  reading: Deferred.Deferred<void> | undefined
  constructor(key: Key) {
    this.key = key
  }
}

const groupsOnDisk = <K>(
  wires: ReadonlyArray<Wire<K, unknown>>,
  merge: Merge,
  keyAt: (bytes: Buffer, start: number) => K,
  limit: number,
  fail: (reason: Reason) => ShuffleError
): Effect.Effect<ReadonlyArray<readonly [K, ReadonlyArray<Values>, boolean]> | undefined, Reason> => {
  let large: Large | undefined

  const live = (group: Large, input: number, gathered: Values): Values => {
    const { value } = wires[input]
    const reader = new Reader(Buffer.alloc(0))
    const some: Effect.Effect<ReadonlyArray<unknown> | undefined, Reason> = Effect.suspend(() => {
      const items: Array<unknown> = []
      for (let cursor = merge.current; items.length < CHUNK; cursor = merge.current) {
        if (cursor === undefined || cursor.input > input || !group.key.equals(cursor)) break
        if (cursor.input === input) {
          reader.bytes = cursor.bytes
          reader.position = cursor.keyEnd
          reader.end = cursor.end
          items.push(value.read(reader))
        }
        if (!merge.step()) return Effect.andThen(merge.refill, items.length > 0 ? Effect.succeed(items) : some)
      }
      return Effect.succeed(items.length > 0 ? items : undefined)
    })
    return Stream.unwrap(
      Effect.gen(function* () {
        if (group.passed || group.reading !== undefined || [...group.begun].some((begun) => begun >= input)) {
          return yield* fail(new GroupPassed({}))
        }
        group.begun.add(input)
        const done = (group.reading = yield* Deferred.make<void>())
        yield* Effect.addFinalizer(() =>
          Effect.suspend(() => {
            group.reading = undefined
            return Deferred.succeed(done, undefined)
          })
        )
        return Stream.concat(gathered, pulling(Effect.succeed(Effect.mapError(some, fail))))
      })
    )
  }

  const pass = (group: Large): Effect.Effect<void, Reason> =>
    Effect.gen(function* () {
      // Lets a fiber that was given the group begin with it.
      yield* Effect.yieldNow
      while (group.reading !== undefined) yield* Deferred.await(group.reading)
      group.passed = true
      while (merge.current !== undefined && group.key.equals(merge.current)) {
        if (!merge.step()) yield* merge.refill
      }
    })

  return Effect.gen(function* () {
    if (large !== undefined) {
      yield* pass(large)
      large = undefined
    }
    const chunk: Array<readonly [K, ReadonlyArray<Values>, boolean]> = []
    let total = 0
    while (merge.current !== undefined && chunk.length < CHUNK && total < limit) {
      const key = new Key(merge.current)
      const k = keyAt(merge.current.bytes, merge.current.start)
      const writers = wires.map(() => new Writer(64))
      const counts = wires.map(() => 0)
      let bytes = 0
      let last = 0
      while (merge.current !== undefined && bytes < limit && key.equals(merge.current)) {
        const cursor: Cursor = merge.current
        last = cursor.input
        writers[last].copy(cursor.bytes, cursor.keyEnd, cursor.end)
        counts[last]++
        bytes += cursor.end - cursor.keyEnd + 1
        if (!merge.step()) yield* merge.refill
      }
      const gathered = wires.map(({ value }, input) => decoded(value, writers[input].take(), counts[input]))
      total += bytes
      if (merge.current !== undefined && key.equals(merge.current)) {
        const group = (large = new Large(key))
        chunk.push([k, gathered.map((values, input) => (input < last ? values : live(group, input, values))), true])
        break
      }
      chunk.push([k, gathered, false])
    }
    return chunk.length === 0 ? undefined : chunk
  })
}

/**
 * Settings of a shuffle layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Bytes that all tasks of the executor hold together before they spill. Default 256 MiB. */
  readonly memoryBytes?: number | undefined
  /** Bytes of a block before compression. Default 128 KiB. */
  readonly blockBytes?: number | undefined
  /**
   * `zstd` is level 1, and a block it does not make smaller is stored as it is. Default `auto`: `none` while the files fit into
   * the page cache (a quarter of the memory of the machine or container), where compressing costs time and saves none, and
   * `zstd` beyond.
   */
  readonly compression?: "auto" | "zstd" | "none" | undefined
}

const serviceOf = (store: Store, options: Options): Shuffle["Service"] => {
  const invalid = firstOf(
    optional(options.memoryBytes, (size) => bytes("memoryBytes", size)),
    optional(options.blockBytes, (size) => bytes("blockBytes", size)),
    optional(options.compression, (one) => oneOf("compression", one, ["auto", "zstd", "none"]))
  )
  const total = Math.max(1, options.memoryBytes ?? 256 * 1024 * 1024)
  const blockBytes = Math.max(1, Math.min(options.blockBytes ?? 128 * 1024, Math.max(64, total / 8)))
  return { store, memory: memoryBudget.make({ total, blockBytes }), remove: store.remove, invalid }
}

/**
 * Map outputs and runs stay in memory, as bytes: for tests and small data.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (options: Options = {}): Layer.Layer<Shuffle> =>
  Layer.sync(Shuffle, () => serviceOf(stores.memory(options.compression ?? "none"), options))

/**
 * Map outputs and runs are files in a directory of this process, `sluice-<pid>-<random>` under `directory` (by default the system's
 * folder for temporary files). It is deleted with the layer; those of processes that are gone are deleted when the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDisk = (
  options: Options & { readonly directory?: string | undefined } = {}
): Layer.Layer<Shuffle, ShuffleError> =>
  Layer.effect(
    Shuffle,
    Effect.gen(function* () {
      const directory = yield* Effect.mapError(
        makeFolder(options.directory),
        (reason) => new ShuffleError({ operator: "Shuffle", reason })
      )
      return serviceOf(stores.disk(directory, options.compression ?? "auto"), options)
    })
  )

/**
 * Every use fails for this reason.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUnavailable = (reason: Reason): Layer.Layer<Shuffle> =>
  Layer.succeed(
    Shuffle,
    serviceOf(
      {
        create: () => Effect.fail(reason),
        open: () => Effect.fail(reason),
        remove: () => Effect.void,
        discard: () => Effect.void,
        compress: () => false
      },
      {}
    )
  )
