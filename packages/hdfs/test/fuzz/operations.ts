/** The operations of the client that are tried, and what is wrong with what came of them. */
import { HdfsClient, type HdfsError } from "@sluice/hdfs"
import * as Storage from "@sluice/core/Storage"
import type { StorageError } from "@sluice/core/StorageError"
import { Effect, Stream } from "effect"
import { chunkedLength, type Cluster, names } from "./cluster.ts"
import type * as Random from "./random.ts"

export interface Operation {
  readonly name: string
  readonly run: Effect.Effect<
    /** What is wrong with the received bytes. */
    string | undefined,
    HdfsError.HdfsError | StorageError,
    HdfsClient.HdfsClient | Storage.Storage
  >
}

type Operations = readonly [Operation, ...ReadonlyArray<Operation>]

/** The part of the file that an operation is about. */
interface Part {
  readonly offset: number
  readonly length: number
  readonly preferHost: string | undefined
}

/** Whether these are the bytes from `offset` on, up to `end` or where the file was said to end. */
const isRight = ({ content, told }: Cluster, bytes: Uint8Array, from: number, end: number): string | undefined =>
  [...told, ...(end <= content.length ? [end] : [])].some((length) => {
    const to = Math.max(from, Math.min(end, length))
    return to <= content.length && content.subarray(from, to).equals(bytes)
  })
    ? undefined
    : `${bytes.length} bytes that are not those of ${from}..${end} of ${content.length}`

const collect = <E, R>(stream: Stream.Stream<Uint8Array, E, R>) =>
  Effect.suspend(() => {
    const all: Array<Buffer> = []
    // The next chunk overwrites a reused buffer.
    const keep = (chunk: Uint8Array) => Effect.sync(() => void all.push(Buffer.from(chunk)))
    return Effect.map(Stream.runForEach(stream, keep), () => Buffer.concat(all))
  })

const said = (cluster: Cluster, operation: string, status: number) =>
  cluster.said.get(operation)?.some((line) => line.endsWith(` ${status}`)) === true
    ? undefined
    : `nobody said ${status} to ${operation}`

const listed = (cluster: Cluster, found: ReadonlyArray<string>) =>
  cluster.wrong.length > 0 || String(found) === String(names) ? undefined : `listed ${String(found)}`

const reads = (random: Random.Random, cluster: Cluster, { length, offset, preferHost }: Part): Operations => {
  const { content } = cluster
  const isExact = (bytes: Uint8Array) =>
    content.subarray(offset, offset + length).equals(bytes) ? undefined : `wrong bytes for ${offset}, ${length}`
  return [
    {
      name: "open",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => collect(it.open("/f", { preferHost }))).pipe(
        Effect.map((bytes) => isRight(cluster, bytes, 0, Number.POSITIVE_INFINITY))
      )
    },
    {
      name: "open a range into a buffer",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) =>
        collect(it.open("/f", { preferHost, offset, length, buffer: new Uint8Array(1 + random.below(5000)) }))
      ).pipe(Effect.map((bytes) => isRight(cluster, bytes, offset, offset + length)))
    },
    {
      name: "open and stop",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => collect(Stream.take(it.open("/f", { preferHost }), 1))).pipe(
        Effect.map((bytes) =>
          // That a chunk was longer than it said is known behind it.
          content.subarray(0, bytes.length).equals(bytes) || cluster.wrong.some((what) => /chunk|flips/.test(what))
            ? undefined
            : "wrong first bytes"
        )
      )
    },
    {
      name: "readRange",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.readRange("/f", offset, length, { preferHost })).pipe(
        Effect.map(isExact)
      )
    },
    {
      name: "Storage.read",
      run: Effect.flatMap(Storage.Storage, (it) => collect(it.read("hdfs:///f"))).pipe(
        Effect.map((bytes) => isRight(cluster, bytes, 0, Number.POSITIVE_INFINITY))
      )
    },
    {
      name: "Storage.read of a range",
      run: Effect.flatMap(Storage.Storage, (it) => collect(it.read("hdfs:///f", { offset, length }))).pipe(
        Effect.map(isExact)
      )
    },
    {
      name: "Storage.readRange",
      run: Effect.flatMap(Storage.Storage, (it) => it.readRange("hdfs:///f", offset, length)).pipe(Effect.map(isExact))
    }
  ]
}

