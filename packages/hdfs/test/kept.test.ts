import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type * as Net from "node:net"
import { fileStatus, withClient } from "./support/client.ts"
import { json, serveRaw } from "./support/rawServer.ts"

describe("a connection is used again only when its server leaves it open and nothing else is on it", () => {
  const body = JSON.stringify({ FileStatus: fileStatus })
  const sized = `Content-Length: ${body.length}\r\n`
  const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const answers: ReadonlyArray<readonly [title: string, bytes: string, isKept: boolean]> = [
    ["a length", `HTTP/1.1 200 OK\r\n${sized}\r\n${body}`, true],
    ["chunks", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`, true],
    [
      "chunks and a trailer",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.slice(0, -2)}A: b\r\n\r\n`,
      true
    ],
    ["time enough", `HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60, max=9\r\n${sized}\r\n${body}`, true],
    ["a second to live", `HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\n${sized}\r\n${body}`, false],
    ["close", `HTTP/1.1 200 OK\r\nConnection: Close\r\n${sized}\r\n${body}`, false],
    ["close in a list", `HTTP/1.1 200 OK\r\nConnection: x, close\r\n${sized}\r\n${body}`, false],
    ["HTTP/1.0", `HTTP/1.0 200 OK\r\n${sized}\r\n${body}`, false],
    ["bytes after the end", `HTTP/1.1 200 OK\r\n${sized}\r\n${body}HTTP/1.1 500 No\r\n\r\n`, false],
    ["a line after the end", `HTTP/1.1 200 OK\r\n${sized}\r\n${body}\r\n`, false]
  ]
  for (const [title, bytes, isKept] of answers) {
    it.live(`${title}: ${isKept ? "again" : "not again"}`, () =>
      Effect.gen(function* () {
        const sockets = new Set<Net.Socket>()
        const server = yield* serveRaw((_, socket) => {
          sockets.add(socket)
          socket.write(bytes)
        })
        yield* withClient({ nameNodes: [server.url], readTimeout: "20 seconds" }, (hdfs) =>
          Effect.forEach([1, 2, 3], () => hdfs.getFileStatus("/f"), { discard: true })
        )
        assert.strictEqual(sockets.size, isKept ? 1 : 3)
      }).pipe(Effect.scoped)
    )
  }

  it.live("one that its server closed when it was used is replaced, for what only reads", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const used = new Set<Net.Socket>()
      const server = yield* serveRaw(({ operation }, socket) => {
        seen.push(operation)
        if (used.has(socket)) return void socket.destroy()
        used.add(socket)
        socket.write(operation === "MKDIRS" ? json({ boolean: true }) : json({ FileStatus: fileStatus }))
      })
      yield* withClient({ nameNodes: [server.url], readTimeout: "20 seconds", maxRetries: 0 }, (hdfs) =>
        Effect.gen(function* () {
          yield* hdfs.getFileStatus("/f")
          yield* hdfs.getFileStatus("/f")
          const error = yield* Effect.flip(hdfs.mkdirs("/d"))
          assert.strictEqual(error.reason._tag, "Connection")
        })
      )
      assert.deepStrictEqual(seen, ["GETFILESTATUS", "GETFILESTATUS", "GETFILESTATUS", "MKDIRS"])
    }).pipe(Effect.scoped)
  )

  it.live("requests at once have one each, and all are used again", () =>
    Effect.gen(function* () {
      const waiting: Array<() => void> = []
      const sockets = new Set<Net.Socket>()
      const server = yield* serveRaw((_, socket) => {
        sockets.add(socket)
        waiting.push(() => socket.write(json({ FileStatus: fileStatus })))
        if (waiting.length === 8) for (const answer of waiting.splice(0)) answer()
      })
      yield* withClient({ nameNodes: [server.url], readTimeout: "20 seconds" }, (hdfs) =>
        Effect.forEach(Array.from({ length: 32 }), () => hdfs.getFileStatus("/f"), { concurrency: 8, discard: true })
      )
      assert.strictEqual(sockets.size, 8)
    }).pipe(Effect.scoped)
  )
})
