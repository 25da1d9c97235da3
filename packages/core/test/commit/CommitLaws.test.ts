import { type Commit, Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import {
  engineOn,
  type Hook,
  hooked,
  jobsIn,
  mounted,
  passTime,
  reasonOf,
  stepwise,
  write
} from "../support/commits.ts"

const modes = ["error-if-exists", "overwrite", "append"] as const

const output = "memory:///d/out"

/** Whether an operation is what decides a commit. */
const isCommit = (operation: string): boolean =>
  /^rename \S+\/commit\/(?:out \S+\/out|_manifest \S+\/_SUCCESS)$/.test(operation)

/** The output after these jobs have committed in this order. */
const after = (order: ReadonlyArray<readonly [name: string, mode: Commit.WriteMode]>): ReadonlyArray<string> =>
  order
    .slice(
      Math.max(
        0,
        order.findLastIndex(([, mode]) => mode !== "append")
      )
    )
    .map(([name]) => name)

/** Nothing but the output is left in the folder, and no job's files in the output. */
const onlyOutput = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  for (const path of ["memory:///d/_sluice", `${output}/_sluice`]) {
    assert.strictEqual((yield* Effect.result(storage.stat(path)))._tag, "Failure", path)
  }
})

describe("appends and overwrites at once", () => {
  it.effect("lose nothing, double nothing, in any mix and any order", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              mode: fc.constantFrom(...modes),
              whenLeased: fc.constantFrom("refuse" as const, "wait" as const, undefined),
              start: fc.integer({ min: 0, max: 300 })
            }),
            { minLength: 2, maxLength: 5 }
          ),
          fc.boolean(),
          fc.boolean(),
          fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 20, maxLength: 20 }),
          (jobs, isMounted, isStepwise, pauses) =>
            Effect.runPromise(
              Effect.gen(function* () {
                const inner = yield* Storage.makeMemory
                const own = isMounted ? mounted(inner, output) : inner
                if (isMounted) yield* inner.mkdirs(output)
                let operations = 0
                const order: Array<readonly [string, Commit.WriteMode]> = []
                const succeeded: Array<string> = []
                let ended = 0
                const one = Effect.fnUntraced(
                  function* (index: number) {
                    const job = jobs[index]
                    if (job === undefined) return
                    const { mode, start, whenLeased } = job
                    const hook: Hook = (operation, run) =>
                      Effect.suspend(() => Effect.delay(run, pauses[operations++ % pauses.length] ?? 0)).pipe(
                        Effect.tap(() => Effect.sync(() => isCommit(operation) && order.push([`j${index}`, mode])))
                      )
                    const engine = yield* engineOn(isStepwise ? stepwise(hooked(own, hook)) : hooked(own, hook))
                    yield* Effect.sleep(start)
                    const result = yield* Effect.result(
                      Effect.provide(write(output, `j${index}`, { mode, whenLeased }), engine)
                    )
                    if (result._tag === "Success") {
                      succeeded.push(`j${index}`)
                    } else {
                      const expected = mode === "error-if-exists" ? ["OutputExists", "OutputLeased"] : ["OutputLeased"]
                      assert.include(expected, reasonOf(result.failure))
                      // A job that waits ten minutes for jobs of seconds is not refused.
                      if ((whenLeased ?? (mode === "append" ? "wait" : "refuse")) === "wait") {
                        assert.strictEqual(reasonOf(result.failure), "OutputExists")
                      }
                    }
                  },
                  Effect.ensuring(Effect.sync(() => ended++))
                )
                const fibers = yield* Effect.forEach(jobs, (_, index) => Effect.forkChild(Effect.scoped(one(index))))
                yield* passTime(() => ended === jobs.length)
                yield* Effect.forEach(fibers, Fiber.join)
                const engine = yield* engineOn(inner)
                assert.isAbove(order.length, 0)
                assert.deepStrictEqual(succeeded.toSorted(), order.map(([name]) => name).toSorted())
                assert.deepStrictEqual(yield* Effect.provide(jobsIn(output, true), engine), after(order))
                yield* Effect.provide(onlyOutput, engine)
              }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
            )
        ),
        { numRuns: 40, seed: 20261124 }
      )
    )
  )
})

