import { Executor, JobError } from "@sluice/core"
import * as Scheduler from "@sluice/core/Scheduler"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"

const info = (id: string, host = id, slots = 1) => ({ id, host, slots })

/** Executors that a test adds and removes; one that is gone fails its tasks when told to. */
const changing = (maxAttempts: number) =>
  Effect.gen(function* () {
    const changes = yield* Queue.unbounded<Executor.Change>()
    const environment = (id: string): Executor.Environment => ({ info: info(id), services: () => Effect.die("none") })
    const executor = Executor.Executor.of({
      changes: Stream.fromQueue(changes),
      release: () => Effect.void,
      run: (id, task) => task.run(environment(id)),
      maxAttempts
    })
    return { changes, scheduler: yield* Effect.provideService(Scheduler.make, Executor.Executor, executor) }
  })

const settle = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

describe("Scheduler", () => {
  it.effect("runs a task elsewhere after the locality wait of 3 s", () =>
    Effect.gen(function* () {
      const ran: Array<readonly [number, string, string]> = []
      const { changes, scheduler } = yield* changing(1)
      yield* Queue.offerAll(changes, [
        { _tag: "Joined", info: info("a") },
        { _tag: "Joined", info: info("b") }
      ])
      yield* settle
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        scheduler.run<void, never, never>({
          jobId: "job",
          stage: 0,
          tasks: [
            { partition: 0, hosts: ["a"] },
            { partition: 1, hosts: ["a"] }
          ],
          run: (partition, _, locality, { info }) =>
            Effect.suspend(() => {
              ran.push([partition, info.id, locality])
              return Deferred.await(gate)
            }),
          onResult: () => Effect.void
        })
      )
      yield* settle
      yield* TestClock.adjust(2999)
      yield* settle
      assert.deepStrictEqual(ran, [[0, "a", "node"]])
      yield* TestClock.adjust(1)
      yield* settle
      assert.deepStrictEqual(ran, [
        [0, "a", "node"],
        [1, "b", "any"]
      ])
      yield* Deferred.succeed(gate, void 0)
      yield* Fiber.join(fiber)
    })
  )

  it.effect("hands over one result a task, though the executor that was given up answers late", () =>
    Effect.gen(function* () {
      const { changes, scheduler } = yield* changing(1)
      const results: Array<readonly [number, string]> = []
      const gates = [yield* Deferred.make<string>(), yield* Deferred.make<string>()]
      yield* Queue.offer(changes, { _tag: "Joined", info: info("a") })
      yield* settle
      const fiber = yield* Effect.forkChild(
        scheduler.run<string, never, never>({
          jobId: "job",
          stage: 0,
          tasks: [{ partition: 7, hosts: [] }],
          run: (_, attempt) => Deferred.await(gates[attempt] ?? assert.fail("a third attempt")),
          onResult: (partition, result) => Effect.sync(() => results.push([partition, result]))
        })
      )
      yield* settle
      yield* Queue.offerAll(changes, [
        { _tag: "Left", id: "a" },
        { _tag: "Joined", info: info("b") }
      ])
      yield* settle
      yield* Deferred.succeed(gates[0]!, "late")
      yield* settle
      assert.deepStrictEqual(results, [[7, "late"]])
      yield* Deferred.succeed(gates[1]!, "again")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(results, [[7, "late"]])
    })
  )

  it.effect("a lost executor is no failure of the task", () =>
    Effect.gen(function* () {
      const { changes, scheduler } = yield* changing(1)
      yield* Queue.offer(changes, { _tag: "Joined", info: info("a") })
      const attempts: Array<number> = []
      yield* scheduler.run<void, never, never>({
        jobId: "job",
        stage: 0,
        tasks: [{ partition: 0, hosts: [] }],
        run: (_, attempt) => Effect.sync(() => attempts.push(attempt)),
        onResult: () => Effect.void
      })
      assert.deepStrictEqual(attempts, [0])
      const lossy = Executor.Executor.of({
        release: () => Effect.void,
        changes: Stream.concat(Stream.make<Array<Executor.Change>>({ _tag: "Joined", info: info("a") }), Stream.never),
        run: (executor, task) =>
          task.attempt < 5
            ? Effect.fail(new JobError.ExecutorLost({ executor }))
            : task.run({ info: info(executor), services: () => Effect.die("none") }),
        maxAttempts: 1
      })
      const second = yield* Effect.provideService(Scheduler.make, Executor.Executor, lossy)
      yield* second.run<void, never, never>({
        jobId: "job",
        stage: 0,
        tasks: [{ partition: 0, hosts: [] }],
        run: (_, attempt) => Effect.sync(() => attempts.push(attempt)),
        onResult: () => Effect.void
      })
      assert.deepStrictEqual(attempts, [0, 5])
    })
  )

  it.effect("a failing onResult fails the set and interrupts the rest", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler.Scheduler
      let interrupted = 0
      const error = yield* Effect.flip(
        scheduler.run<number, string, never>({
          jobId: "job",
          stage: 0,
          tasks: [0, 1, 2].map((partition) => ({ partition, hosts: [] })),
          run: (partition) =>
            partition === 0
              ? Effect.andThen(settle, Effect.succeed(0))
              : Effect.ensuring(
                  Effect.never,
                  Effect.sync(() => interrupted++)
                ),
          onResult: () => Effect.fail("too much")
        })
      )
      assert.strictEqual(error, "too much")
      assert.strictEqual(interrupted, 2)
    }).pipe(Effect.provide(Scheduler.layer.pipe(Layer.provide(Executor.layerLocal({ executors: [{ slots: 3 }] })))))
  )
})
