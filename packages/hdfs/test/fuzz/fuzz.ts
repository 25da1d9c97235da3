/**
 * A client of HDFS and a cluster of one file, on the loopback, whose NameNode and DataNode are wrong now and then: in their status
 * lines, heads, chunks, lengths and JSON, in how much they send and when. Whatever they do, an operation ends within its limits,
 * with the right bytes or a typed error. One seed is one operation, and repeats it.
 */
import { HdfsAuth, HdfsClient, HdfsConfig, HdfsError, HdfsStorage } from "@sluice/hdfs"
import * as Storage from "@sluice/core/Storage"
import { StorageError } from "@sluice/core/StorageError"
import { Cause, type Duration, Effect, Layer, Option, Redacted, References, Schema, Stream } from "effect"
import type * as Net from "node:net"
import { fileStatus } from "../support/client.ts"
import { type RawRequest, serveRaw } from "../support/rawServer.ts"
import * as Mutate from "./mutate.ts"
import * as Random from "./random.ts"

/** What became of a seed. */
export interface Outcome {
  readonly seed: number
  readonly operation: string
  /** What was wrong with the answers, in their order; empty where nothing was. */
  readonly wrong: ReadonlyArray<string>
  /** The tag of the failure, `ok`, or what must not be. */
  readonly result: string
  readonly violation: string | undefined
}

/** An operation ends by then, whatever its servers do. */
const limit: Duration.Input = "20 seconds"
/** Bytes that a connection takes at most of a server that does not stop. */
const mostBytes = 16 * 1024 * 1024

const settings = (isWrong: boolean): Omit<HdfsConfig.Options, "nameNodes"> => ({
  // Where nothing is wrong nothing fails, however busy the machine is.
  connectTimeout: isWrong ? "300 millis" : "10 seconds",
  readTimeout: isWrong ? "80 millis" : "10 seconds",
  operationTimeout: isWrong ? "300 millis" : "10 seconds",
  maxAnswerBytes: 512 * 1024,
  maxRetries: 2,
  maxFailovers: 2,
  retryBase: "1 millis",
  retryMax: "3 millis"
})

/** Without line breaks, so that no frame of a chunk can be taken for it. */
const letters = (random: Random.Random, length: number) =>
  Buffer.from(Uint8Array.from({ length }, () => 97 + random.below(26)))

const Told = Schema.fromJsonString(Schema.Struct({ FileStatus: Schema.Struct({ length: Schema.Number }) }))
const decodeTold = Schema.decodeUnknownOption(Told)

const token = Redacted.make("token")

const names = ["a", "b.txt", "part-0"]

class Cluster {
  readonly content: Buffer
  readonly wrong: Array<string> = []
  /** Lengths the NameNode said, though they may be lies. */
  readonly told = new Set<number>()
  /** First lines that were sent, by operation. */
  readonly said = new Map<string, Array<string>>()
  /** Bodies that came with `CREATE`. */
  readonly received: Array<Buffer> = []
  private readonly random: Random.Random
  /** How many of the answers are wrong. */
  readonly rate: number
  private readonly pieces = new Map<string, { readonly offset: number; readonly length: number | undefined }>()

  constructor(random: Random.Random) {
    this.random = random
    this.content = letters(random, random.pick([0, 1, 20, 4096, 70_000, 200_000]))
    this.rate = random.pick([0, 0.2, 0.5, 1])
  }