/** Stands still before one of its operations, of those that count, until it is let go. */
const standing = Effect.fnUntraced(function* (at: number, counts: (before: string) => boolean = () => true) {
  const reached = yield* Deferred.make<void>()
  const go = yield* Deferred.make<void>()
  let counted = 0
  let before = ""
  const hook: Hook = (operation, run) =>
    Effect.suspend(() => {
      const isNow = counts(before) && counted++ === at
      before = operation
      if (!isNow) return run
      return Deferred.succeed(reached, undefined).pipe(Effect.andThen(Deferred.await(go)), Effect.andThen(run))
    })
  return { hook, reached: Deferred.await(reached), go: Deferred.succeed(go, undefined) }
})

// Two outputs that a mode can meet: none, or one with rows. A mount point is written in place.
const cases = modes.flatMap((mode) =>
  [false, true].flatMap((isMounted) =>
    (mode === "error-if-exists" ? [false] : [false, true]).map((isThere) => ({ mode, isMounted, isThere }))
  )
)

const nameOf = ({ isMounted, isThere, mode }: (typeof cases)[number]) =>
  `${mode}${isMounted ? " of a mount point" : ""}${isThere ? " that has rows" : ""}`

/** A new memory storage with the output of a case as it is before the job, and an engine without faults. */
const before = Effect.fnUntraced(function* ({ isMounted, isThere }: (typeof cases)[number]) {
  const inner = yield* Storage.makeMemory
  const own = isMounted ? mounted(inner, output) : inner
  if (isMounted) yield* inner.mkdirs(output)
  const calm = yield* engineOn(own)
  if (isThere) yield* Effect.provide(write(output, "old", { mode: "append" }), calm)
  return { own, calm, old: isThere ? ["old"] : [] }
})

const jobsThere = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  if ((yield* Effect.result(storage.stat(`${output}/_SUCCESS`)))._tag === "Failure") return []
  return yield* jobsIn(output, false)
})

// Every fifth moment of each case, another fifth in the next; all of them with `SLUICE_KILLS`.
const stride = process.env["SLUICE_KILLS"] === undefined ? 5 : 1

/** The state in the middle of a rename, when a file has both names. A directory has one name at a time. */
const linkInstead = Effect.fnUntraced(function* (storage: Storage.Backend, operation: string) {
  const [, from = "", to = ""] = operation.split(" ")
  const { length } = yield* storage.stat(from)
  const bytes = yield* storage.readRange(from, 0, length)
  yield* storage.write(to, Stream.succeed(bytes), { overwrite: to.endsWith("/_SUCCESS") })
})

