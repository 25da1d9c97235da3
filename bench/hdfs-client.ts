/**
 * A small program that uses HDFS as its users do: `node hdfs-client.js JOB URL PATH BYTES LOCAL` does one job and
 * prints its seconds, its result, and the memory that it began with. `bench/hdfs.ts` runs it over the built packages.
 */
import * as HdfsAuth from "@sluice/hdfs/HdfsAuth"
import * as HdfsClient from "@sluice/hdfs/HdfsClient"
import * as HdfsConfig from "@sluice/hdfs/HdfsConfig"
import { Clock, Console, Effect, Layer, Stream } from "effect"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import { type Job, operations, rangeLength, rangeOffsets } from "./support/hdfs.ts"
import { peakResident } from "./support/resident.ts"

const [job = "", url = "", path = "", size = "0", local = ""] = process.argv.slice(2)
const bytes = Number(size)

const chunk = 256 * 1024

const client = <A, E>(use: (client: HdfsClient.HdfsClient["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(HdfsClient.HdfsClient, use)

/** The bytes of a local file, either always in one buffer or each chunk in new memory. */
const localBytes = (buffer: Uint8Array | undefined) =>
  Stream.unwrap(
    Effect.map(
      Effect.acquireRelease(
        Effect.promise(() => Fs.open(local)),
        (file) => Effect.promise(() => file.close())
      ),
      (file) =>
        Stream.unfold(0, (position) => {
          const into = buffer ?? Buffer.allocUnsafeSlow(chunk)
          return Effect.map(
            Effect.promise(() => file.read(into, 0, chunk, position)),
            ({ bytesRead }) =>
              bytesRead === 0 ? undefined : ([into.subarray(0, bytesRead), position + bytesRead] as const)
          )
        })
    )
  )

const write = (buffer: Uint8Array | undefined) =>
  client(({ write }) =>
    write(path, localBytes(buffer), { overwrite: true, length: bytes, replication: 1, blockSize: 128 * 1024 * 1024 })
  )

const read = (onChunk: (chunk: Uint8Array) => void, buffer: Uint8Array | undefined) =>
  client(({ open }) =>
    Stream.runForEachArray(open(path, { buffer }), (chunks) => Effect.sync(() => chunks.forEach(onChunk)))
  )

const count = (buffer: Uint8Array | undefined) =>
  Effect.suspend(() => {
    let length = 0
    return Effect.map(
      read((chunk) => (length += chunk.length), buffer),
      () => length
    )
  })

const parallel = client(({ readRanges }) =>
  readRanges(
    path,
    rangeOffsets(bytes).map((offset) => ({ offset, length: rangeLength })),
    { concurrency: 64 }
  )
)

const stat = (concurrency: 1 | 16) =>
  client(({ getFileStatus }) =>
    Effect.suspend(() => {
      let right = 0
      return Effect.map(
        Effect.forEach(
          Array.from({ length: operations[concurrency] }),
          () => Effect.map(getFileStatus(path), (status) => (right += status.length === bytes ? 1 : 0)),
          { discard: true, concurrency }
        ),
        () => right
      )
    })
  )

const jobs: Record<Job, Effect.Effect<number | string, unknown, HdfsClient.HdfsClient>> = {
  write: Effect.suspend(() => write(Buffer.allocUnsafeSlow(chunk))),
  writeFresh: write(undefined),
  read: Effect.suspend(() => count(Buffer.allocUnsafeSlow(chunk))),
  readFresh: count(undefined),
  checksum: Effect.suspend(() => {
    const hash = Crypto.createHash("sha256")
    return Effect.map(
      read((chunk) => hash.update(chunk), Buffer.allocUnsafeSlow(chunk)),
      () => hash.digest("hex")
    )
  }),
  ranges: Effect.map(parallel, (all) => all.reduce((sum, { length }) => sum + length, 0)),
  rangesChecksum: Effect.map(parallel, (all) => {
    const hash = Crypto.createHash("sha256")
    for (const range of all) hash.update(range)
    return hash.digest("hex")
  }),
  stat: stat(1),
  stat16: stat(16)
}

const isJob = (name: string): name is Job => Object.hasOwn(jobs, name)

const main = Effect.gen(function* () {
  const before = process.memoryUsage().rss
  const started = yield* Clock.currentTimeNanos
  const value = yield* isJob(job) ? jobs[job] : Effect.die(`there is no job ${job}`)
  const seconds = Number((yield* Clock.currentTimeNanos) - started) / 1e9
  yield* Console.log(JSON.stringify({ seconds, value, before, peak: peakResident() }))
})

await Effect.runPromise(
  main.pipe(
    Effect.provide(
      HdfsClient.layer.pipe(
        Layer.provide(HdfsConfig.layer({ nameNodes: [url] })),
        Layer.provide(HdfsAuth.layerSimple({ user: "hdfs" }))
      )
    )
  )
)