const looks = (cluster: Cluster): Operations => [
  {
    name: "Storage.blocks",
    run: Effect.flatMap(Storage.Storage, (it) => it.blocks("hdfs:///f")).pipe(
      Effect.map((blocks) => {
        let at = 0
        for (const block of blocks) {
          if (block.offset !== at || !(block.length > 0)) return "blocks that do not cover the file"
          at += block.length
        }
        return cluster.told.has(at) ? undefined : "blocks of another length"
      })
    )
  },
  {
    name: "Storage.list",
    run: Effect.flatMap(Storage.Storage, (it) => Stream.runCollect(it.list("hdfs:///d/*"))).pipe(
      Effect.map((found) =>
        listed(
          cluster,
          found.map(({ path }) => path.slice(path.lastIndexOf("/") + 1))
        )
      )
    )
  },
  {
    name: "listStatus",
    run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.listStatus("/d")).pipe(
      Effect.map((found) =>
        listed(
          cluster,
          found.map(({ pathSuffix }) => pathSuffix)
        )
      )
    )
  },
  {
    name: "getFileStatus",
    run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.getFileStatus("/f")).pipe(
      Effect.map((status) => (cluster.told.has(status.length) ? undefined : `a length of ${status.length}`))
    )
  }
]

const changes = (cluster: Cluster, { offset }: Part): Operations => {
  const { content } = cluster
  return [
    {
      name: "create",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) =>
        it.create("/new", Stream.make(content.subarray(0, offset), content.subarray(offset)))
      ).pipe(
        Effect.map(() =>
          chunkedLength(cluster.received.at(-1)) === content.length ? said(cluster, "CREATE", 201) : "not sent"
        )
      )
    },
    {
      name: "create of a known length",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) =>
        it.create("/new", Stream.succeed(content), { length: content.length })
      ).pipe(
        Effect.map(() =>
          cluster.received.at(-1)?.equals(content) === true ? said(cluster, "CREATE", 201) : "not sent"
        )
      )
    },
    {
      name: "write",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.write("/d/new", Stream.succeed(content))).pipe(
        Effect.map(
          () => said(cluster, "CREATE", 201) ?? (cluster.wrong.length > 0 ? undefined : said(cluster, "RENAME", 200))
        )
      )
    },
    {
      name: "append",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.append("/f", Stream.succeed(content))).pipe(
        Effect.map(() => said(cluster, "APPEND", 200))
      )
    },
    {
      name: "mkdirs",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.mkdirs("/d")).pipe(
        Effect.map(() => said(cluster, "MKDIRS", 200))
      )
    },
    {
      name: "setPermission",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.setPermission("/f", "644")).pipe(
        Effect.map(() => said(cluster, "SETPERMISSION", 200))
      )
    },
    {
      name: "delete",
      run: Effect.flatMap(HdfsClient.HdfsClient, (it) => it.delete("/f")).pipe(Effect.as(undefined))
    }
  ]
}

export const operationOf = (random: Random.Random, cluster: Cluster): Operation => {
  const { content } = cluster
  const offset = random.chance(0.3) ? 0 : random.below(content.length + 1)
  const length = random.below(content.length - offset + 1)
  const part: Part = { offset, length, preferHost: random.chance(0.4) ? "127.0.0.1" : undefined }
  const reading = reads(random, cluster, part)
  // Reads have most to lose.
  return random.chance(0.4)
    ? random.pick(reading)
    : random.pick([...reading, ...looks(cluster), ...changes(cluster, part)])
}
