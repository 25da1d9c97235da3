import type { HdfsClient, HdfsError } from "@sluice/hdfs"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import * as fc from "fast-check"
import { Sending } from "../src/internal/sending.ts"
import { fileStatus, reason, withClient } from "./support/client.ts"
import { answer, json, type RawServer, serveRaw } from "./support/rawServer.ts"

const content = Buffer.from("0123456789")

type Hdfs = HdfsClient.HdfsClient["Service"]

describe("an upload of a known length whose server answers before the source ends", () => {
  /** Runs a source that sends some bytes, learns that the server has answered them, and continues with `rest`. */
  const afterAnswer = <A, E>(
    status: number,
    sent: number,
    rest: Stream.Stream<Uint8Array, string>,
    use: (created: Effect.Effect<number, HdfsError.HdfsError | string>) => Effect.Effect<A, E>
  ) =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<void>()
      const say = (server: { readonly write: (bytes: Buffer) => unknown }) => {
        server.write(answer(status, ""))
        Deferred.doneUnsafe(answered, Effect.void)
      }
      const locate = (query: string, { url }: RawServer) => json({ Location: `${url}/data${query}` })
      const server = yield* serveRaw(
        (request, socket, _, self) => {
          if (request.operation === "GETFILESTATUS") socket.write(json({ FileStatus: fileStatus }))
          else if (request.url.pathname !== "/data") socket.write(locate(request.url.search, self))
          else if (sent === content.length) say(socket)
        },
        {
          onHead: (socket, head) => {
            if (head.startsWith("PUT /data") && sent < content.length) say(socket)
          }
        }
      )
      const created = (hdfs: Hdfs) => {
        // The later answer has arrived, so the earlier one has, too.
        const heard = Effect.andThen(
          Deferred.await(answered),
          Effect.forEach([1, 2, 3], () => Effect.orDie(hdfs.getFileStatus("/f")), { discard: true })
        )
        const source = Stream.concat(
          Stream.succeed<Uint8Array>(content.subarray(0, sent)),
          Stream.unwrap(Effect.as(heard, rest))
        )
        return hdfs.create("/f", source, { length: content.length })
      }
      return yield* withClient({ nameNodes: [server.url], readTimeout: "10 seconds", maxRetries: 0 }, (hdfs) =>
        use(created(hdfs))
      )
    }).pipe(Effect.scoped)

  it.live("is done when the source ends with all bytes", () =>
    afterAnswer(201, content.length, Stream.empty, (created) =>
      Effect.map(created, (count) => assert.strictEqual(count, content.length))
    )
  )

  it.live("fails with the error of the source", () =>
    afterAnswer(201, content.length, Stream.fail("mine"), (created) =>
      Effect.map(Effect.flip(created), (error) => assert.strictEqual(error, "mine"))
    )
  )

  it.live("fails when the source has more", () =>
    afterAnswer(201, content.length, Stream.succeed(content), (created) =>
      reason(
        Effect.catchIf(created, (error) => typeof error === "string", Effect.die),
        "UnexpectedEnd"
      )
    )
  )

  it.live("fails when the server says yes before it has all", () =>
    afterAnswer(201, content.length - 1, Stream.never, (created) =>
      reason(
        Effect.catchIf(created, (error) => typeof error === "string", Effect.die),
        "Protocol"
      )
    )
  )

  it.live("fails at once when the server says no", () =>
    afterAnswer(403, content.length - 1, Stream.never, (created) =>
      reason(
        Effect.catchIf(created, (error) => typeof error === "string", Effect.die),
        "AccessControl"
      )
    )
  )
})

describe("pieces of an upload", () => {
  const period = 251
  const all = Buffer.from(Uint8Array.from({ length: 2_000_000 + period }, (_, i) => i % period))
  /** The bytes from an offset on; they differ from those at offsets nearby. */
  const pattern = (from: number, length: number) => all.subarray(from % period, (from % period) + length)
  const sizes = fc.oneof(fc.nat(2000), fc.nat(600_000), fc.nat(2_000_000))

  it.effect("are the bytes that were written, in order, one under way, two held, however the server takes them", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(sizes, { minLength: 1, maxLength: 3 }), { maxLength: 8 }),
          fc.array(fc.boolean(), { minLength: 1 }),
          (writes, late) =>
            Effect.runPromise(
              Effect.gen(function* () {
                let given = 0
                let sent = 0
                let kernel = 0
                let count = 0
                let underWay = false
                let idle = true
                const wrong: Array<string> = []
                const expect = (what: string, right: boolean) => void (right || wrong.push(what))
                const sending = new Sending(
                  (piece, taken) => {
                    expect("one at a time", !underWay)
                    expect("not empty and not large", piece.length > 0 && piece.length <= 512 * 1024)
                    underWay = true
                    idle = false
                    sent += piece.length
                    const take = () => {
                      expect("bytes", pattern(kernel, piece.length).equals(piece))
                      kernel += piece.length
                      underWay = false
                      taken()
                    }
                    // As Node does, never before the call is over.
                    if (late[count++ % late.length] === true) setImmediate(take)
                    else process.nextTick(take)
                  },
                  () => {
                    expect("idle with all", !underWay && sent === given)
                    idle = true
                  }
                )
                const buffers = [0, 1, 2].map(() => new Uint8Array(2_000_000))
                for (const write of writes) {
                  const views = write.map((size, i) => {
                    const view = (buffers[i] ?? new Uint8Array(0)).subarray(0, size)
                    view.set(pattern(given, size))
                    given += size
                    return view
                  })
                  const [first = new Uint8Array(0), ...rest] = views
                  yield* sending.write([first, ...rest])
                  // The writer may use them again.
                  for (const view of views) view.fill(255)
                  expect("two pieces held at most", given - kernel <= 2 * 512 * 1024)
                }
                yield* sending.flush
                expect("all", kernel === given && !underWay && idle)
                assert.deepStrictEqual(wrong, [])
              })
            )
        ),
        { numRuns: 40 }
      )
    )
  )

  it.effect("wait for the server where there is no more room, and can be given up", () =>
    Effect.gen(function* () {
      const pieces: Array<() => void> = []
      const sending = new Sending(
        (_, taken) => void pieces.push(taken),
        () => undefined
      )
      const megabytes = Array.from({ length: 4 }, () => new Uint8Array(1024 * 1024))
      const fiber = yield* Effect.forkChild(
        Effect.forEach(megabytes, (each) => sending.write([each]), { discard: true }),
        { startImmediately: true }
      )
      assert.lengthOf(pieces, 1)
      pieces[0]?.()
      yield* Effect.yieldNow
      assert.lengthOf(pieces, 2)
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
      pieces[1]?.()
      assert.isAtMost(pieces.length, 3)
    })
  )
})