  private answer({ body, operation, url }: RawRequest, origin: string): Mutate.Answer {
    const { content } = this
    const data = (body: Buffer): Mutate.Answer => ({
      status: 200,
      headers: ["Content-Type: application/octet-stream"],
      body,
      isData: true
    })
    const json = (value: unknown, status = 200): Mutate.Answer => ({
      status,
      headers: ["Content-Type: application/json"],
      body: Buffer.from(JSON.stringify(value)),
      isData: false
    })
    const status = (pathSuffix: string) => ({ ...fileStatus, length: content.length, pathSuffix })
    const missing = () =>
      json(
        { RemoteException: { exception: "FileNotFoundException", message: `File does not exist: ${url.pathname}` } },
        404
      )
    if (url.pathname.startsWith("/data/")) {
      if (operation !== "OPEN") {
        this.received.push(body)
        return { status: operation === "CREATE" ? 201 : 200, headers: [], body: Buffer.alloc(0), isData: false }
      }
      const piece = this.pieces.get(url.pathname)
      if (piece === undefined || piece.offset > content.length) return missing()
      return data(content.subarray(piece.offset, piece.length === undefined ? undefined : piece.offset + piece.length))
    }
    switch (operation) {
      case "GETFILESTATUS":
        if (url.pathname.endsWith("_COPYING_")) {
          return json({ FileStatus: { ...status(""), length: chunkedLength(this.received.at(-1)) } })
        }
        return url.pathname.endsWith("/new") ? missing() : json({ FileStatus: status("") })
      case "LISTSTATUS":
        return json({ FileStatuses: { FileStatus: names.map(status) } })
      case "LISTSTATUS_BATCH": {
        const after = url.searchParams.get("startafter")
        const page = names.filter((name) => after === null || name > after).slice(0, 2)
        const remainingEntries = names.filter((name) => name > (page.at(-1) ?? "")).length
        return json({
          DirectoryListing: { partialListing: { FileStatuses: { FileStatus: page.map(status) } }, remainingEntries }
        })
      }
      case "GETFILEBLOCKLOCATIONS": {
        const size = Math.max(1, Math.ceil(content.length / 3))
        const offsets = [0, size, 2 * size].filter((offset) => offset < content.length)
        return json({
          BlockLocations: {
            BlockLocation: offsets.map((offset) => ({
              offset,
              length: Math.min(size, content.length - offset),
              corrupt: false,
              hosts: ["127.0.0.1"],
              names: ["127.0.0.1:9866"],
              topologyPaths: ["/default"]
            }))
          }
        })
      }
      case "OPEN":
      case "CREATE":
      case "APPEND": {
        // What is asked for is kept here: an address with other numbers in it would be answered with other bytes.
        const path = `/data/${this.pieces.size}x${this.random.below(2 ** 30)}`
        const length = url.searchParams.get("length")
        this.pieces.set(path, {
          offset: Number(url.searchParams.get("offset") ?? 0),
          length: length === null ? undefined : Number(length)
        })
        return json({ Location: `${origin}${path}?op=${operation}` })
      }
      case "RENAME":
        return url.searchParams.has("renameoptions")
          ? { status: 200, headers: [], body: Buffer.alloc(0), isData: false }
          : json({ boolean: true })
      default:
        return json({ boolean: true })
    }
  }

