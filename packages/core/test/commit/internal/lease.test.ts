import { JobError, Storage } from "@sluice/core"
import { NotFound, Unavailable } from "@sluice/core/StorageError"
import { FaultyStorage } from "@sluice/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as lease from "../../../src/commit/internal/lease.ts"

const staging = "memory:///_sluice"
const path = "memory:///out"
const asked = { path, job: "job", name: "write", waitMillis: 0 }

const acquire = (request: Partial<lease.Request> = {}) =>
  Effect.flatMap(Storage.Storage, (storage) =>
    lease.acquire(storage, staging, { ...asked, ...request }, (effect) => effect)
  )

const names = Effect.flatMap(Storage.Storage, (storage) =>
  Effect.map(Stream.runCollect(storage.list(staging)), (entries) =>
    entries.map((entry) => entry.path.slice(staging.length + 1)).toSorted()
  )
)

const text = (file: string) =>
  Effect.flatMap(Storage.Storage, (storage) =>
    Effect.flatMap(storage.stat(`${staging}/${file}`), ({ length }) =>
      Effect.map(storage.readRange(`${staging}/${file}`, 0, length), (bytes) => Buffer.from(bytes).toString())
    )
  )

const put = (file: string) =>
  Effect.flatMap(Storage.Storage, (storage) => storage.write(`${staging}/${file}`, Stream.make(Buffer.from(file))))

const inject = (fault: FaultyStorage.Fault) =>
  Effect.flatMap(FaultyStorage.FaultyStorage, (faulty) => faulty.inject(fault))
const reset = Effect.flatMap(FaultyStorage.FaultyStorage, (faulty) => faulty.reset)
const operations = Effect.flatMap(FaultyStorage.FaultyStorage, (faulty) =>
  Effect.map(faulty.counts, ({ operations }) => operations)
)

const reasonOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)

const testing = <A, E>(name: string, body: () => Effect.Effect<A, E, Storage.Storage | FaultyStorage.FaultyStorage>) =>
  it.effect(name, () => Effect.provide(body(), Layer.fresh(FaultyStorage.layer(Storage.layerMemory))))

const gone = new Unavailable({ detail: "gone" })