describe("a process that dies", () => {
  let first = 0
  for (const item of cases) {
    it.effect(
      `${nameOf(item)}: before any operation, or after the last, leaves all or nothing, and the next run goes on from there`,
      Effect.fnUntraced(function* () {
        let moments = 0
        // Once more in the middle of each rename that takes two steps, as for a file on a disk.
        let half = false
        for (let at = (first += 1) % stride, isOver = false; !isOver; at += half ? 0 : stride) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { calm, old, own } = yield* before(item)
              let operations = 0
              let committed = false
              let isRename = false
              const hook: Hook = (operation, run) =>
                Effect.suspend(() => {
                  const now = operations++
                  const dead = Effect.die("the process is dead")
                  if (now > at) return dead
                  if (now === at) {
                    isRename = operation.startsWith("rename ")
                    const middle = linkInstead(own, operation).pipe(
                      Effect.tap(() => Effect.sync(() => (committed ||= isCommit(operation)))),
                      Effect.ignore
                    )
                    return half ? Effect.andThen(middle, dead) : dead
                  }
                  return Effect.tap(run, () =>
                    Effect.sync(() => {
                      committed ||= isCommit(operation)
                    })
                  )
                })
              const engine = yield* engineOn(hooked(own, hook))
              const exit = yield* Effect.exit(Effect.provide(write(output, "new", { mode: item.mode }), engine))
              isOver = Exit.isSuccess(exit) && operations <= at
              if (!isOver) moments++
              // A reader that uses the manifest, before anybody has cleaned up.
              const whole = after([...old.map((name) => [name, "append"] as const), ["new", item.mode]])
              const seen = yield* Effect.provide(jobsThere, calm)
              if (committed) assert.deepStrictEqual(seen, whole, `operation ${at}`)
              else if (seen.length > 0) assert.deepStrictEqual(seen, old, `operation ${at}`)
              // The next run, at once, of the same job.
              const again = yield* Effect.result(Effect.provide(write(output, "new2", { mode: item.mode }), calm))
              const there = committed ? whole : old
              if (item.mode === "error-if-exists" && there.length > 0) {
                assert.strictEqual(again._tag === "Failure" ? reasonOf(again.failure) : "", "OutputExists")
              } else {
                assert.strictEqual(again._tag, "Success", `operation ${at}`)
                const order = [...there.map((name) => [name, "append"] as const), ["new2", item.mode] as const]
                assert.deepStrictEqual(yield* Effect.provide(jobsIn(output, true), calm), after(order))
              }
              yield* Effect.provide(onlyOutput, calm)
              half = isRename && !half
            })
          )
        }
        assert.isAbove(moments, 20 / stride)
      })
    )
  }
})

describe("a process that sleeps too long", () => {
  let first = 0
  for (const item of cases) {
    for (const mode of ["overwrite", "append"] as const) {
      it.effect(
        `${nameOf(item)}: before an operation, while another does ${mode}: nothing of either is lost, and it knows what became of it`,
        Effect.fnUntraced(function* () {
          const fates = new Map<string, number>()
          for (let at = (first += 1) % stride, isOver = false; !isOver; at += stride) {
            yield* Effect.scoped(
              Effect.gen(function* () {
                const { calm, old, own } = yield* before(item)
                let operations = 0
                const asleep = yield* Deferred.make<void>()
                const awake = yield* Deferred.make<void>()
                // All of the process sleeps: the fiber that renews the lease too.
                const hook: Hook = (_, run) =>
                  Effect.suspend(() => {
                    if (operations++ < at) return run
                    return Effect.andThen(
                      Effect.andThen(Deferred.succeed(asleep, undefined), Deferred.await(awake)),
                      run
                    )
                  })
                const engine = yield* engineOn(hooked(own, hook))
                const sleeper = yield* Effect.forkChild(
                  Effect.exit(Effect.provide(write(output, "a", { mode: item.mode }), engine))
                )
                yield* Effect.raceFirst(Deferred.await(asleep), Fiber.await(sleeper))
                isOver = sleeper.pollUnsafe() !== undefined
                yield* TestClock.adjust(61_000)
                let isDone = false
                const other = yield* Effect.forkChild(
                  Effect.ensuring(
                    Effect.provide(write(output, "b", { mode }), calm),
                    Effect.sync(() => (isDone = true))
                  )
                )
                yield* passTime(() => isDone)
                yield* Fiber.join(other)
                yield* Deferred.succeed(awake, undefined)
                yield* passTime(() => sleeper.pollUnsafe() !== undefined, 1000)
                const exit = yield* Fiber.join(sleeper)
                const fate = Exit.isSuccess(exit) ? "success" : reasonOf(yield* Effect.flip(exit))
                fates.set(fate, (fates.get(fate) ?? 0) + 1)
                const first = old.map((name) => [name, "append"] as const)
                const possible =
                  fate === "success"
                    ? [
                        after([...first, ["a", item.mode], ["b", mode]]),
                        ...(item.mode === "error-if-exists" ? [] : [after([...first, ["b", mode], ["a", item.mode]])])
                      ]
                    : [after([...first, ["b", mode]])]
                const there = yield* Effect.provide(jobsIn(output, true), calm)
                assert.deepInclude(possible, there, `operation ${at}: ${fate}`)
                yield* Effect.provide(onlyOutput, calm)
              })
            )
          }
          assert.includeMembers(["success", "LeaseLost", "OutputExists", "OutputLeased"], [...fates.keys()])
          assert.isAbove(fates.get("LeaseLost") ?? 0, 10 / stride)
        })
      )
    }
  }
})

