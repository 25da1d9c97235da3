import { HdfsAuth, type HdfsError } from "@sluice/hdfs"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Redacted, Stream } from "effect"
import * as Http from "node:http"
import type * as Net from "node:net"
import { fileStatus, readAll, reason, withClient } from "./support/client.ts"

// What a healthy cluster never does, from a server that follows a script.

interface Server {
  readonly url: string
  readonly seen: Array<string>
  readonly sockets: Set<Net.Socket>
}

type Script = (request: Http.IncomingMessage, response: Http.ServerResponse, url: URL, server: Server) => void

const serve = (script: Script) =>
  Effect.acquireRelease(
    Effect.callback<Server & { readonly close: () => void }>((resume) => {
      const seen: Array<string> = []
      const sockets = new Set<Net.Socket>()
      const state: { server: Server } = { server: { url: "", seen, sockets } }
      const http = Http.createServer((request, response) => {
        const url = new URL(request.url ?? "/", state.server.url)
        seen.push(`${request.method} ${url.searchParams.get("op")} ${url.pathname}`)
        script(request, response, url, state.server)
      })
      http.on("connection", (socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
      })
      http.listen(0, "127.0.0.1", () => {
        const address = http.address()
        const port = address !== null && typeof address === "object" ? address.port : 0
        state.server = { url: `http://127.0.0.1:${port}`, seen, sockets }
        resume(
          Effect.succeed({
            ...state.server,
            close: () => {
              http.closeAllConnections()
              http.close()
            }
          })
        )
      })
    }),
    (server) => Effect.sync(server.close)
  )

const json = (response: Http.ServerResponse, status: number, body: unknown) => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

const exception = (response: Http.ServerResponse, status: number, name: string, message: string) =>
  json(response, status, { RemoteException: { exception: name, javaClassName: `x.${name}`, message } })

const content = "0123456789abcdefghij"

/** Serves `content`; the DataNode part is scripted. */
const dataNode = (
  data: (response: Http.ServerResponse, offset: number, attempt: number, request: Http.IncomingMessage) => void
): Script => {
  let attempt = 0
  return (request, response, url, server) => {
    switch (url.searchParams.get("op")) {
      case "GETFILESTATUS":
        return json(response, 200, { FileStatus: { ...fileStatus, length: content.length } })
      case "GETFILEBLOCKLOCATIONS":
        return json(response, 200, { BlockLocations: { BlockLocation: [] } })
      default:
        if (url.pathname.startsWith("/webhdfs")) {
          const offset = url.searchParams.get("offset") ?? "0"
          response.writeHead(307, { location: `${server.url}/data?offset=${offset}&op=OPEN`, "content-length": "0" })
          return response.end()
        }
        return data(response, Number(url.searchParams.get("offset")), attempt++, request)
    }
  }
}

