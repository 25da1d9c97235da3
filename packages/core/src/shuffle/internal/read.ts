import { Array as Arr, Cause, Effect, type Order, type Pull, type Scope, Stream } from "effect"
import type { Codec } from "../../codec/Codec.ts"
import { Reader, Writer } from "../../codec/internal/bytes.ts"
import { elementAt, uint32At } from "../../codec/internal/elements.ts"
import { type Reason, ShuffleError } from "../ShuffleError.ts"
import { type Block, Blocks, trapMalformed } from "./blocks.ts"
import { byHash, byOrder, type Kind, type Layout } from "./keys.ts"
import { type Aggregator, type MapStatus, Shuffle, type Slice, type Store, type Wire } from "./model.ts"
import { type Cursor, Key, type Merge, Sorter } from "./sorter.ts"
import { BoundedTable, type Claimed, claimed, encoding, unique } from "./spilling.ts"
import { Table } from "./table.ts"

// Rows that a stream emits at once.
export const CHUNK = 1024

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
    const offset = elementAt(status.offsets, index)
    const length = elementAt(status.lengths, index)
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
    // Running the map task again does not help against a full disk or a bug.
    ...(reason._tag === "Corrupt" || reason._tag === "Missing"
      ? { lost: { shuffle: status.shuffle, map: status.map, attempt: status.attempt } }
      : {})
  })

const isLost = (failure: Reason | Lost): failure is Lost => "status" in failure

// A stream from a pull, in a scope that lives as long as the stream.
export const pulling = <A, E, R>(
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
 * Rows in the order of the map tasks, and in the order in which each wrote them. `make` turns a key and a value into
 * the row.
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
const drained = <K, B>(merge: Merge<K>, take: (cursor: Cursor<K>, rows: Array<B>) => void, file: string) =>
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

export const loaded = Effect.fnUntraced(function* <K>(
  operator: string,
  kind: Kind<K>,
  layout: Layout<K>,
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
 * Rows in the order of their keys; equal keys in the order of the map tasks, and in the order in which each wrote them.
 * `Order.String` and `Order.Number` sort bytes; any other order sorts decoded keys.
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
      const { fail, sorter } = yield* loaded(wire.operator, byOrder(order), { key: wire.key, values: [wire.value] }, [
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
            held.point(reader, uint32At(sorted, at))
            rows.push(make(wire.key.read(reader), wire.value.read(reader)))
          }
          return rows
        })
      }
      const merge = yield* Effect.mapError(sorter.merged, fail)
      const next = drained<K, B>(
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

// Takes the entries of a table that has outgrown its budget, as blocks of encoded entries, in runs sorted by hash.
const entrySorter = Effect.fnUntraced(function* <K, V, C>(
  wire: Wire<K, V>,
  codec: Codec<C>,
  { memory, spill, store }: Claimed
) {
  const { blockBytes } = memory
  const sorter = new Sorter({
    kind: byHash,
    layout: { key: wire.key, values: [codec] },
    // The budget belongs to the table; its entries only pass through the sorter on their way to disk.
    claim: { resize: () => true, release: () => {} },
    store,
    blockBytes,
    create: spill(wire.id, `run-${(yield* unique).toString(16)}`)
  })
  let writer: Writer | undefined
  let rows = 0
  return {
    sorter,
    /** Adds an entry; `true` when the block is full. */
    put: (key: K, combined: C): boolean => {
      writer ??= new Writer(blockBytes + 4096)
      writer.canonical = true
      writer.depth = 0
      wire.key.write(key, writer)
      writer.canonical = false
      codec.write(combined, writer)
      rows++
      return writer.position >= blockBytes
    },
    /** Passes the block on. */
    flush: Effect.suspend(() => {
      if (writer === undefined) return Effect.void
      const block = { bytes: writer.take(), rows }
      writer = undefined
      rows = 0
      return sorter.add(block, 0, wire.id)
    })
  }
})

// The rows of a table that never outgrew its budget.
const tableRows = <K, V, C, B>(table: Table<K, V, C>, make: (key: K, combined: C) => B) => {
  let i = 0
  return Effect.sync((): ReadonlyArray<B> | undefined => {
    if (i >= table.size) return undefined
    const rows: Array<B> = []
    for (const end = Math.min(table.size, i + CHUNK); i < end; i++) rows.push(make(table.keyAt(i), table.valueAt(i)))
    return rows
  })
}

// The rows of a merge, in which the entries of a key follow each other.
const mergedRows = <K, V, C, B>(
  wire: Wire<K, V>,
  aggregator: Aggregator<V, C>,
  merge: Merge<K>,
  make: (key: K, combined: C) => B
): Effect.Effect<ReadonlyArray<B> | undefined, Reason> => {
  const reader = new Reader(Buffer.alloc(0))
  let open: { readonly key: K; combined: C; readonly at: Key } | undefined
  const next = drained<K, B>(
    merge,
    (cursor, rows) => {
      reader.bytes = cursor.bytes
      reader.end = cursor.end
      if (open !== undefined && open.at.equals(cursor)) {
        reader.position = cursor.keyEnd
        open.combined = aggregator.mergeCombiners(open.combined, aggregator.codec.read(reader))
        return
      }
      if (open !== undefined) rows.push(make(open.key, open.combined))
      reader.position = cursor.start
      const key = wire.key.read(reader)
      open = { key, combined: aggregator.codec.read(reader), at: new Key(cursor) }
    },
    wire.id
  )
  return Effect.map(next, (rows) => {
    if (rows !== undefined || open === undefined) return rows
    const last = make(open.key, open.combined)
    open = undefined
    return [last]
  })
}

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
      const held = yield* claimed(wire.operator)
      const { claim, fail, memory, store } = held
      const entries = new Table<K, V, C>(wire.key, aggregator)
      const table = new BoundedTable(entries, memory, claim)
      const { flush, put, sorter } = yield* entrySorter(wire, aggregator.codec, held)
      const spillTable = Effect.andThen(table.drain(put, flush), sorter.spill)
      const take = (block: Block, file: string): Effect.Effect<void, Reason> =>
        encoding(
          () => entries.values,
          () => {
            const reader = new Reader(block.bytes)
            const fault = trapMalformed(() => {
              for (let i = 0; i < block.rows; i++) {
                const key = wire.key.read(reader)
                if (options.combined) entries.mergeCombined(key, aggregator.codec.read(reader), i)
                else entries.mergeValue(key, wire.value.read(reader), i)
              }
            }, file)
            if (fault !== undefined) return Effect.fail(fault)
            return table.full(block.rows) ? spillTable : Effect.void
          }
        )
      yield* Effect.mapError(forEachBlock(store, slice, take), (failure) =>
        isLost(failure) ? lostError(wire.operator, failure) : fail(failure)
      )
      if (sorter.runs.length === 0) return tableRows(entries, options.make)
      yield* Effect.mapError(spillTable, fail)
      const merge = yield* Effect.mapError(sorter.merged, fail)
      return Effect.mapError(mergedRows(wire, aggregator, merge, options.make), fail)
    })
  )