// Some minutes of it, with `SLUICE_KILLS=100`.
const isLong = Number(process.env["SLUICE_KILLS"] ?? 0) >= 100

// After what another sees of a job: any of its changes, or the renames alone.
const changes = (before: string) => (isLong ? !/^(?:list|stat|read)/.test(before) : before.startsWith("rename "))

describe("two processes at once", () => {
  for (const item of cases) {
    for (const mode of modes) {
      it.effect(
        `${nameOf(item)}: stands before any operation while one that does ${mode} goes to any of its own: one of the two orders, or a refusal`,
        Effect.fnUntraced(function* () {
          const fates = new Set<string>()
          // The operation the first stands before, and the one the second has come to when the first goes on.
          // Before it has the lease it only looks, at what others may be changing: every operation there, then some of the others.
          for (let at = 0, isOver = false; !isOver; at += isLong || at < 6 ? 1 : 5) {
            for (let until = 0, isEnd = false; !isEnd && !isOver; until++) {
              yield* Effect.scoped(
                Effect.gen(function* () {
                  const { calm, old, own } = yield* before(item)
                  const gates = [yield* standing(at), yield* standing(until, changes)] as const
                  const order: Array<readonly [string, Commit.WriteMode]> = old.map((name) => [name, "append"])
                  const begin = Effect.fnUntraced(function* (name: string, mode: Commit.WriteMode, hook: Hook) {
                    const engine = yield* engineOn(
                      hooked(own, (operation, run) =>
                        Effect.tap(hook(operation, run), () =>
                          Effect.sync(() => isCommit(operation) && order.push([name, mode]))
                        )
                      )
                    )
                    const run = Effect.provide(write(output, name, { mode, whenLeased: "refuse" }), engine)
                    return yield* Effect.forkChild(Effect.result(run))
                  })
                  const a = yield* begin("a", item.mode, gates[0].hook)
                  yield* Effect.raceFirst(gates[0].reached, Fiber.await(a))
                  isOver = a.pollUnsafe() !== undefined
                  const b = yield* begin("b", mode, gates[1].hook)
                  yield* Effect.raceFirst(gates[1].reached, Fiber.await(b))
                  isEnd = b.pollUnsafe() !== undefined
                  yield* gates[0].go
                  yield* passTime(() => a.pollUnsafe() !== undefined)
                  yield* gates[1].go
                  yield* passTime(() => b.pollUnsafe() !== undefined)
                  const moment = `operation ${at}, operation ${until} of the other`
                  for (const [name, its, fiber] of [
                    ["a", item.mode, a],
                    ["b", mode, b]
                  ] as const) {
                    const result = yield* Fiber.join(fiber)
                    const fate = result._tag === "Success" ? "done" : reasonOf(result.failure)
                    fates.add(fate)
                    assert.include(
                      ["done", "OutputLeased", ...(its === "error-if-exists" ? ["OutputExists"] : [])],
                      fate,
                      moment
                    )
                    assert.strictEqual(order.filter(([job]) => job === name).length, fate === "done" ? 1 : 0, moment)
                  }
                  const there = yield* Effect.provide(jobsThere, calm)
                  assert.deepStrictEqual(there, after(order), moment)
                  yield* Effect.provide(onlyOutput, calm)
                })
              )
            }
          }
          assert.isTrue(fates.has("done") && fates.has("OutputLeased"), [...fates].join())
        })
      )
    }
  }
})
