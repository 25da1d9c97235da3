/** A sort of rows of text whose bytes are neither decoded nor encoded on the way. */
import { isAscii } from "node:buffer"
import { Effect, Order, Stream } from "effect"
import * as Codec from "../../codec/Codec.ts"
import { Reader, Writer } from "../../codec/internal/bytes.ts"
import { uint32At } from "../../codec/internal/elements.ts"
import { hashWritten } from "../../codec/internal/hash.ts"
import { LineCollector, type Lines, type TextRows, writeLine } from "../../codec/internal/lines.ts"
import { prefix, stringPrefix } from "../../codec/internal/prefix.ts"
import type { RangePartitioner } from "../Partitioner.ts"
import type { Reason, ShuffleError } from "../ShuffleError.ts"
import { trapMalformed } from "./blocks.ts"
import { byOrder, point } from "./keys.ts"
import type { MapStatus, Shuffle, Slice } from "./model.ts"
import type { Output } from "./output.ts"
import { CHUNK, loaded, pulling } from "./read.ts"
import { filling } from "./write.ts"

// The partition of a row, which its first eight bytes decide unless they are those of a bound.
const partitionOfLine = (partitioner: RangePartitioner<string>) => {
  const { bounds } = partitioner
  const scratch = new Writer(256)
  const reader = new Reader(Buffer.alloc(0))
  const scratchPrefix = (): void => {
    point(reader, scratch.bytes, 0)
    stringPrefix(reader)
    scratch.position = 0
  }
  const highs = new Uint32Array(bounds.length)
  const lows = new Uint32Array(bounds.length)
  for (const [i, bound] of bounds.entries()) {
    Codec.plain.write(bound, scratch)
    scratchPrefix()
    highs[i] = prefix.high
    lows[i] = prefix.low
  }
  return (bytes: Buffer, start: number, end: number, ascii: boolean): number => {
    if (ascii && end - start >= 8) {
      prefix.high = bytes.readUInt32BE(start)
      prefix.low = bytes.readUInt32BE(start + 4)
    } else {
      writeLine(scratch, bytes, start, end, ascii)
      scratchPrefix()
    }
    const { high, low } = prefix
    let from = 0
    let to = bounds.length
    while (from < to) {
      const middle = (from + to) >>> 1
      const difference = high - uint32At(highs, middle) || low - uint32At(lows, middle)
      if (difference === 0) return partitioner.partition(bytes.toString("utf8", start, end))
      if (difference < 0) to = middle
      else from = middle + 1
    }
    return from
  }
}

const lineRecorder = (output: Output, partitioner: RangePartitioner<string>) => {
  const partitionOf = partitionOfLine(partitioner)
  const into = (partition: number, write: (writer: Writer) => void): void => {
    const bucket = output.begin(partition)
    const { writer } = bucket
    const capacity = writer.bytes.length
    const from = writer.position
    write(writer)
    // The hash of a row written as a string.
    hashWritten(writer, from, 0x9747b28c, 0x3c6ef372)
    output.end(bucket, capacity, prefix.high, prefix.low)
  }
  return {
    string: (row: string): void => into(partitioner.partition(row), (writer) => Codec.plain.write(row, writer)),
    line: (bytes: Buffer, start: number, end: number, ascii: boolean): void =>
      into(partitionOf(bytes, start, end, ascii), (writer) => writeLine(writer, bytes, start, end, ascii))
  }
}

/** As `write` of these rows as keys without values, byte for byte. */
export const writeLines = <E, R>(
  exchange: { readonly id: string; readonly operator: string; readonly partitioner: RangePartitioner<string> },
  task: { readonly map: number; readonly attempt: number },
  rows: Stream.Stream<TextRows, E, R>
): Effect.Effect<MapStatus, E | ShuffleError, R | Shuffle> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { finish, output, take } = yield* filling(exchange, task)
      const record = lineRecorder(output, exchange.partitioner)
      const takeLines = ({ bytes, ends }: Lines) => {
        const ascii = isAscii(bytes)
        let start = 0
        return take(
          ends.length,
          (i) => bytes.subarray(0, ends[i]),
          (i) => {
            const end = uint32At(ends, i)
            record.line(bytes, start, end, ascii)
            start = end + 1
          }
        )
      }
      yield* Stream.runForEach(rows, (some) =>
        typeof some === "string"
          ? take(
              1,
              () => some,
              () => record.string(some)
            )
          : takeLines(some)
      )
      return yield* finish
    })
  )

/** As `sort` by `Order.String` of rows that were written as keys without values. */
export const sortLines = (
  wire: { readonly id: string; readonly operator: string },
  slice: Slice
): Stream.Stream<TextRows, ShuffleError, Shuffle> =>
  pulling(
    Effect.gen(function* () {
      const { fail, sorter } = yield* loaded(
        wire.operator,
        byOrder(Order.String),
        { key: { id: Codec.plain.id, read: (reader) => String(Codec.plain.read(reader)) }, values: [Codec.none] },
        [{ shuffle: wire.id, slice }]
      )
      const collector = new LineCollector(64 * 1024)
      if (sorter.runs.length === 0) {
        const { rows } = sorter
        const sorted = rows.sorted()
        let at = 0
        return Effect.sync((): ReadonlyArray<TextRows> | undefined => {
          if (at >= sorted.length) return undefined
          for (const stop = Math.min(sorted.length, at + CHUNK); at < stop; at++) {
            const n = uint32At(sorted, at)
            collector.add(rows.blockOf(n), uint32At(rows.offset, n))
          }
          return collector.take()
        })
      }
      const merge = yield* Effect.mapError(sorter.merged, fail)
      let collected = 0
      const next: Effect.Effect<ReadonlyArray<TextRows> | undefined, Reason> = Effect.suspend(() => {
        let refill = false
        const fault = trapMalformed(() => {
          for (let { current } = merge; collected < CHUNK && current !== undefined && !refill; { current } = merge) {
            collector.add(current.bytes, current.start)
            collected++
            refill = !merge.step()
          }
        }, wire.id)
        if (fault !== undefined) return Effect.fail(fault)
        if (refill) return Effect.andThen(merge.refill, collected < CHUNK ? next : done)
        return done
      })
      const done = Effect.sync(() => {
        if (collected === 0) return undefined
        collected = 0
        return collector.take()
      })
      return Effect.mapError(next, fail)
    })
  )
