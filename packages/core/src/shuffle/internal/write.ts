import { Effect, Stream } from "effect"
import type { Codec } from "../../codec/Codec.ts"
import { Writer } from "../../codec/internal/bytes.ts"
import { isElement, outside } from "../../codec/internal/elements.ts"
import { hashBytes, hashWritten } from "../../codec/internal/hash.ts"
import { prefix } from "../../codec/internal/prefix.ts"
import type { Partitioner } from "../Partitioner.ts"
import type { ShuffleError } from "../ShuffleError.ts"
import type { Aggregator, Exchange, MapStatus, Shuffle } from "./model.ts"
import { Allowance, Output } from "./output.ts"
import { BoundedTable, claimed, takeAll, unique } from "./spilling.ts"
import { Table } from "./table.ts"

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
  // Consecutive map tasks begin at different partitions, so that small tasks fill all partitions.
  let turn = Math.imul(map, 0x9e3779b1) >>> 0
  return (k: K, v: C): void => {
    let bucket
    let capacity
    // The hash of a record continues the hash of its key, if there is one, with its value.
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

/** The output of a map task, and how it is filled: some items at a time, of which `record` appends one. */
export const filling = Effect.fnUntraced(function* (
  exchange: Pick<Exchange<never, never, never>, "id" | "operator"> & {
    readonly partitioner: { readonly partitions: number }
  },
  task: { readonly map: number; readonly attempt: number }
) {
  const { claim, fail, memory, spill, store } = yield* claimed(exchange.operator)
  const name = outputName(task, yield* unique)
  const output = new Output(memory.blockBytes, exchange.partitioner.partitions, store, spill(exchange.id, name))
  const allowance = new Allowance(claim, memory.total)
  const spilled = Effect.suspend(() => (output.full ? output.flush : Effect.map(output.pass, () => allowance.clear())))
  return {
    output,
    take: (count: number, item: (index: number) => unknown, record: (index: number) => void) =>
      Effect.mapError(
        takeAll({
          count,
          item,
          take: (i) => {
            record(i)
            return output.full || !allowance.allows(output.held)
          },
          spill: spilled
        }),
        fail
      ),
    finish: Effect.mapError(output.finish(exchange.id, task), fail)
  }
})

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
      const { finish, output, take } = yield* filling(exchange, task)
      const record = recorder(output, exchange, exchange.value, task.map)
      const { keyOf, valueOf } = exchange
      yield* Stream.runForEachArray(rows, (chunk) =>
        take(
          chunk.length,
          (i) => chunk[i],
          (i) => {
            const row = chunk[i]
            if (!isElement(row, chunk, i)) return outside(i)
            record(keyOf(row), valueOf(row))
          }
        )
      )
      return yield* finish
    })
  )

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
      const output = new Output(memory.blockBytes, exchange.partitioner.partitions, store, spill(exchange.id, name))
      const record = recorder(output, exchange, aggregator.codec, task.map)
      const table = new BoundedTable(new Table<K, V, C>(exchange.key, aggregator), memory, claim)
      const { keyOf, valueOf } = exchange
      // When the table is full, it is written as it is: the reduce side merges keys that occur more than once.
      const drain = table.drain((key, combined) => {
        record(key, combined)
        return output.held >= memory.total
      }, output.pass)
      yield* Stream.runForEachArray(rows, (chunk) =>
        Effect.mapError(table.mergeAll(chunk, keyOf, valueOf, drain), fail)
      )
      yield* Effect.mapError(drain, fail)
      return yield* Effect.mapError(output.finish(exchange.id, task), fail)
    })
  )
