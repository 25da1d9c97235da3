import type { HdfsClient } from "@sluice/hdfs"
import { HdfsAuth, HdfsConfig, type HdfsError, HdfsStorage } from "@sluice/hdfs"
import { Dataset, Engine, Events, Executor } from "@sluice/core"
import * as Storage from "@sluice/core/Storage"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as fc from "fast-check"
import { once } from "node:events"
import type * as Net from "node:net"
import { excerpt } from "../src/internal/remote.ts"
import { Response } from "../src/internal/response.ts"
import * as Client from "./support/client.ts"
import { answer, json, type RawRequest, type Script, serveRaw } from "./support/rawServer.ts"

// A NameNode, DataNode or gateway that is wrong: bytes on the wire that no healthy server sends.

const { client, fileStatus, readAll, reason } = Client

/** With time for servers on a busy machine: what ends here does so by itself. */
const withClient: typeof Client.withClient = (options, use, auth) =>
  Client.withClient({ readTimeout: "20 seconds", operationTimeout: "30 seconds", ...options }, use, auth)

const content = "0123456789abcdefghij"
const range = ({ url }: RawRequest) => {
  const offset = Number(url.searchParams.get("offset"))
  const length = url.searchParams.get("length")
  return content.slice(offset, length === null ? undefined : offset + Number(length))
}

/** A cluster of one file `content`, in one process; `data` is its DataNode. */
const cluster = (
  data: (request: RawRequest, socket: Net.Socket, n: number) => void,
  other: Partial<Record<string, (request: RawRequest) => Uint8Array>> = {}
): Script => {
  let n = 0
  return (request, socket, _, server) => {
    const { operation, url } = request
    if (url.pathname.startsWith("/data")) return data(request, socket, n++)
    const own = other[operation]
    if (own !== undefined) return socket.write(own(request))
    switch (operation) {
      case "GETFILESTATUS":
        return socket.write(json({ FileStatus: { ...fileStatus, length: content.length } }))
      case "GETFILEBLOCKLOCATIONS":
        return socket.write(json({ BlockLocations: { BlockLocation: [] } }))
      default:
        return socket.write(json({ Location: `${server.url}/data${url.search}` }))
    }
  }
}

const block = (offset: number, length: number, hosts: ReadonlyArray<string>) => ({
  offset,
  length,
  corrupt: false,
  hosts,
  names: hosts.map((host) => `${host}:9866`),
  topologyPaths: hosts
})

const good = (request: RawRequest, socket: Net.Socket) => void socket.end(answer(200, range(request)))

const http = (head: string, body = "") => Buffer.from(`${head.replaceAll("\n", "\r\n")}\r\n\r\n${body}`, "latin1")

