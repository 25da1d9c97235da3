/** A cluster of one file and a directory, and what of its answers is wrong. */
import { Option, Schema } from "effect"
import type * as Net from "node:net"
import { fileStatus } from "../support/client.ts"
import type { RawRequest } from "../support/rawServer.ts"
import * as Mutate from "./mutate.ts"
import type * as Random from "./random.ts"

/** Without line breaks, so that no frame of a chunk can be taken for it. */
const letters = (random: Random.Random, length: number) =>
  Buffer.from(Uint8Array.from({ length }, () => 97 + random.below(26)))

const Told = Schema.fromJsonString(Schema.Struct({ FileStatus: Schema.Struct({ length: Schema.Number }) }))
const decodeTold = Schema.decodeUnknownOption(Told)

export const names = ["a", "b.txt", "part-0"]

const json = (value: unknown, status = 200): Mutate.Answer => ({
  status,
  headers: ["Content-Type: application/json"],
  body: Buffer.from(JSON.stringify(value)),
  isData: false
})

const missing = (url: URL) =>
  json(
    { RemoteException: { exception: "FileNotFoundException", message: `File does not exist: ${url.pathname}` } },
    404
  )

/** Two names of the directory. */
const pageAfter = (after: string | null) => {
  const page = names.filter((name) => after === null || name > after).slice(0, 2)
  return { page, remainingEntries: names.filter((name) => name > (page.at(-1) ?? "")).length }
}

/** Three blocks of a file. */
const thirds = (length: number) => {
  const size = Math.max(1, Math.ceil(length / 3))
  return [0, size, 2 * size]
    .filter((offset) => offset < length)
    .map((offset) => ({
      offset,
      length: Math.min(size, length - offset),
      corrupt: false,
      hosts: ["127.0.0.1"],
      names: ["127.0.0.1:9866"],
      topologyPaths: ["/default"]
    }))
}

export class Cluster {
  readonly content: Buffer
  readonly wrong: Array<string> = []
  /** Lengths the NameNode said, though they may be lies. */
  readonly told = new Set<number>()
  /** First lines that were sent, by operation. */
  readonly said = new Map<string, Array<string>>()
  /** Bodies received with `CREATE`. */
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

  private answer(request: RawRequest, origin: string): Mutate.Answer {
    const { operation, url } = request
    if (url.pathname.startsWith("/data/")) return this.dataNode(request)
    const status = (pathSuffix: string) => ({ ...fileStatus, length: this.content.length, pathSuffix })
    switch (operation) {
      case "GETFILESTATUS":
        if (url.pathname.endsWith("_COPYING_")) {
          return json({ FileStatus: { ...status(""), length: chunkedLength(this.received.at(-1)) } })
        }
        return url.pathname.endsWith("/new") ? missing(url) : json({ FileStatus: status("") })
      case "LISTSTATUS":
        return json({ FileStatuses: { FileStatus: names.map(status) } })
      case "LISTSTATUS_BATCH": {
        const { page, remainingEntries } = pageAfter(url.searchParams.get("startafter"))
        return json({
          DirectoryListing: { partialListing: { FileStatuses: { FileStatus: page.map(status) } }, remainingEntries }
        })
      }
      case "GETFILEBLOCKLOCATIONS":
        return json({ BlockLocations: { BlockLocation: thirds(this.content.length) } })
      case "OPEN":
      case "CREATE":
      case "APPEND":
        return json({ Location: `${origin}${this.locate(url)}?op=${operation}` })
      case "RENAME":
        return url.searchParams.has("renameoptions")
          ? { status: 200, headers: [], body: Buffer.alloc(0), isData: false }
          : json({ boolean: true })
      default:
        return json({ boolean: true })
    }
  }

  private dataNode({ body, operation, url }: RawRequest): Mutate.Answer {
    const { content } = this
    if (operation !== "OPEN") {
      this.received.push(body)
      return { status: operation === "CREATE" ? 201 : 200, headers: [], body: Buffer.alloc(0), isData: false }
    }
    const piece = this.pieces.get(url.pathname)
    if (piece === undefined || piece.offset > content.length) return missing(url)
    return {
      status: 200,
      headers: ["Content-Type: application/octet-stream"],
      body: content.subarray(piece.offset, piece.length === undefined ? undefined : piece.offset + piece.length),
      isData: true
    }
  }

  /** A path of the DataNode. What is asked for is kept here: an address with other numbers in it would be answered with other bytes. */
  private locate(url: URL): string {
    const path = `/data/${this.pieces.size}x${this.random.below(2 ** 30)}`
    const length = url.searchParams.get("length")
    this.pieces.set(path, {
      offset: Number(url.searchParams.get("offset") ?? 0),
      length: length === null ? undefined : Number(length)
    })
    return path
  }

  readonly serve = (request: RawRequest, socket: Net.Socket, origin: string): void => {
    const answer = this.answer(request, origin)
    const isWrong = this.random.chance(this.rate)
    const wire = isWrong ? Mutate.wrong(this.random, answer) : Mutate.right(this.random, answer)
    if (isWrong) this.wrong.push(`${request.operation}${answer.isData ? " data" : ""}: ${wire.what}`)
    const at = wire.bytes.indexOf("{")
    if (request.operation === "GETFILESTATUS" && at >= 0) {
      // Also if something follows that does not belong to it.
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
export const chunkedLength = (body: Buffer | undefined): number => {
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