describe("a lease", () => {
  testing("is a file with a number of nine digits, and goes with its holder", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const held = yield* acquire()
      assert.strictEqual(held.number, 1)
      assert.deepStrictEqual(yield* names, ["_lease-000000001"])
      assert.isTrue(yield* lease.isHeld(storage, held))
      yield* lease.release(storage, held)
      assert.deepStrictEqual(yield* names, [])
      assert.isFalse(yield* lease.isHeld(storage, held))
    })
  )

  testing("is one job's: the next is refused until it was not renewed for a minute, and takes it then", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const first = yield* acquire()
      for (const seconds of [0, 30, 30]) {
        yield* TestClock.adjust(seconds * 1000)
        const refused = yield* Effect.flip(acquire({ job: "next" }))
        assert.strictEqual(reasonOf(refused), "OutputLeased")
      }
      yield* TestClock.adjust(1)
      const second = yield* acquire({ job: "next" })
      assert.strictEqual(second.number, 2)
      assert.deepStrictEqual([yield* lease.isHeld(storage, first), yield* lease.isHeld(storage, second)], [false, true])
    })
  )

  testing("is waited for with longer and longer pauses, and no longer than was asked for", () =>
    Effect.gen(function* () {
      const held = yield* acquire()
      yield* reset
      const waiting = yield* Effect.forkChild(Effect.result(acquire({ job: "next", waitMillis: 5000 })))
      yield* TestClock.adjust(4999)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(10_000)
      const result = yield* Fiber.join(waiting)
      assert.strictEqual(Result.isFailure(result) ? reasonOf(result.failure) : "none", "OutputLeased")
      // After 250 ms, and then half as long again each time.
      assert.strictEqual((yield* operations).list, 7)
      yield* lease.forget([held])
    })
  )

  testing("is looked for again where something goes away meanwhile, twenty times", () =>
    Effect.gen(function* () {
      const isLease = (path: string) => path.includes("_lease-")
      const taking = (times: number) =>
        Effect.gen(function* () {
          yield* reset
          yield* inject({ operation: "write", path: isLease, times, reason: new NotFound() })
          const result = yield* Effect.forkChild(Effect.result(acquire()))
          yield* TestClock.adjust(1000)
          return yield* Fiber.join(result)
        })
      const taken = yield* taking(20)
      assert.isTrue(Result.isSuccess(taken))
      if (Result.isSuccess(taken)) yield* lease.release(yield* Storage.Storage, taken.success)
      const failed = yield* taking(21)
      assert.strictEqual(Result.isFailure(failed) ? reasonOf(failed.failure) : "none", "StorageError")
      assert.strictEqual((yield* operations).write, 21)
      // A lease that is gone is one thing; a storage that cannot be asked is another.
      yield* reset
      yield* inject({ operation: "write", path: isLease, reason: gone })
      assert.strictEqual(reasonOf(yield* Effect.flip(acquire())), "StorageError")
      assert.strictEqual((yield* operations).write, 1)
    })
  )

  testing("is not told to be stale where the storage cannot tell its time", () =>
    Effect.gen(function* () {
      const held = yield* acquire()
      yield* inject({ operation: "write", path: (path) => path.includes(".clock-"), times: 3, reason: new NotFound() })
      const next = yield* Effect.forkChild(Effect.result(acquire({ job: "next" })))
      yield* TestClock.adjust(1000)
      const result = yield* Fiber.join(next)
      assert.strictEqual(Result.isFailure(result) ? reasonOf(result.failure) : "none", "OutputLeased")
      assert.strictEqual((yield* operations).write, 1 + 4, "the lease, and the clock until the lease existed")
      yield* lease.forget([held])
    })
  )

  testing("is renewed every ten seconds, and asked for again where the storage does not answer", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const held = yield* acquire()
      const renewing = yield* Effect.forkChild(Effect.result(lease.renewals(storage, [held], path)))
      const beat = Effect.orElseSucceed(text("_beat-000000001"), () => "none")
      yield* TestClock.adjust(9999)
      assert.strictEqual(yield* beat, "none")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* beat, "1")
      yield* inject({ operation: "list", times: 1, reason: gone })
      yield* TestClock.adjust(10_000)
      assert.strictEqual(yield* beat, "1")
      yield* TestClock.adjust(50_000)
      assert.strictEqual(yield* beat, "7")
      // So nobody else has it.
      assert.strictEqual(reasonOf(yield* Effect.flip(acquire({ job: "next" }))), "OutputLeased")
      yield* storage.delete(`${staging}/_lease-000000001`)
      yield* TestClock.adjust(10_000)
      const end = yield* Fiber.join(renewing)
      assert.strictEqual(Result.isFailure(end) ? reasonOf(end.failure) : "none", "LeaseLost")
    })
  )

  testing("is what a failure is about where it was lost, and only there", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const held = yield* acquire()
      const failure = () => Effect.flip(lease.orLost(storage, [held], path, "full disk"))
      assert.strictEqual(yield* failure(), "full disk")
      yield* inject({ operation: "list", times: 1, reason: gone })
      assert.strictEqual(yield* failure(), "full disk", "nobody knows better")
      yield* lease.release(storage, held)
      const lost = yield* failure()
      assert.isTrue(lost instanceof JobError.LeaseLost && lost.path === path)
    })
  )

  testing("fences: folders of jobs get other names, and files before it go", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      yield* put("job-1/part")
      yield* put("job-2/part")
      yield* put(".part.COPYING")
      const held = yield* Effect.gen(function* () {
        yield* lease.forget([yield* acquire()])
        yield* lease.forget([yield* acquire()])
        return yield* acquire()
      })
      assert.strictEqual(held.number, 3)
      yield* put("_beat-000000003")
      yield* put("_beat-000000002")
      yield* put("_lease-000000004")
      const folders = yield* lease.fence(storage, held)
      assert.strictEqual(folders.length, 2)
      assert.deepStrictEqual(
        yield* names,
        [
          "_beat-000000003",
          "_lease-000000003",
          "_lease-000000004",
          ...folders.map((folder) => folder.slice(staging.length + 1))
        ].toSorted()
      )
      const parts = yield* Effect.forEach(folders, (folder) => text(`${folder.slice(staging.length + 1)}/part`))
      assert.deepStrictEqual(parts.toSorted(), ["job-1/part", "job-2/part"])
      // A file that disappears at this moment was deleted by its own job.
      yield* inject({ operation: "rename", times: 1, reason: new NotFound() })
      assert.strictEqual((yield* lease.fence(storage, held)).length, 1)
      yield* lease.forget([held])
    })
  )
})