  readonly serve = (request: RawRequest, socket: Net.Socket, origin: string): void => {
    const answer = this.answer(request, origin)
    const isWrong = this.random.chance(this.rate)
    const wire = isWrong ? Mutate.wrong(this.random, answer) : Mutate.right(this.random, answer)
    if (isWrong) this.wrong.push(`${request.operation}${answer.isData ? " data" : ""}: ${wire.what}`)
    const at = wire.bytes.indexOf("{")
    if (request.operation === "GETFILESTATUS" && at >= 0) {
      // Also where something comes behind it that is not of it.
      for (const end of [wire.bytes.length, wire.bytes.lastIndexOf("}") + 1]) {
        const told = decodeTold(
          unchunked(wire.bytes)
            .subarray(0, end)
            .toString("utf8")
            .replace(/^[^{]*/, "")
        )
        if (Option.isSome(told)) this.told.add(told.value.FileStatus.length)
      }
    }
    if (request.operation === "GETFILESTATUS") this.told.add(this.content.length)
    const line = wire.bytes.toString("latin1").match(/HTTP\/1\.[01] [2-9]\d\d/)?.[0] ?? ""
    this.said.set(request.operation, [...(this.said.get(request.operation) ?? []), line])
    send(socket, wire)
  }
}

/** The body of an upload without its chunks. */
const chunkedLength = (body: Buffer | undefined): number => {
  if (body === undefined) return 0
  let at = 0
  let length = 0
  while (at < body.length) {
    const end = body.indexOf("\r\n", at)
    if (end < 0) break
    const size = Number.parseInt(body.toString("latin1", at, end), 16)
    if (!(size > 0)) break
    length += size
    at = end + 2 + size + 2
  }
  return length
}

/** What follows the head, without the chunks that the servers here send JSON in. */
const unchunked = (bytes: Buffer): Buffer => {
  const from = bytes.indexOf("\r\n\r\n") + 4
  const head = bytes.toString("latin1", 0, from)
  if (!/transfer-encoding: chunked/i.test(head)) return bytes.subarray(from)
  const parts: Array<Buffer> = []
  let at = from
  while (at < bytes.length) {
    const end = bytes.indexOf("\r\n", at)
    const size = Number.parseInt(bytes.toString("latin1", at, Math.max(at, end)), 16)
    if (end < 0 || !(size > 0)) break
    parts.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
  return Buffer.concat(parts)
}

const flood = Buffer.alloc(64 * 1024, "x")

const send = (socket: Net.Socket, { bytes, slowFrom, then }: Mutate.Wire): void => {
  const finish = () => {
    if (then === "end") socket.end()
    else if (then === "reset") socket.resetAndDestroy()
    else if (then === "flood") {
      const more = () => {
        while (!socket.destroyed && socket.write(flood));
      }
      socket.on("drain", more)
      more()
    }
  }
  if (slowFrom === undefined) {
    socket.write(bytes)
    return finish()
  }
  socket.write(bytes.subarray(0, slowFrom))
  let at = slowFrom
  const timer = setInterval(() => {
    if (socket.destroyed) return clearInterval(timer)
    socket.write(bytes.subarray(at, at + 1))
    at++
    if (at < bytes.length) return
    clearInterval(timer)
    finish()
  }, 2)
}

interface Operation {
  readonly name: string
  readonly run: Effect.Effect<
    /** What is wrong with what came. */
    string | undefined,
    HdfsError.HdfsError | StorageError,
    HdfsClient.HdfsClient | Storage.Storage
  >
}

const operationOf = (random: Random.Random, cluster: Cluster): Operation => {
  const { content } = cluster
  const offset = random.chance(0.3) ? 0 : random.below(content.length + 1)
  const length = random.below(content.length - offset + 1)
  const preferHost = random.chance(0.4) ? "127.0.0.1" : undefined
  const hdfs = Effect.flatMap(HdfsClient.HdfsClient, Effect.succeed)
  const storage = Effect.flatMap(Storage.Storage, Effect.succeed)

  /** Whether these are the bytes from `offset` on, up to `end` or where the file was said to end. */
  const isRight = (bytes: Uint8Array, from: number, end: number): string | undefined =>
    [...cluster.told, ...(end <= content.length ? [end] : [])].some((told) => {
      const to = Math.max(from, Math.min(end, told))
      return to <= content.length && content.subarray(from, to).equals(bytes)
    })
      ? undefined
      : `${bytes.length} bytes that are not those of ${from}..${end} of ${content.length}`
  const collect = <E, R>(stream: Stream.Stream<Uint8Array, E, R>) =>
    Effect.suspend(() => {
      const all: Array<Buffer> = []
      // A buffer that is used again has other bytes by the next chunk.
      const keep = (chunk: Uint8Array) => Effect.sync(() => void all.push(Buffer.from(chunk)))
      return Effect.map(Stream.runForEach(stream, keep), () => Buffer.concat(all))
    })
  const exact = (bytes: Uint8Array) =>
    content.subarray(offset, offset + length).equals(bytes) ? undefined : `wrong bytes for ${offset}, ${length}`
  const said = (operation: string, status: number) =>
    cluster.said.get(operation)?.some((line) => line.endsWith(` ${status}`)) === true
      ? undefined
      : `nobody said ${status} to ${operation}`
  const listed = (found: ReadonlyArray<string>) =>
    cluster.wrong.length > 0 || String(found) === String(names) ? undefined : `listed ${String(found)}`

  const operations: readonly [Operation, ...ReadonlyArray<Operation>] = [
    {
      name: "open",
      run: Effect.flatMap(hdfs, (it) => collect(it.open("/f", { preferHost }))).pipe(
        Effect.map((bytes) => isRight(bytes, 0, Number.POSITIVE_INFINITY))
      )
    },
    {
      name: "open a range into a buffer",
      run: Effect.flatMap(hdfs, (it) =>
        collect(it.open("/f", { preferHost, offset, length, buffer: new Uint8Array(1 + random.below(5000)) }))
      ).pipe(Effect.map((bytes) => isRight(bytes, offset, offset + length)))
    },
    {
      name: "open and stop",
      run: Effect.flatMap(hdfs, (it) => collect(Stream.take(it.open("/f", { preferHost }), 1))).pipe(
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
      run: Effect.flatMap(hdfs, (it) => it.readRange("/f", offset, length, { preferHost })).pipe(Effect.map(exact))
    },
    {
      name: "Storage.read",
      run: Effect.flatMap(storage, (it) => collect(it.read("hdfs:///f"))).pipe(
        Effect.map((bytes) => isRight(bytes, 0, Number.POSITIVE_INFINITY))
      )
    },
    {
      name: "Storage.read of a range",
      run: Effect.flatMap(storage, (it) => collect(it.read("hdfs:///f", { offset, length }))).pipe(Effect.map(exact))
    },
    {
      name: "Storage.readRange",
      run: Effect.flatMap(storage, (it) => it.readRange("hdfs:///f", offset, length)).pipe(Effect.map(exact))
    },
    {
      name: "Storage.blocks",
      run: Effect.flatMap(storage, (it) => it.blocks("hdfs:///f")).pipe(
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
      run: Effect.flatMap(storage, (it) => Stream.runCollect(it.list("hdfs:///d/*"))).pipe(
        Effect.map((found) => listed(found.map(({ path }) => path.slice(path.lastIndexOf("/") + 1))))
      )
    },
    {
      name: "listStatus",
      run: Effect.flatMap(hdfs, (it) => it.listStatus("/d")).pipe(
        Effect.map((found) => listed(found.map(({ pathSuffix }) => pathSuffix)))
      )
    },
    {
      name: "getFileStatus",
      run: Effect.flatMap(hdfs, (it) => it.getFileStatus("/f")).pipe(
        Effect.map((status) => (cluster.told.has(status.length) ? undefined : `a length of ${status.length}`))
      )
    },
    {
      name: "create",
      run: Effect.flatMap(hdfs, (it) =>
        it.create("/new", Stream.make(content.subarray(0, offset), content.subarray(offset)))
      ).pipe(
        Effect.map(() => (chunkedLength(cluster.received.at(-1)) === content.length ? said("CREATE", 201) : "not sent"))
      )
    },
    {
      name: "create of a known length",
      run: Effect.flatMap(hdfs, (it) => it.create("/new", Stream.succeed(content), { length: content.length })).pipe(
        Effect.map(() => (cluster.received.at(-1)?.equals(content) === true ? said("CREATE", 201) : "not sent"))
      )
    },
    {
      name: "write",
      run: Effect.flatMap(hdfs, (it) => it.write("/d/new", Stream.succeed(content))).pipe(
        Effect.map(() => said("CREATE", 201) ?? (cluster.wrong.length > 0 ? undefined : said("RENAME", 200)))
      )
    },
    {
      name: "append",
      run: Effect.flatMap(hdfs, (it) => it.append("/f", Stream.succeed(content))).pipe(
        Effect.map(() => said("APPEND", 200))
      )
    },
    {
      name: "mkdirs",
      run: Effect.flatMap(hdfs, (it) => it.mkdirs("/d")).pipe(Effect.map(() => said("MKDIRS", 200)))
    },
    {
      name: "setPermission",
      run: Effect.flatMap(hdfs, (it) => it.setPermission("/f", "644")).pipe(
        Effect.map(() => said("SETPERMISSION", 200))
      )
    },
    {
      name: "delete",
      run: Effect.flatMap(hdfs, (it) => it.delete("/f")).pipe(Effect.as(undefined))
    }
  ]
  // Reads have most to lose.
  return random.chance(0.4) ? (operations[random.below(7)] ?? operations[0]) : random.pick(operations)
}

/** Runs one operation against servers that are wrong as the seed has it. */
export const run = (seed: number): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const random = Random.make(seed)
    const cluster = new Cluster(random)
    const operation = operationOf(random, cluster)
    const server = yield* serveRaw((request, socket, _, self) => cluster.serve(request, socket, self.url))
    const config = HdfsConfig.layer({ ...settings(cluster.rate > 0), nameNodes: [server.url] })
    const client = HdfsClient.layer.pipe(Layer.provide(HdfsAuth.layerToken(token)), Layer.provideMerge(config))
    const layer = Layer.provideMerge(HdfsStorage.layer, client)
    const exit = yield* operation.run.pipe(Effect.provide(layer), Effect.timeoutOption(limit), Effect.exit)
    const outcome = (result: string, violation?: string): Outcome => ({
      seed,
      operation: operation.name,
      wrong: cluster.wrong,
      result,
      violation
    })
    if (server.mostSent() > mostBytes) return outcome("flood", `${server.mostSent()} bytes were taken`)
    if (exit._tag === "Success") {
      if (Option.isNone(exit.value)) return outcome("hang", "no end")
      return outcome("ok", exit.value.value)
    }
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (Cause.hasDies(exit.cause) || error === undefined) return outcome("defect", Cause.pretty(exit.cause))
    if (!(error instanceof HdfsError.HdfsError || error instanceof StorageError)) return outcome("error", "not typed")
    if (error.message.length > 2000) return outcome("error", "a message of more than 2,000 characters")
    return outcome(
      error.reason._tag,
      cluster.rate > 0 ? undefined : `it failed though nothing was wrong: ${error.message}`
    )
  }).pipe(
    Effect.scoped,
    // A warning that a hidden file may be left is of no interest here.
    Effect.provideService(References.MinimumLogLevel, "None")
  )
