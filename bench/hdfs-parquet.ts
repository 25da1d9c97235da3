/**
 * Writes a Parquet table of 20 columns to HDFS, or reads two of them, and prints the bytes that its sockets received:
 * `node hdfs-parquet.js write|read URL`. `bench/hdfs.ts` runs it over the built packages.
 */
import { Dataset, Engine, Events, Executor } from "@sluice/core"
import { HdfsAuth, HdfsClient, HdfsConfig, HdfsStorage } from "@sluice/hdfs"
import { type RecordBatch, tableFromArrays } from "apache-arrow"
import { Console, Effect, Layer, Schema } from "effect"
import { subscribe } from "node:diagnostics_channel"
import { Socket } from "node:net"
import { batches, batchRows, cell, columns, exact, sums } from "./support/hdfs.ts"

const [job = "", url = ""] = process.argv.slice(2)
const path = "hdfs:///bench/table"

const batch = (number: number): ReadonlyArray<RecordBatch> =>
  tableFromArrays(
    Object.fromEntries(
      columns.map((name, column) => [
        name,
        Float64Array.from({ length: batchRows }, (_, i) => cell(number * batchRows + i, column))
      ])
    )
  ).batches

const write = Dataset.range(0, batches, { partitions: 2 }).pipe(
  Dataset.flatMap(batch),
  Dataset.writeParquetBatches(path, { mode: "overwrite", compression: "none" }),
  Effect.map(({ rows }) => rows)
)

const read = Dataset.parquet(path, Schema.Struct({ c3: Schema.Number, c17: Schema.Number })).pipe(
  Dataset.aggregate(
    () => ({ c3: 0, c17: 0, rows: 0 }),
    (sum, row) => ({ c3: sum.c3 + exact(row.c3), c17: sum.c17 + exact(row.c17), rows: sum.rows + 1 }),
    (left, right) => ({ c3: left.c3 + right.c3, c17: left.c17 + right.c17, rows: left.rows + right.rows })
  ),
  Effect.map(({ c17, c3, rows }) => sums(c3, c17, rows))
)

// What the DataNodes count (`BytesRead`) leaves out ranges, after which their own reader closes before the block's end.
const sockets: Array<Socket> = []
subscribe("net.client.socket", (message) => {
  if (typeof message === "object" && message !== null && "socket" in message && message.socket instanceof Socket) {
    sockets.push(message.socket)
  }
})

const main = Effect.gen(function* () {
  const value = yield* job === "write" ? write : read
  const received = sockets.reduce((sum, socket) => sum + socket.bytesRead, 0)
  yield* Console.log(JSON.stringify({ value, received }))
})

const storage = HdfsStorage.layer.pipe(
  Layer.provide(HdfsClient.layer),
  Layer.provide(HdfsAuth.layerSimple({ user: "hdfs" })),
  Layer.provide(HdfsConfig.layer({ nameNodes: [url] }))
)
const engine = Engine.layerNoDeps.pipe(Layer.provide([storage, Executor.layerLocal(), Events.layer]))

await Effect.runPromise(Effect.provide(main, engine))