describe("HdfsClient on a faulty server", () => {
  it.live("HTML instead of JSON is a protocol error that shows its text", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => {
        response.writeHead(200, { "content-type": "text/html" })
        response.end("<html><style>x{}</style><title>Please log in</title></html>")
      })
      const error = yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        reason(hdfs.getFileStatus("/f"), "Protocol")
      )
      assert.include(error.message, "Please log in")
      assert.include(error.message, "9870")
    }).pipe(Effect.scoped)
  )

  it.live("JSON of another shape is a protocol error", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => json(response, 200, { FileStatus: { length: "many" } }))
      yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Protocol"))
      assert.strictEqual(server.seen.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a redirect loop and a long chain of redirects end", () =>
    Effect.gen(function* () {
      let n = 0
      const server = yield* serve((_, response, url, self) => {
        const to = url.pathname.endsWith("/loop")
          ? "/webhdfs/v1/loop?op=GETFILESTATUS"
          : `/webhdfs/v1/chain?op=GETFILESTATUS&n=${n++}`
        response.writeHead(307, { location: self.url + to })
        response.end()
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          assert.include((yield* reason(hdfs.getFileStatus("/loop"), "Protocol")).message, "loop")
          assert.include((yield* reason(hdfs.getFileStatus("/chain"), "Protocol")).message, "more than 5 redirects")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("a redirect to another scheme is not followed", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => {
        response.writeHead(307, { location: "ftp://127.0.0.1/f" })
        response.end()
      })
      const error = yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
      assert.include(error.message, "another scheme")
    }).pipe(Effect.scoped)
  )

  it.live("401, 403 and 500 are typed and not repeated", () =>
    Effect.gen(function* () {
      let status = 401
      const server = yield* serve((_, response) => {
        response.writeHead(status)
        response.end("<html>no</html>")
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          yield* reason(hdfs.getFileStatus("/f"), "Authentication")
          status = 403
          yield* reason(hdfs.getFileStatus("/f"), "AccessControl")
          status = 500
          yield* reason(hdfs.getFileStatus("/f"), "Protocol")
        })
      )
      assert.strictEqual(server.seen.length, 3)
    }).pipe(Effect.scoped)
  )

  it.live("503 is tried again, then given up with the count of attempts", () =>
    Effect.gen(function* () {
      let failures = 2
      const server = yield* serve((_, response) => {
        if (failures-- > 0) {
          response.writeHead(503)
          return response.end()
        }
        json(response, 200, { FileStatus: fileStatus })
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* hdfs.getFileStatus("/f")).fileId, 7)
          failures = 1000
          assert.strictEqual((yield* reason(hdfs.getFileStatus("/f"), "Retriable")).attempts, 4)
          server.seen.length = 0
          assert.strictEqual((yield* reason(readAll(hdfs), "Retriable")).attempts, 4)
          assert.strictEqual(server.seen.length, 4)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("an answer that stalls is a read timeout; metadata is asked again", () =>
    Effect.gen(function* () {
      let stall = 1
      const server = yield* serve((_, response) => {
        if (stall-- > 0) return
        json(response, 200, { FileStatus: fileStatus })
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* hdfs.getFileStatus("/f")).length, 10)
          stall = 1
          const error = yield* reason(hdfs.concat("/f", ["/g"]), "Timeout")
          assert.include(error.message, "read timeout")
        })
      )
      assert.deepStrictEqual(server.seen.filter((line) => line.startsWith("POST")).length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("the operation timeout bounds all attempts", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => exception(response, 403, "RetriableException", "starting"))
      const error = yield* withClient(
        {
          nameNodes: [server.url],
          operationTimeout: "100 millis",
          retryBase: "50 millis",
          retryMax: "50 millis",
          maxRetries: 100
        },
        (hdfs) => reason(hdfs.getFileStatus("/f"), "Timeout")
      )
      assert.include(error.message, "operation timeout")
    }).pipe(Effect.scoped)
  )

  it.live("a rename whose answer was lost is looked up, not done twice", () =>
    Effect.gen(function* () {
      let done = false
      const server = yield* serve((request, response, url) => {
        switch (url.searchParams.get("op")) {
          case "RENAME":
            done = true
            return request.socket.destroy()
          default:
            return url.pathname.endsWith("/to") === done
              ? json(response, 200, { FileStatus: fileStatus })
              : exception(response, 404, "FileNotFoundException", "none")
        }
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) => hdfs.rename("/from", "/to"))
      assert.strictEqual(server.seen.filter((line) => line.includes("RENAME")).length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a standby is left for the other NameNode, which is remembered", () =>
    Effect.gen(function* () {
      const standby = yield* serve((_, response) => exception(response, 403, "StandbyException", "standby"))
      const active = yield* serve((_, response) => json(response, 200, { FileStatus: fileStatus }))
      yield* withClient({ nameNodes: [standby.url, active.url] }, (hdfs) =>
        Effect.andThen(hdfs.getFileStatus("/f"), hdfs.getFileStatus("/f"))
      )
      assert.deepStrictEqual([standby.seen.length, active.seen.length], [1, 2])
    }).pipe(Effect.scoped)
  )

  it.live("standby only: fifteen failovers, then the hint to name every NameNode", () =>
    Effect.gen(function* () {
      const standby = yield* serve((_, response) => exception(response, 403, "StandbyException", "standby"))
      yield* withClient({ nameNodes: [standby.url, standby.url] }, (hdfs) =>
        Effect.gen(function* () {
          const error = yield* reason(hdfs.getFileStatus("/f"), "Standby")
          assert.strictEqual(error.attempts, 16)
          assert.include(error.message, "every NameNode")
        })
      )
      const alone = yield* serve((_, response) => exception(response, 403, "StandbyException", "standby"))
      yield* withClient({ nameNodes: [alone.url] }, (hdfs) => reason(hdfs.getFileStatus("/f"), "Standby"))
      assert.strictEqual(alone.seen.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live(
    "nobody at the port, and a name nobody knows",
    () =>
      Effect.gen(function* () {
        const port = (yield* Effect.scoped(serve(() => undefined))).url
        const refused = yield* withClient({ nameNodes: [port] }, (hdfs) =>
          reason(hdfs.getFileStatus("/f"), "Connection")
        )
        assert.include(refused.message, "ECONNREFUSED")
        assert.strictEqual(refused.attempts, 4)
        const unknown = yield* withClient({ nameNodes: ["http://no-such-host.invalid:9870"] }, (hdfs) =>
          reason(hdfs.getFileStatus("/f"), "Connection")
        )
        assert.include(unknown.message, "no-such-host.invalid")
      }),
    15_000
  )

  it.live("a body cut short is resumed at the byte it reached", () =>
    Effect.gen(function* () {
      const offsets: Array<number> = []
      const server = yield* serve(
        dataNode((response, offset, attempt) => {
          offsets.push(offset)
          const rest = content.slice(offset)
          response.writeHead(200, { "content-length": String(rest.length) })
          if (attempt < 2) {
            response.write(rest.slice(0, 7))
            return setTimeout(() => response.destroy(), 20)
          }
          response.end(rest)
        })
      )
      assert.strictEqual(yield* withClient({ nameNodes: [server.url] }, (hdfs) => readAll(hdfs)), content)
      assert.deepStrictEqual(offsets, [0, 7, 14])
    }).pipe(Effect.scoped)
  )

  it.live("a body in chunks is read, into one buffer where one is given", () =>
    Effect.gen(function* () {
      const server = yield* serve(
        dataNode((response) => {
          response.writeProcessing()
          response.writeHead(200)
          response.write(content.slice(0, 3))
          setTimeout(() => response.end(content.slice(3)), 5)
        })
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* readAll(hdfs), content)
          const buffer = new Uint8Array(7)
          let text = ""
          yield* Stream.runForEach(hdfs.open("/f", { buffer }), (chunk) =>
            // Others get their turn while a chunk is looked at.
            Effect.andThen(
              Effect.sleep("1 millis"),
              Effect.sync(() => {
                assert.strictEqual(chunk.buffer, buffer.buffer)
                text += Buffer.from(chunk).toString()
              })
            )
          )
          assert.strictEqual(text, content)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("a DataNode that does not speak HTTP is a protocol error", () =>
    Effect.gen(function* () {
      const server = yield* serve(dataNode((_, __, ___, request) => request.socket.end("220 ready\r\n\r\n")))
      const error = yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "Protocol"))
      assert.include(error.message, "not HTTP")
    }).pipe(Effect.scoped)
  )

  it.live("a kept connection that the server closes is replaced without a failure", () =>
    Effect.gen(function* () {
      const used = new Set<Net.Socket>()
      const server = yield* serve((request, response) => {
        if (used.has(request.socket)) return request.socket.destroy()
        used.add(request.socket)
        json(response, 200, { FileStatus: fileStatus })
      })
      yield* withClient({ nameNodes: [server.url], maxRetries: 0 }, (hdfs) =>
        Effect.andThen(hdfs.getFileStatus("/f"), hdfs.getFileStatus("/f"))
      )
      assert.strictEqual(server.seen.length, 3)
    }).pipe(Effect.scoped)
  )

  it.live("a body that stalls is resumed after the read timeout", () =>
    Effect.gen(function* () {
      const server = yield* serve(
        dataNode((response, offset, attempt) => {
          const rest = content.slice(offset)
          response.writeHead(200, { "content-length": String(rest.length) })
          if (attempt === 0) return response.write(rest.slice(0, 3))
          response.end(rest)
        })
      )
      assert.strictEqual(yield* withClient({ nameNodes: [server.url] }, (hdfs) => readAll(hdfs)), content)
    }).pipe(Effect.scoped)
  )

  it.live("a server that never gets further is given up", () =>
    Effect.gen(function* () {
      const server = yield* serve(
        dataNode((response, offset) => {
          response.writeHead(200, { "content-length": String(content.length - offset) })
          response.flushHeaders()
          setTimeout(() => response.destroy(), 5)
        })
      )
      const error = yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "Connection"))
      assert.strictEqual(error.attempts, 4)
    }).pipe(Effect.scoped)
  )

  it.live("a file of another length on the second try has changed", () =>
    Effect.gen(function* () {
      let length = content.length
      const data = dataNode((response) => {
        response.writeHead(200, { "content-length": String(content.length) })
        response.write(content.slice(0, 5))
        length += 8
        setTimeout(() => response.destroy(), 20)
      })
      const server = yield* serve((request, response, url, self) =>
        url.searchParams.get("op") === "GETFILESTATUS"
          ? json(response, 200, { FileStatus: { ...fileStatus, length } })
          : data(request, response, url, self)
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "FileChanged"))
    }).pipe(Effect.scoped)
  )

  it.live("a file replaced since its status was taken has changed", () =>
    Effect.gen(function* () {
      const server = yield* serve(
        dataNode((response, offset) => {
          response.writeHead(200, { "content-length": String(content.length - offset) })
          response.write(content.slice(offset, offset + 3))
          setTimeout(() => response.destroy(), 20)
        })
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          const status = yield* hdfs.getFileStatus("/f")
          yield* reason(readAll(hdfs, "/f", { status: { ...status, modificationTime: 0 } }), "FileChanged")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("a file deleted while it is read is not found", () =>
    Effect.gen(function* () {
      let deleted = false
      const data = dataNode((response) => {
        response.writeHead(200, { "content-length": String(content.length) })
        response.write(content.slice(0, 5))
        deleted = true
        setTimeout(() => response.destroy(), 20)
      })
      const server = yield* serve((request, response, url, self) =>
        deleted ? exception(response, 404, "FileNotFoundException", "gone") : data(request, response, url, self)
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) => reason(readAll(hdfs), "FileNotFound"))
    }).pipe(Effect.scoped)
  )

  it.live("a reader that stops closes the socket", () =>
    Effect.gen(function* () {
      let closed = false
      const server = yield* serve(
        dataNode((response, _, __, request) => {
          request.socket.on("close", () => {
            closed = true
          })
          response.writeHead(200)
          response.write(content)
        })
      )
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          const first = yield* Stream.runCollect(Stream.take(hdfs.open("/f"), 1))
          assert.strictEqual(Buffer.concat(first).toString(), content)
          for (let i = 0; i < 100 && !closed; i++) yield* Effect.sleep("5 millis")
          assert.isTrue(closed)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("an upload the server does not take is a write timeout", () =>
    Effect.gen(function* () {
      const server = yield* serve((request, response, url, self) => {
        if (url.searchParams.get("noredirect") === "true")
          return json(response, 200, { Location: `${self.url}/data?op=CREATE` })
        request.pause()
      })
      const chunk = new Uint8Array(256 * 1024)
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        reason(hdfs.create("/f", Stream.forever(Stream.succeed(chunk))), "Timeout")
      )
    }).pipe(Effect.scoped)
  )

  it.live("a body of a known length comes in no chunks, and another length is a failure", () =>
    Effect.gen(function* () {
      const heads: Array<Http.IncomingHttpHeaders> = []
      const server = yield* serve((request, response, url, self) => {
        if (url.searchParams.get("noredirect") === "true")
          return json(response, 200, { Location: `${self.url}/data?op=CREATE` })
        heads.push(request.headers)
        request.resume().on("end", () => response.writeHead(201).end())
      })
      const bytes = Stream.make(new Uint8Array(6), new Uint8Array(4))
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* hdfs.create("/f", bytes, { length: 10 }), 10)
          assert.strictEqual(yield* hdfs.create("/f", bytes), 10)
          for (const length of [7, 11]) {
            const error = yield* reason(hdfs.create("/f", bytes, { length }), "UnexpectedEnd")
            assert.include(error.message, `10 of ${length}`)
          }
        })
      )
      assert.deepStrictEqual(
        heads.slice(0, 2).map((each) => [each["content-length"], each["transfer-encoding"]]),
        [
          ["10", undefined],
          [undefined, "chunked"]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("a failed or interrupted write deletes its hidden file and keeps the error", () =>
    Effect.gen(function* () {
      const server = yield* serve((request, response, url, self) => {
        if (request.method === "DELETE") return json(response, 200, { boolean: true })
        if (url.searchParams.get("noredirect") === "true")
          return json(response, 200, { Location: `${self.url}/data?op=CREATE` })
        if (url.searchParams.get("op") === "GETFILESTATUS")
          return exception(response, 404, "FileNotFoundException", "none")
        request.resume()
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          const broken = Stream.concat(Stream.succeed(new Uint8Array(10)), Stream.fail("mine" as const))
          assert.strictEqual(yield* Effect.flip(hdfs.write("/d/f", broken)), "mine")
          const fiber = yield* Effect.forkChild(
            hdfs.write("/d/g", Stream.concat(Stream.succeed(new Uint8Array(10)), Stream.never)),
            { startImmediately: true }
          )
          // The server may see the first upload after its file was deleted.
          while (server.seen.filter((line) => line === "PUT CREATE /data").length < 2) yield* Effect.sleep("5 millis")
          yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause))
        })
      )
      const deletes = server.seen.filter((line) => line.startsWith("DELETE"))
      assert.strictEqual(deletes.length, 2)
      for (const line of deletes) assert.match(line, /\/webhdfs\/v1\/d\/\.[fg]\..*\._COPYING_$/)
    }).pipe(Effect.scoped)
  )

  it.live("a refused write is looked for once, one without an answer for longer", () =>
    Effect.gen(function* () {
      let answers = true
      const server = yield* serve((request, response, url, self) => {
        if (request.method === "DELETE") return json(response, 200, { boolean: false })
        if (url.searchParams.get("noredirect") === "true")
          return json(response, 200, { Location: `${self.url}/data?op=CREATE` })
        if (url.searchParams.get("op") === "GETFILESTATUS")
          return exception(response, 404, "FileNotFoundException", "none")
        request.resume()
        request.on("end", () => {
          if (answers) exception(response, 403, "AccessControlException", "no")
          else response.destroy()
        })
      })
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          yield* reason(hdfs.write("/d/f", Stream.succeed(new Uint8Array(10))), "AccessControl")
          answers = false
          yield* reason(hdfs.write("/d/g", Stream.succeed(new Uint8Array(10))), "Connection")
        })
      )
      const deletes = (name: string) =>
        server.seen.filter((line) => line.startsWith(`DELETE DELETE /webhdfs/v1/d/.${name}.`)).length
      assert.deepStrictEqual([deletes("f"), deletes("g")], [1, 5])
    }).pipe(Effect.scoped)
  )

  it.live("a DataNode behind another address is reached by the host map and by rewriteLocation", () =>
    Effect.gen(function* () {
      const data = yield* serve((_, response) => response.end("bytes"))
      const name = yield* serve((_, response, url) => {
        if (url.searchParams.get("op") === "GETFILESTATUS")
          return json(response, 200, { FileStatus: { ...fileStatus, length: "bytes".length } })
        response.writeHead(307, { location: "http://dn1.internal:9864/data?op=OPEN", "content-length": "0" })
        response.end()
      })
      const host = new URL(data.url).host
      assert.strictEqual(
        yield* withClient({ nameNodes: [name.url], hosts: { "dn1.internal": host } }, (hdfs) => readAll(hdfs)),
        "bytes"
      )
      const rewriteLocation = (location: URL) => new URL(location.pathname + location.search, data.url)
      assert.strictEqual(
        yield* withClient({ nameNodes: [name.url], rewriteLocation }, (hdfs) => readAll(hdfs)),
        "bytes"
      )
    }).pipe(Effect.scoped)
  )

  it.live("a token goes to the NameNode only and is in no message", () =>
    Effect.gen(function* () {
      const queries: Array<string> = []
      const data = yield* serve((_, response, url) => {
        queries.push(url.search)
        exception(response, 403, "InvalidToken", "token expired")
      })
      const name = yield* serve((_, response, url) => {
        queries.push(url.search)
        response.writeHead(307, { location: `${data.url}/data?op=OPEN`, "content-length": "0" })
        response.end()
      })
      const error = yield* withClient(
        { nameNodes: [name.url] },
        (hdfs) => reason(readAll(hdfs), "InvalidToken"),
        HdfsAuth.layerToken(Redacted.make("s3cret"), { doAs: "bob" })
      )
      assert.include(queries[0], "delegation=s3cret")
      assert.include(queries[0], "doas=bob")
      assert.notInclude(queries[1], "s3cret")
      assert.notInclude(`${error.message} ${JSON.stringify(error)} ${error.stack}`, "s3cret")
      assert.include(error.message, "new delegation token")
    }).pipe(Effect.scoped)
  )

  it.live("a path with .. or without a slash is refused before anybody is asked", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => json(response, 200, {}))
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.gen(function* () {
          yield* reason(hdfs.getFileStatus("/a/../b"), "InvalidArgument")
          yield* reason(hdfs.getFileStatus("a"), "InvalidArgument")
          yield* reason(hdfs.rename("/a", "/b/../c"), "InvalidArgument")
        })
      )
      assert.strictEqual(server.seen.length, 0)
    }).pipe(Effect.scoped)
  )

  it.live("exceptions of the server become reasons", () =>
    Effect.gen(function* () {
      let name = ""
      let message = ""
      const server = yield* serve((_, response) => exception(response, 403, name, message))
      const cases: ReadonlyArray<readonly [string, string, HdfsError.Reason["_tag"]]> = [
        ["FileNotFoundException", "File does not exist: /f", "FileNotFound"],
        ["AccessControlException", "Permission denied: user=x", "AccessControl"],
        ["AccessControlException", "/f (is not a directory)", "NotADirectory"],
        ["SafeModeException", "Cannot create file. Name node is in safe mode.", "SafeMode"],
        ["NSQuotaExceededException", "The NameSpace quota is exceeded", "QuotaExceeded"],
        ["DSQuotaExceededException", "The DiskSpace quota is exceeded", "QuotaExceeded"],
        ["PathIsNotEmptyDirectoryException", "/d is non empty", "NotEmpty"],
        ["AlreadyBeingCreatedException", "lease", "Lease"],
        ["SecurityException", "Failed to obtain user group information: InvalidToken: token expired", "InvalidToken"],
        ["IOException", "File /f could only be written to 0 of the 1 minReplication nodes.", "NoSpace"],
        ["BlockMissingException", "Could not obtain block", "BlockMissing"],
        ["IOException", "Failed to find datanode, suggest to check cluster health.", "BlockMissing"],
        [
          "EOFException",
          'End of File Exception between local host is: "dn/10.0.0.2"; destination host is: "nn":8020; : java.io.EOFException',
          "Retriable"
        ],
        ["UnsupportedOperationException", "Symlinks not supported", "Unsupported"],
        ["SnapshotException", "no such snapshot\n\tat java.lang.Thread", "Remote"]
      ]
      yield* withClient({ nameNodes: [server.url] }, (hdfs) =>
        Effect.forEach(cases, ([exception, text, tag]) => {
          name = exception
          message = text
          return Effect.map(reason(hdfs.getFileStatus("/f"), tag), (error) =>
            assert.notInclude(error.message, "java.lang.Thread")
          )
        })
      )
    }).pipe(Effect.scoped)
  )
})
