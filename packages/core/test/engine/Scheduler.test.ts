import { Executor, JobError } from "@sluice/core"
import * as Scheduler from "@sluice/core/Scheduler"
import { assert, describe, it } from "@effect/vitest"
import * as Task from "@sluice/core/Task"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { makeMetrics } from "../../src/task/internal/metrics.ts"
import type { TaskResult } from "../../src/task/internal/run.ts"

/** The result of a task that yields a value and has read nothing. */
const resultOf = (value: unknown): TaskResult => ({
  value,
  metrics: makeMetrics(),
  additions: new Map(),
  account: { in: 0, source: 0, out: 0, filtered: 0, setAside: 0, cut: 0, reads: [] },
  letters: undefined
})

const info = (id: string, host = id, slots = 1) => ({ id, host, slots })

/** Executors that a test adds and removes; a removed one fails its tasks when the test says so. */
const changing = (maxAttempts: number) =>
  Effect.gen(function* () {
    const changes = yield* Queue.unbounded<Executor.Change>()
    const environment = (id: string): Executor.Environment => ({ info: info(id), services: () => Effect.die("none") })
    const runs = new Map<string, Executor.Perform>()
    const executor = Executor.Executor.of({
      changes: Stream.fromQueue(changes),
      open: (run, perform) => Effect.sync(() => void runs.set(run, perform)),
      release: (run) => Effect.sync(() => void runs.delete(run)),
      run: (id, task) => runs.get(task.run)?.(task, environment(id)) ?? assert.fail("the run is not open"),
      maxAttempts
    })
    return { changes, scheduler: yield* Effect.provideService(Scheduler.make, Executor.Executor, executor) }
  })

const settle = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

describe("Scheduler", () => {
  it.live("hands a task out as data: it survives JSON, and is numbered from the set's first attempt", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler.Scheduler
      const tasks: Array<Task.Task> = []
      yield* scheduler.open("job", (task) =>
        Effect.sync(() => {
          tasks.push(task)
          return resultOf(undefined)
        })
      )
      const seen: Array<readonly [number, number]> = []
      yield* scheduler.run({
        run: "job",
        stage: 3,
        firstAttempt: 8,
        tasks: [{ partition: 5, hosts: [] }],
        onResult: (partition, _, attempt) => Effect.sync(() => void seen.push([partition, attempt]))
      })
      assert.deepStrictEqual(seen, [[5, 8]])
      const json = Schema.fromJsonString(Task.Task)
      const again = yield* Effect.forEach(tasks, (task) =>
        Effect.flatMap(Schema.encodeEffect(json)(task), Schema.decodeEffect(json))
      )
      assert.deepStrictEqual(again, [{ run: "job", stage: 3, partition: 5, attempt: 8, locality: "any" }])
      yield* scheduler.release("job")
      const closed = yield* Effect.exit(
        scheduler.run({ run: "job", stage: 3, tasks: [{ partition: 5, hosts: [] }], onResult: () => Effect.void })
      )
      assert.isTrue(Exit.isFailure(closed) && Cause.hasDies(closed.cause))
    }).pipe(Effect.provide(Scheduler.layer.pipe(Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })))))
  )

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
      yield* scheduler.open("job", ({ locality, partition }, { info }) =>
        Effect.suspend(() => {
          ran.push([partition, info.id, locality])
          return Effect.as(Deferred.await(gate), resultOf(undefined))
        })
      )
      const fiber = yield* Effect.forkChild(
        scheduler.run({
          run: "job",
          stage: 0,
          tasks: [
            { partition: 0, hosts: ["a"] },
            { partition: 1, hosts: ["a"] }
          ],
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

  it.effect("hands over one result per task, although the executor that was given up answers late", () =>
    Effect.gen(function* () {
      const { changes, scheduler } = yield* changing(1)
      const results: Array<readonly [number, unknown]> = []
      const gates = [yield* Deferred.make<string>(), yield* Deferred.make<string>()]
      yield* Queue.offer(changes, { _tag: "Joined", info: info("a") })
      yield* settle
      yield* scheduler.open("job", ({ attempt }) =>
        Effect.map(Deferred.await(gates[attempt] ?? assert.fail("a third attempt")), resultOf)
      )
      const fiber = yield* Effect.forkChild(
        scheduler.run({
          run: "job",
          stage: 0,
          tasks: [{ partition: 7, hosts: [] }],
          onResult: (partition, { value }) => Effect.sync(() => void results.push([partition, value]))
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

  it.effect("a lost executor does not count as a failure of the task", () =>
    Effect.gen(function* () {
      const { changes, scheduler } = yield* changing(1)
      yield* Queue.offer(changes, { _tag: "Joined", info: info("a") })
      const attempts: Array<number> = []
      const perform: Executor.Perform = ({ attempt }) =>
        Effect.sync(() => {
          attempts.push(attempt)
          return resultOf(undefined)
        })
      const set: Scheduler.TaskSet = {
        run: "job",
        stage: 0,
        tasks: [{ partition: 0, hosts: [] }],
        onResult: () => Effect.void
      }
      yield* scheduler.open("job", perform)
      yield* scheduler.run(set)
      assert.deepStrictEqual(attempts, [0])
      const lossy = Executor.Executor.of({
        open: () => Effect.void,
        release: () => Effect.void,
        changes: Stream.concat(Stream.make<Array<Executor.Change>>({ _tag: "Joined", info: info("a") }), Stream.never),
        run: (executor, task) =>
          task.attempt < 5
            ? Effect.fail(new JobError.ExecutorLost({ executor }))
            : perform(task, { info: info(executor), services: () => Effect.die("none") }),
        maxAttempts: 1
      })
      const second = yield* Effect.provideService(Scheduler.make, Executor.Executor, lossy)
      yield* second.run(set)
      assert.deepStrictEqual(attempts, [0, 5])
    })
  )

  it.effect("a failing onResult fails the set and interrupts the rest", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler.Scheduler
      let interrupted = 0
      yield* scheduler.open("job", ({ partition }) =>
        partition === 0
          ? Effect.as(settle, resultOf(0))
          : Effect.ensuring(
              Effect.never,
              Effect.sync(() => interrupted++)
            )
      )
      const tooMuch = { _tag: "Failed", error: "too much" } as const
      const error = yield* Effect.flip(
        scheduler.run({
          run: "job",
          stage: 0,
          tasks: [0, 1, 2].map((partition) => ({ partition, hosts: [] })),
          onResult: () => Effect.fail(tooMuch)
        })
      )
      assert.strictEqual(error, tooMuch)
      assert.strictEqual(interrupted, 2)
    }).pipe(Effect.provide(Scheduler.layer.pipe(Layer.provide(Executor.layerLocal({ executors: [{ slots: 3 }] })))))
  )
})
