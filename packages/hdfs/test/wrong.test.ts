import { HdfsAuth, type HdfsClient, HdfsConfig, type HdfsError, HdfsStorage } from "@sluice/hdfs"
import { Dataset, Engine, Events, Executor } from "@sluice/core"
import * as Storage from "@sluice/core/Storage"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { once } from "node:events"
import type * as Net from "node:net"
import { client, fileStatus, readAll, reason } from "./support/client.ts"
import { answer, json, type RawRequest, serveRaw } from "./support/rawServer.ts"
import { block, cluster, content, good, http, range, withClient } from "./support/wrongCluster.ts"

// A NameNode, DataNode or gateway that is wrong: bytes on the wire that no healthy server sends.

const storageOf = (url: string) =>
  HdfsStorage.layer.pipe(
    Layer.provide(client({ nameNodes: [url] })),
    Layer.provide(HdfsConfig.layer({ nameNodes: [url] }))
  )

describe("a read has every byte", () => {
  it.live("of one file: one that is replaced between two of its blocks is an error", () =>
    Effect.gen(function* () {
      let opened = 0
      const server = yield* serveRaw(
        cluster(
          (request, socket) => {
            opened++
            good(request, socket)
          },
          {
            GETFILESTATUS: () =>
              json({ FileStatus: { ...fileStatus, length: content.length, fileId: opened < 2 ? 7 : 8 } }),
            GETFILEBLOCKLOCATIONS: () =>
              json({ BlockLocations: { BlockLocation: [block(0, 10, ["dn1"]), block(10, 10, ["dn1"])] } })
          }
        )
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        reason(readAll(hdfs, "/f", { preferHost: "dn1" }), "FileChanged")
      )
      assert.strictEqual(opened, 2)
    }).pipe(Effect.scoped)
  )

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

  it.live("a range past the end is distinguished from a DataNode that has too few bytes, without a retry", () =>
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
