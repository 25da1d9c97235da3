import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type * as Net from "node:net"
import { excerpt } from "../src/internal/remote.ts"
import { readAll, reason } from "./support/client.ts"
import { answer, json, type RawRequest, type Script, serveRaw } from "./support/rawServer.ts"
import { cluster, content, good, http, withClient } from "./support/wrongCluster.ts"

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