describe("a read has every byte", () => {
  for (const [title, blocks] of [
    ["an empty block list", []],
    ["a block list without the end", [block(0, 7, ["dn1"])]],
    ["a block list without the beginning", [block(7, 13, ["dn1"])]],
    ["a block list with a gap and an overlap", [block(0, 5, ["dn1"]), block(3, 5, ["dn1"]), block(15, 5, ["dn1"])]],
    ["a block list that goes on behind the file", [block(0, 1000, ["dn1"])]]
  ] as const) {
    it.live(`with ${title}`, () =>
      Effect.gen(function* () {
        const server = yield* serveRaw(
          cluster(good, {
            GETFILEBLOCKLOCATIONS: () => json({ BlockLocations: { BlockLocation: blocks } })
          })
        )
        yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
          Effect.gen(function* () {
            assert.strictEqual(yield* readAll(hdfs, "/f", { preferHost: "dn1" }), content)
            assert.strictEqual(yield* readAll(hdfs, "/f", { preferHost: "dn1", offset: 3, length: 9 }), "3456789ab")
            const bytes = yield* hdfs.readRange("/f", 3, 9, { preferHost: "dn1" })
            assert.strictEqual(Buffer.from(bytes).toString(), "3456789ab")
          })
        )
        const cover = yield* Effect.gen(function* () {
          const storage = yield* Storage.Storage
          return yield* storage.blocks("hdfs:///f")
        }).pipe(Effect.provide(storageOf(server.url)))
        assert.strictEqual(cover[0]?.offset, 0)
        cover.forEach((each, i) => {
          assert.strictEqual(each.offset + each.length, cover[i + 1]?.offset ?? content.length)
        })
      }).pipe(Effect.scoped)
    )
  }

  it.live("and a job every line, or it fails", () =>
    Effect.gen(function* () {
      const lines = [content, content]
      const whole = `${lines.join("\n")}\n`
      const bytesOf = ({ url }: RawRequest) => {
        const offset = Number(url.searchParams.get("offset"))
        return whole.slice(offset, offset + Number(url.searchParams.get("length")))
      }
      let blocks: ReadonlyArray<ReturnType<typeof block>> = []
      let short = 0
      const server = yield* serveRaw(
        cluster((request, socket) => void socket.end(answer(200, bytesOf(request).slice(0, whole.length - short))), {
          GETFILESTATUS: () => json({ FileStatus: { ...fileStatus, length: whole.length } }),
          GETFILEBLOCKLOCATIONS: () => json({ BlockLocations: { BlockLocation: blocks } })
        })
      )
      const engine = Engine.layerNoDeps.pipe(
        Layer.provide(Executor.layerLocal({ executors: [{ slots: 1, host: "dn1" }] })),
        Layer.provideMerge(Layer.merge(storageOf(server.url), Events.layer))
      )
      yield* Effect.gen(function* () {
        const job = Dataset.collect(Dataset.text("hdfs:///f"))
        for (blocks of [[], [block(0, 5, ["dn1"])], [block(0, 21, ["dn1"])], [block(21, 21, ["dn1"])]]) {
          assert.deepStrictEqual(yield* job, lines)
        }
        short = 1
        assert.include(String(yield* Effect.flip(job)), "UnexpectedEnd")
      }).pipe(Effect.provide(engine))
    }).pipe(Effect.scoped)
  )

  it.live("from a DataNode that has fewer than it should: another is asked, then the read fails", () =>
    Effect.gen(function* () {
      const short = yield* serveRaw(
        cluster((request, socket, n) => {
          socket.end(answer(200, n === 0 ? range(request).slice(0, 5) : range(request)))
        })
      )
      assert.strictEqual(yield* withClient({ nameNodes: [short.url] }, (hdfs) => readAll(hdfs)), content)
      // As if the file ended there, by a length, a last chunk, or the end of the connection.
      const ends: ReadonlyArray<(bytes: string) => Uint8Array> = [
        (bytes) => answer(200, bytes),
        (bytes) =>
          http("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", `${bytes.length.toString(16)}\r\n${bytes}\r\n0\r\n\r\n`),
        (bytes) => http("HTTP/1.1 200 OK", bytes)
      ]
      for (const end of ends) {
        const server = yield* serveRaw(cluster((request, socket) => void socket.end(end(range(request).slice(0, -1)))))
        yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
          Effect.gen(function* () {
            const reads = [
              readAll(hdfs),
              readAll(hdfs, "/f", { offset: 3, length: 9 }),
              Effect.map(hdfs.readRange("/f", 3, 9), String)
            ]
            for (const read of reads) {
              assert.strictEqual((yield* Effect.flip(read)).attempts, 4)
            }
          })
        )
      }
    }).pipe(Effect.scoped)
  )

  it.live("from a server that ignores the range: an error after one request, not more bytes", () =>
    Effect.gen(function* () {
      const whole = yield* serveRaw(cluster((_, socket) => void socket.end(answer(200, content))))
      const endless = yield* serveRaw(
        cluster((_, socket) => {
          socket.write(http("HTTP/1.1 200 OK", ""))
          const more = setInterval(() => socket.write(Buffer.alloc(64 * 1024, "x")), 1)
          socket.on("close", () => clearInterval(more))
        })
      )
      for (const server of [whole, endless]) {
        yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
          Effect.gen(function* () {
            const error = yield* reason(hdfs.readRange("/f", 4, 4), "Protocol")
            assert.include(error.message, "ignores the range")
            yield* reason(readAll(hdfs, "/f", { offset: 4, length: 4 }), "Protocol")
          })
        )
        assert.strictEqual(server.seen.filter(({ url }) => url.pathname === "/data").length, 2)
        assert.isFalse(server.seen.some(({ url }) => Number(url.searchParams.get("length")) < 0))
      }
    }).pipe(Effect.scoped)
  )

  it.live("from servers that break after each byte: given up, though every attempt had one", () =>
    Effect.gen(function* () {
      const server = yield* serveRaw(
        cluster((request, socket) => {
          socket.end(http(`HTTP/1.1 200 OK\nContent-Length: ${range(request).length}`, range(request).slice(0, 1)))
        })
      )
      const error = yield* withClient({ nameNodes: [server.url], maxRetries: 5 }, (hdfs) =>
        reason(readAll(hdfs), "Connection")
      )
      assert.strictEqual(error.attempts, 6)
    }).pipe(Effect.scoped)
  )

  it.live("a page or JSON is not taken for a file, and a redirect without a complete URL is not followed", () =>
    Effect.gen(function* () {
      // With the right length, and without a length.
      for (const type of ["text/html; charset=utf-8", "application/json"]) {
        for (const length of ["Content-Length: 20", "Connection: close"]) {
          const server = yield* serveRaw(
            cluster((_, socket) => {
              socket.end(http(`HTTP/1.1 200 OK\nContent-Type: ${type}\n${length}`, content))
            })
          )
          const error = yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
          assert.include(error.message, "instead of the bytes")
        }
      }
      for (const location of ["ht|p://127.0.0.1:1/data", "/data", "data", "//127.0.0.1:1/data", ""]) {
        const server = yield* serveRaw(cluster(good, { OPEN: () => json({ Location: location }) }))
        yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
        assert.strictEqual(server.seen.filter(({ operation }) => operation === "OPEN").length, 1)
      }
    }).pipe(Effect.scoped)
  )

  it.live("a range past the end is told from a DataNode that is short, without a retry", () =>
    Effect.gen(function* () {
      const server = yield* serveRaw(cluster(good))
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          const error = yield* reason(hdfs.readRange("/f", 15, 10), "UnexpectedEnd")
          assert.include(error.message, "offset 20 of 25")
          // No memory is allocated for bytes that do not exist.
          yield* reason(hdfs.readRange("/f", 0, 2 ** 53 - 1), "UnexpectedEnd")
          for (const [offset, length] of [
            [-1, 5],
            [0, -5],
            [0.5, 1],
            [0, 1e17],
            [Number.NaN, 1]
          ] as const) {
            yield* reason(hdfs.readRange("/f", offset, length), "InvalidArgument")
            yield* reason(readAll(hdfs, "/f", { offset, length }), "InvalidArgument")
          }
          for (const concurrency of [0, -1, 0.5, Number.NaN]) {
            yield* reason(hdfs.readRanges("/f", [{ offset: 0, length: 1 }], { concurrency }), "InvalidArgument")
          }
        })
      )
      assert.strictEqual(server.seen.filter(({ url }) => url.pathname === "/data").length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a file with an impossible length is not taken for a file", () =>
    Effect.gen(function* () {
      let length: unknown = 0
      const server = yield* serveRaw(
        cluster(good, { GETFILESTATUS: () => json({ FileStatus: { ...fileStatus, length } }) })
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.forEach([-1, 1.5, 1e17, 1e300, "10", null], (each) => {
          length = each
          return reason(hdfs.getFileStatus("/f"), "Protocol")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("a directory that lists a name twice, or an invalid name, is an error", () =>
    Effect.gen(function* () {
      let names: ReadonlyArray<string> = []
      let remaining = 0
      const server = yield* serveRaw(
        cluster(good, {
          LISTSTATUS_BATCH: () =>
            json({
              DirectoryListing: {
                partialListing: {
                  FileStatuses: { FileStatus: names.map((pathSuffix) => ({ ...fileStatus, pathSuffix })) }
                },
                remainingEntries: remaining
              }
            })
        })
      )
      const list = Effect.gen(function* () {
        const storage = yield* Storage.Storage
        return yield* Effect.flip(Stream.runCollect(storage.list("hdfs:///d/*")))
      }).pipe(Effect.provide(storageOf(server.url)))
      for (const each of [["a", "b", "a"], ["."], [".."], ["a/b"], ["", "a"]]) {
        names = each
        assert.strictEqual((yield* list).reason._tag, "Unavailable")
      }
      // Pages without an end.
      remaining = 1
      names = ["a", "b"]
      assert.include((yield* list).message, "same page")
      names = []
      assert.include((yield* list).message, "empty page")
    }).pipe(Effect.scoped)
  )
})

const storageOf = (url: string) =>
  HdfsStorage.layer.pipe(
    Layer.provide(client({ nameNodes: [url] })),
    Layer.provide(HdfsConfig.layer({ nameNodes: [url] }))
  )

describe("limits of time and size", () => {
  const fast = { readTimeout: "100 millis", operationTimeout: "400 millis", maxRetries: 0 } as const

  it.live("an answer larger than the limit is an error, whether it says so or not", () =>
    Effect.gen(function* () {
      const endless =
        (head: string): Script =>
        (_, socket) => {
          socket.write(http(head))
          const more = setInterval(() => socket.write(Buffer.alloc(64 * 1024, " ")), 1)
          socket.on("close", () => clearInterval(more))
        }
      for (const head of ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK\nContent-Length: 600000000"]) {
        const server = yield* serveRaw(endless(head))
        const error = yield* withClient({ nameNodes: [server.url], maxAnswerBytes: 1024 * 1024 }, (hdfs) =>
          reason(hdfs.getFileStatus("/f"), "AnswerTooLarge")
        )
        assert.include(error.message, "maxAnswerBytes")
        assert.isBelow(server.mostSent(), 32 * 1024 * 1024)
      }
      // Only the beginning of an error is read.
      const error = yield* serveRaw(endless("HTTP/1.1 500 Oh no"))
      yield* withClient({ nameNodes: [error.url] }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Protocol"))
      const data = yield* serveRaw(
        cluster((request, socket) => endless("HTTP/1.1 500 Oh no")(request, socket, 0, error))
      )
      yield* withClient({ nameNodes: [data.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
    }).pipe(Effect.scoped)
  )

  it.live("a length of 1e17 is an error", () =>
    Effect.gen(function* () {
      for (const length of ["100000000000000000", "99999999999999999999999", "-1", "1e3", "0x10", "", "9 9"]) {
        const server = yield* serveRaw((_, socket) => {
          socket.write(http(`HTTP/1.1 200 OK\nContent-Length: ${length}`, "{}"))
        })
        const data = yield* serveRaw(
          cluster((_, socket) => void socket.write(http(`HTTP/1.1 200 OK\nContent-Length: ${length}`, content)))
        )
        const error = yield* withClient({ nameNodes: [server.url] }, (hdfs) => Effect.flip(hdfs.getFileStatus("/f")))
        assert.include(["Protocol", "AnswerTooLarge"], error.reason._tag, length)
        yield* withClient({ nameNodes: [data.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
      }
    }).pipe(Effect.scoped)
  )

  it("a message is cut before it is looked at", () => {
    for (const unit of ["<", "<style>", "</style", "<a", "a>", " \n", "<script></script"]) {
      const began = performance.now()
      assert.isBelow(excerpt(unit.repeat(200_000)).length, 200)
      assert.isBelow(performance.now() - began, 1000, unit)
    }
    assert.strictEqual(excerpt("<b>no</b><script>x<y</script> <i>entry</i>"), ": no entry")
    assert.strictEqual(excerpt("<style>b{}"), "")
  })

  it.live("long messages of exceptions cost no time", () =>
    Effect.gen(function* () {
      for (const unit of ["between local host is: ", "Offset=", "could only be written to 1"]) {
        const server = yield* serveRaw((_, socket) => {
          const message = unit.repeat(900_000 / unit.length)
          socket.write(json({ RemoteException: { exception: "IOException", message } }, 403))
        })
        const began = performance.now()
        yield* withClient({ nameNodes: [server.url] }, (hdfs) => Effect.flip(hdfs.getFileStatus("/f")))
        assert.isBelow(performance.now() - began, 5000, unit)
      }
    }).pipe(Effect.scoped)
  )

  it.live("101 Switching Protocols is an error for metadata, reads and uploads", () =>
    Effect.gen(function* () {
      for (const head of [
        "HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: h2c",
        "HTTP/1.1 101 Switching Protocols"
      ]) {
        const all = yield* serveRaw((_, socket) => void socket.write(http(head)))
        const data = yield* serveRaw(cluster((_, socket) => void socket.write(http(head))))
        yield* withClient({ nameNodes: [all.url] }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Protocol"))
        yield* withClient({ nameNodes: [data.url] }, (hdfs) =>
          Effect.gen(function* () {
            yield* reason(readAll(hdfs), "Protocol")
            yield* reason(hdfs.create("/g", Stream.succeed(Buffer.from(content))), "Protocol")
          })
        )
        // Before the body, and in the middle of it.
        const early = yield* serveRaw(cluster(good), {
          onHead: (socket, text) => void (text.startsWith("PUT /data") && socket.write(http(head)))
        })
        yield* withClient({ nameNodes: [early.url] }, (hdfs) =>
          reason(hdfs.create("/g", Stream.concat(Stream.succeed(Buffer.from(content)), Stream.never)), "Protocol")
        )
      }
    }).pipe(Effect.scoped)
  )

  it.live("a server that dribbles is a timeout in every phase", () =>
    Effect.gen(function* () {
      const dribble = (bytes: string) => (_: unknown, socket: Net.Socket) => {
        let at = 0
        const timer = setInterval(() => socket.write(bytes[at++ % bytes.length] ?? "", "latin1"), 20)
        socket.on("close", () => clearInterval(timer))
      }
      const head = `HTTP/1.1 200 OK\r\nX: ${"x".repeat(1000)}`
      const interim = "HTTP/1.1 100 Continue\r\n\r\n"
      for (const bytes of [head, interim]) {
        const all = yield* serveRaw(dribble(bytes))
        const data = yield* serveRaw(cluster(dribble(bytes)))
        yield* withClient({ nameNodes: [all.url], ...fast }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Timeout"))
        yield* withClient({ nameNodes: [data.url], ...fast }, (hdfs) =>
          Effect.gen(function* () {
            yield* reason(readAll(hdfs), "Timeout")
            yield* reason(hdfs.create("/g", Stream.succeed(Buffer.from(content))), "Timeout")
          })
        )
      }
      const body = (status: number, length: number) => (_: RawRequest, socket: Net.Socket) => {
        socket.write(http(`HTTP/1.1 ${status} OK\nContent-Length: ${length}`))
        dribble(" ")(_, socket)
      }
      const all = yield* serveRaw(body(200, 1000))
      yield* withClient({ nameNodes: [all.url], ...fast }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Timeout"))
      const data = yield* serveRaw(cluster(body(200, content.length)))
      yield* withClient({ nameNodes: [data.url], ...fast }, (hdfs) => reason(readAll(hdfs), "Timeout"))
      const created = yield* serveRaw(cluster(body(201, 1000)))
      yield* withClient({ nameNodes: [created.url], ...fast }, (hdfs) =>
        reason(hdfs.create("/g", Stream.succeed(Buffer.from(content))), "Timeout")
      )
    }).pipe(Effect.scoped)
  )

  it.live("an interim answer gives a busy server as much time again", () =>
    Effect.gen(function* () {
      const server = yield* serveRaw(
        cluster((_, socket) => {
          const later = (times: number) => {
            if (times === 0) return socket.end(answer(201, ""))
            socket.write(http("HTTP/1.1 100 Continue"))
            return setTimeout(() => later(times - 1), 300)
          }
          later(3)
        })
      )
      yield* withClient({ nameNodes: [server.url], readTimeout: "600 millis", maxRetries: 0 }, (hdfs) =>
        hdfs.create("/g", Stream.succeed(Buffer.from(content)))
      )
    }).pipe(Effect.scoped)
  )

  it.live("endless interim answers and endless heads are an error", () =>
    Effect.gen(function* () {
      const flood = (bytes: string) => (_: unknown, socket: Net.Socket) => {
        const timer = setInterval(() => socket.write(bytes.repeat(100), "latin1"), 1)
        socket.on("close", () => clearInterval(timer))
      }
      for (const [first, bytes] of [
        ["", "HTTP/1.1 100 Continue\r\n\r\n"],
        ["HTTP/1.1 200 OK\r\n", `X: ${"x".repeat(100)}\r\n`],
        ["HTTP/1.1 200 OK\r\nX: ", "x".repeat(100)]
      ] as const) {
        const script = (request: unknown, socket: Net.Socket) => {
          socket.write(first)
          flood(bytes)(request, socket)
        }
        const all = yield* serveRaw(script)
        const data = yield* serveRaw(cluster(script))
        yield* withClient({ nameNodes: [all.url] }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Protocol"))
        yield* withClient({ nameNodes: [data.url] }, (hdfs) =>
          Effect.gen(function* () {
            yield* reason(readAll(hdfs), "Protocol")
            yield* reason(hdfs.create("/g", Stream.succeed(Buffer.from(content))), "Protocol")
          })
        )
        assert.isBelow(Math.max(all.mostSent(), data.mostSent()), 8 * 1024 * 1024)
      }
    }).pipe(Effect.scoped)
  )
})

describe("HTTP/1.1 as strict as llhttp", () => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
  const ok = `HTTP/1.1 200 OK\r\nContent-Length: 20\r\n`
  const broken: ReadonlyArray<readonly [title: string, bytes: string]> = [
    ["another protocol", "ICY 200 OK\r\n\r\n"],
    ["HTTP/0.9", content],
    ["HTTP/2.0", `HTTP/2.0 200 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["HTTP/1.2", `HTTP/1.2 200 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status of two digits", `HTTP/1.1 20 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status of four digits", `HTTP/1.1 2000 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status behind two blanks", `HTTP/1.1  200 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status line that ends with LF", `HTTP/1.1 200 OK\nContent-Length: 20\r\n\r\n${content}`],
    ["a header that ends with LF", `${ok.slice(0, -2)}\n\r\n${content}`],
    ["a header that ends with CR", `${ok.slice(0, -2)}\r\r\n\r\n${content}`],
    ["a head that ends with LF LF", `${ok}\n${content}`],
    ["a folded header", `${ok}X: a\r\n b\r\n\r\n${content}`],
    ["a folded length", `HTTP/1.1 200 OK\r\nContent-Length:\r\n 20\r\n\r\n${content}`],
    ["a header without a colon", `${ok}Nonsense\r\n\r\n${content}`],
    ["a header without a name", `${ok}: a\r\n\r\n${content}`],
    ["a blank before the colon", `${ok}X : a\r\n\r\n${content}`],
    ["a NUL in a header", `${ok}X: a\0b\r\n\r\n${content}`],
    ["two lengths", `${ok}Content-Length: 21\r\n\r\n${content}`],
    ["two lengths that are the same", `${ok}Content-Length: 20\r\n\r\n${content}`],
    ["a list of lengths", `HTTP/1.1 200 OK\r\nContent-Length: 20, 20\r\n\r\n${content}`],
    ["a length with a sign", `HTTP/1.1 200 OK\r\nContent-Length: +20\r\n\r\n${content}`],
    ["a length and chunks", `${ok}Transfer-Encoding: chunked\r\n\r\n14\r\n${content}\r\n0\r\n\r\n`],
    ["chunks and a length", `${chunked.slice(0, -2)}Content-Length: 20\r\n\r\n14\r\n${content}\r\n0\r\n\r\n`],
    ["an unknown transfer coding", `HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n${content}`],
    [
      "a transfer coding before the chunks",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n14\r\n${content}\r\n0\r\n\r\n`
    ],
    ["identity as a transfer coding", `HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n${content}`],
    ["a content coding", `${ok}Content-Encoding: gzip\r\n\r\n${content}`],
    ["an unknown content coding", `${ok}Content-Encoding: lines\r\n\r\n${content}`],
    ["no chunk size", `${chunked}\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size that is not a number", `${chunked}xy\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size with a sign", `${chunked}-14\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size with 0x", `${chunked}0x14\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size and a blank", `${chunked}14 \r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size beyond all numbers", `${chunked}ffffffffffffffff\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size that ends with LF", `${chunked}14\n${content}\r\n0\r\n\r\n`],
    ["a chunk longer than its size", `${chunked}13\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk that ends with LF", `${chunked}14\r\n${content}\n0\r\n\r\n`],
    ["an invalid chunk extension", `${chunked}14; a\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk extension without an end", `${chunked}14;${"a".repeat(9000)}`],
    ["a trailer that is not a header", `${chunked}14\r\n${content}\r\n0\r\nNonsense\r\n\r\n`]
  ]
  for (const [title, bytes] of broken) {
    it.live(`${title} is an error of the protocol`, () =>
      Effect.gen(function* () {
        const data = yield* serveRaw(cluster((_, socket) => void socket.end(bytes, "latin1")))
        yield* withClient({ nameNodes: [data.url] }, (hdfs) =>
          Effect.gen(function* () {
            yield* reason(readAll(hdfs), "Protocol")
            yield* reason(hdfs.readRange("/f", 0, 20), "Protocol")
          })
        )
        // In the head nothing of it is data.
        const parts: Array<Uint8Array> = []
        const response = new Response((part) => parts.push(part))
        response.feed(Buffer.from(bytes, "latin1"))
        assert.isDefined(response.malformed)
        assert.strictEqual(response.head === undefined ? parts.length : 0, 0)
      }).pipe(Effect.scoped)
    )
  }

  const fine: ReadonlyArray<readonly [title: string, bytes: string]> = [
    ["a length", `${ok}\r\n${content}`],
    ["no reason", `HTTP/1.1 200\r\nContent-Length: 20\r\n\r\n${content}`],
    ["odd case and blanks", `HTTP/1.1 200 \xe9\r\ncONTENT-lENGTH: \t20 \t\r\nX:\r\n\r\n${content}`],
    ["HTTP/1.0", `HTTP/1.0 200 OK\r\n\r\n${content}`],
    ["interim answers", `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${ok}\r\n${content}`],
    ["chunks", `${chunked}0a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n`],
    ["extensions and trailers", `${chunked}14;a;b=c;d="e;\\"f"\r\n${content}\r\n000;last\r\nX: y\r\n\r\n`],
    ["an identity coding", `${ok}Content-Encoding: identity\r\n\r\n${content}`]
  ]
  for (const [title, bytes] of fine) {
    it(`${title}: the same however the bytes are cut`, () => {
      const run = (cuts: ReadonlyArray<number>) => {
        let text = ""
        const response = new Response((part) => (text += Buffer.from(part).toString("latin1")))
        const all = Buffer.from(bytes, "latin1")
        const at = [0, ...cuts.map((cut) => cut % all.length).toSorted((a, b) => a - b), all.length]
        for (let i = 1; i < at.length; i++) response.feed(all.subarray(at[i - 1], at[i]))
        return [response.malformed, response.end(), response.head?.status, text]
      }
      fc.assert(
        fc.property(fc.array(fc.nat(1000)), (cuts) => {
          assert.deepStrictEqual(run(cuts), [undefined, true, 200, content])
        })
      )
    })
  }
})

describe("what a server says", () => {
  it.live("only 201 is a file created, only 200 bytes appended", () =>
    Effect.gen(function* () {
      let status = 0
      const server = yield* serveRaw(cluster((_, socket) => void socket.end(answer(status, ""))))
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          const bytes = Stream.succeed(Buffer.from(content))
          for (status of [200, 202, 203, 206, 301, 307, 399]) {
            const error = yield* reason(hdfs.create("/g", bytes), "Protocol")
            assert.include(error.message, `status ${status} instead of 201`)
          }
          status = 201
          assert.strictEqual(yield* hdfs.create("/g", bytes), 20)
          yield* reason(hdfs.append("/g", bytes), "Protocol")
          status = 200
          assert.strictEqual(yield* hdfs.append("/g", bytes), 20)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("only 200 is an answer to an operation, and a page is none", () =>
    Effect.gen(function* () {
      let bytes: Uint8Array = Buffer.alloc(0)
      const server = yield* serveRaw((_, socket) => void socket.write(bytes))
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          for (const status of [201, 202, 204, 206, 302, 304]) {
            bytes = http(`HTTP/1.1 ${status} Reason`, "")
            if (status !== 204 && status !== 304) bytes = json({ FileStatus: fileStatus }, status)
            yield* reason(hdfs.getFileStatus("/f"), "Protocol")
            yield* reason(hdfs.setPermission("/f", "600"), "Protocol")
          }
          bytes = answer(200, "<html>Please log in</html>")
          assert.include((yield* reason(hdfs.setPermission("/f", "600"), "Protocol")).message, "Please log in")
          bytes = answer(200, "")
          yield* hdfs.setPermission("/f", "600")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("the login cookie is found among others", () =>
    Effect.gen(function* () {
      let logins = 0
      const cookies: Array<string> = []
      const server = yield* serveRaw(
        (request, socket) => {
          if (request.operation === "GETHOMEDIRECTORY") {
            logins++
            return socket.write(
              answer(200, `{"Path":"/"}`, [
                "Set-Cookie: route=a; Expires=Wed, 21 Oct 2026 07:28:00 GMT, Path=/",
                "Set-Cookie: hadoop.auth=u=ann&s=abc=; Path=/; HttpOnly",
                "Set-Cookie: last=b"
              ])
            )
          }
          socket.write(json({ FileStatus: fileStatus }))
        },
        {
          onHead: (_, head) => {
            cookies.push(/cookie: ([^\r]*)/i.exec(head)?.[1] ?? "")
          }
        }
      )
      const config = Layer.orDie(HdfsConfig.layer({ nameNodes: [server.url] }))
      const auth = HdfsAuth.layerNegotiate(() => Effect.succeed(Redacted.make("ticket"))).pipe(Layer.provide(config))
      yield* withClient(
        { nameNodes: [server.url] },
        (hdfs) => Effect.andThen(hdfs.getFileStatus("/f"), hdfs.getFileStatus("/f")),
        auth
      )
      assert.strictEqual(logins, 1)
      assert.deepStrictEqual(cookies, ["", "hadoop.auth=u=ann&s=abc=", "hadoop.auth=u=ann&s=abc="])
    }).pipe(Effect.scoped)
  )

  it.live("nobody waits for it is thrown away: a second answer is not the next one", () =>
    Effect.gen(function* () {
      let last: Net.Socket | undefined
      const server = yield* serveRaw((_, socket, n) => {
        last = socket
        socket.write(json({ FileStatus: { ...fileStatus, fileId: n } }))
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          for (let n = 0; n < 5; n++) {
            assert.strictEqual((yield* hdfs.getFileStatus("/f")).fileId, n)
            // While the connection waits for the next request. It is not used again.
            yield* Effect.promise(() => {
              const socket = last ?? assert.fail("no request came")
              const closed = once(socket, "close")
              socket.write(json({ FileStatus: { ...fileStatus, fileId: 666 } }))
              return closed
            })
          }
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("errors name the server that answered", () =>
    Effect.gen(function* () {
      const standby = yield* serveRaw((_, socket) => {
        socket.write(json({ RemoteException: { exception: "StandbyException", message: "standby" } }, 403))
      })
      const wrong = yield* serveRaw((_, socket) => void socket.write(json({ boolean: "perhaps" })))
      const host = new URL(wrong.url).host
      const operations: ReadonlyArray<
        (hdfs: HdfsClient.HdfsClient["Service"]) => Effect.Effect<unknown, HdfsError.HdfsError>
      > = [
        (hdfs) => hdfs.getFileStatus("/f"),
        (hdfs) => hdfs.delete("/f"),
        (hdfs) => hdfs.rename("/f", "/g"),
        (hdfs) => hdfs.mkdirs("/f"),
        (hdfs) => hdfs.getErasureCodingPolicy("/f"),
        (hdfs) => hdfs.getDelegationToken(),
        (hdfs) => Stream.runDrain(hdfs.listStatusBatch("/f")),
        (hdfs) => hdfs.readRange("/f", 0, 1)
      ]
      yield* withClient({ nameNodes: [standby.url, wrong.url] }, (hdfs) =>
        Effect.forEach(operations, (operation) =>
          Effect.map(Effect.flip(operation(hdfs)), (error) => {
            assert.strictEqual(error.endpoint, host, error.message)
            assert.notInclude(error.message, "localhost")
          })
        )
      )
      // For a time limit, too, it is the one that was asked last.
      const silent = yield* serveRaw(() => undefined)
      const error = yield* withClient(
        { nameNodes: [standby.url, silent.url], operationTimeout: "100 millis", readTimeout: "1 minute" },
        (hdfs) => reason(hdfs.getFileStatus("/f"), "Timeout")
      )
      assert.strictEqual(error.endpoint, new URL(silent.url).host)
      // And of bytes the DataNode.
      const data = yield* serveRaw((_, socket) => void socket.end("garbage"))
      const name = yield* serveRaw((request, socket) => {
        socket.write(
          request.operation === "GETFILESTATUS"
            ? json({ FileStatus: fileStatus })
            : json({ Location: `${data.url}/data${request.url.search}` })
        )
      })
      const read = yield* withClient({ nameNodes: [name.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
      assert.strictEqual(read.endpoint, new URL(data.url).host)
    }).pipe(Effect.scoped)
  )
})
