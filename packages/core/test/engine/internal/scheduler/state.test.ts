import { assert, describe } from "@effect/vitest"
import * as State from "../../../../src/engine/internal/scheduler/state.ts"
import { idleTests } from "../../../support/idle.ts"

type Launch = Extract<State.Command, { _tag: "Launch" }>

const launches = (commands: ReadonlyArray<State.Command>): ReadonlyArray<Launch> =>
  commands.filter((command) => command._tag === "Launch")

const placed = (commands: ReadonlyArray<State.Command>) =>
  launches(commands).map(({ executor, locality, task }) => [task, executor, locality])

/** A state and steps on it at a time the test sets. */
const start = (localityWaitMillis = 3000) => {
  const state = State.make({ localityWaitMillis })
  let now = 0
  return {
    state,
    at: (millis: number) => {
      now = millis
    },
    step: (event: State.Event) => State.step(state, event, now),
    later: (millis: number) => {
      now += millis
    }
  }
}

/** Lets every attempt that runs succeed, until all sets have ended. Whether nothing is left then. */
const finish = ({ later, state, step }: ReturnType<typeof start>): boolean => {
  if (state.executors.size === 0) step(join("last"))
  while (state.sets.size > 0) {
    const running = Array.from(state.sets.values()).flatMap(({ id, running }) =>
      Array.from(running.values(), ({ attempt, task }) => succeeded(id, task.index, attempt))
    )
    later(state.localityWaitMillis)
    if (running.length === 0 && !step({ _tag: "Tick" }).some(({ _tag }) => _tag === "Launch")) return false
    for (const event of running) step(event)
  }
  return State.isIdle(state)
}

const test = idleTests(start, finish)

const join = (id: string, host = id, slots = 1): State.Event => ({ _tag: "Joined", id, host, slots })

const submit = (set: number, hosts: ReadonlyArray<ReadonlyArray<string>>, maxAttempts = 1): State.Event => ({
  _tag: "Submitted",
  set,
  maxAttempts,
  hosts
})

const anywhere = (tasks: number) => Array.from({ length: tasks }, (): ReadonlyArray<string> => [])

const succeeded = (set: number, task: number, attempt = 0): State.Event => ({ _tag: "Succeeded", set, task, attempt })

const failed = (set: number, task: number, attempt = 0, counts = true): State.Event => ({
  _tag: "Failed",
  set,
  task,
  attempt,
  counts
})

describe("scheduler state", () => {
  test("completes a set without tasks at once", (start) => {
    const { state, step } = start()
    assert.deepStrictEqual(step(submit(0, [])), [{ _tag: "Completed", set: 0 }])
    assert.isTrue(State.isIdle(state))
  })

  test("launches nothing before an executor joins, then as many as there are slots", (start) => {
    const { state, step } = start()
    assert.deepStrictEqual(step(submit(0, anywhere(3))), [])
    assert.deepStrictEqual(placed(step(join("a", "a", 2))), [
      [0, "a", "any"],
      [1, "a", "any"]
    ])
    assert.deepStrictEqual(placed(step(succeeded(0, 0))), [[2, "a", "any"]])
    assert.deepStrictEqual(step(succeeded(0, 1)), [])
    assert.deepStrictEqual(step(succeeded(0, 2)), [{ _tag: "Completed", set: 0 }])
    assert.isTrue(State.isIdle(state))
  })

  test("spreads a small set over the executors", (start) => {
    const { step } = start()
    step(join("a", "a", 4))
    step(join("b", "b", 4))
    assert.sameMembers(
      launches(step(submit(0, anywhere(2)))).map((launch) => launch.executor),
      ["a", "b"]
    )
  })

  test("runs sets first in, first out", (start) => {
    const { step } = start()
    step(join("a", "a", 1))
    step(submit(0, anywhere(2)))
    assert.deepStrictEqual(step(submit(1, anywhere(1))), [])
    assert.deepStrictEqual(
      launches(step(succeeded(0, 0))).map((launch) => launch.set),
      [0]
    )
    assert.deepStrictEqual(
      launches(step(succeeded(0, 1))).map((launch) => launch.set),
      [1]
    )
  })

  test("lets a later set use the slots an earlier one leaves", (start) => {
    const { step } = start()
    step(join("a", "a", 3))
    step(submit(0, anywhere(2)))
    assert.deepStrictEqual(
      launches(step(submit(1, anywhere(2)))).map((launch) => launch.set),
      [1]
    )
  })

  test("basic delay scheduling: a slot waits for the host that has the data (TaskSetManagerSuite: basic delay scheduling)", (start) => {
    const { at, step } = start()
    step(join("a"))
    step(join("b"))
    const commands = step(submit(0, [["a"], ["a"]]))
    assert.deepStrictEqual(placed(commands), [[0, "a", "node"]])
    assert.deepStrictEqual(commands.at(-1), { _tag: "WakeAt", millis: 3000 })
    at(2999)
    assert.deepStrictEqual(placed(step({ _tag: "Tick" })), [])
    at(3000)
    assert.deepStrictEqual(placed(step({ _tag: "Tick" })), [[1, "b", "any"]])
  })

  test("a launch on a preferred host starts the wait again (TaskSetManagerSuite: delay scheduling with fallback)", (start) => {
    const { at, step } = start()
    step(join("a"))
    step(join("b"))
    step(submit(0, [["a"], ["a"], ["a"]]))
    at(2000)
    assert.deepStrictEqual(placed(step(succeeded(0, 0))), [[1, "a", "node"]])
    at(4000)
    const commands = step({ _tag: "Tick" })
    assert.deepStrictEqual(placed(commands), [])
    assert.deepStrictEqual(commands, [{ _tag: "WakeAt", millis: 5000 }])
    at(5000)
    assert.deepStrictEqual(placed(step({ _tag: "Tick" })), [[2, "b", "any"]])
  })

  test("takes tasks without a preference while others wait (TaskSetManagerSuite: delay scheduling with fallback)", (start) => {
    const { step } = start()
    step(join("a"))
    step(join("b"))
    assert.deepStrictEqual(placed(step(submit(0, [["a"], ["a"], []]))), [
      [0, "a", "node"],
      [2, "b", "any"]
    ])
  })

  test("does not wait for a host without an executor (TaskSetManagerSuite: delay scheduling with failed hosts)", (start) => {
    const { step } = start()
    step(join("a"))
    assert.deepStrictEqual(placed(step(submit(0, [["gone"], ["gone"]]))), [[0, "a", "any"]])
    const late = start()
    late.step(join("a"))
    late.step(join("b"))
    late.step(submit(0, [["a"], ["a"]]))
    // The one task that waits, and the one that was lost, go to the host that is left.
    assert.deepStrictEqual(
      placed(late.step({ _tag: "Left", id: "a" })).map(([, executor]) => executor),
      ["b"]
    )
  })

  test("uses a host that joins later (TaskSetManagerSuite: new executors get added and lost)", (start) => {
    const { step } = start()
    step(submit(0, [["a"], ["b"]]))
    assert.deepStrictEqual(placed(step(join("b"))), [[1, "b", "node"]])
    assert.deepStrictEqual(placed(step(join("a"))), [[0, "a", "node"]])
  })

  test("prefers any of a task's hosts and runs it once", (start) => {
    const { state, step } = start()
    step(join("a"))
    step(join("b"))
    assert.deepStrictEqual(placed(step(submit(0, [["b", "a"]]))).length, 1)
    assert.deepStrictEqual(step(succeeded(0, 0)), [{ _tag: "Completed", set: 0 }])
    assert.isTrue(State.isIdle(state))
  })

  test("retries with the next attempt number and aborts at the last (TaskSetManagerSuite: repeated failures lead to task set abortion)", (start) => {
    const { state, step } = start()
    step(join("a"))
    step(submit(0, anywhere(2), 4))
    for (let attempt = 0; attempt < 3; attempt++) {
      const next = launches(step(failed(0, 0, attempt)))
      assert.strictEqual(next.length, 1)
      // The other task had the slot in between.
      if (next[0]?.task === 1) step(succeeded(0, 1))
    }
    assert.deepStrictEqual(step(failed(0, 0, 3)), [{ _tag: "Aborted", set: 0, task: 0 }])
    assert.isTrue(State.isIdle(state))
  })

  test("a lost executor's tasks run elsewhere and do not count as failures (TaskSetManagerSuite: do not emit warning when ShuffleMapTask is killed by a lost executor)", (start) => {
    const { state, step } = start()
    step(join("a"))
    step(submit(0, anywhere(1), 1))
    for (let attempt = 0; attempt < 10; attempt++) {
      assert.deepStrictEqual(launches(step({ _tag: "Left", id: "a" })), [])
      assert.deepStrictEqual(
        launches(step(join("a"))).map((launch) => launch.attempt),
        [attempt + 1]
      )
      assert.deepStrictEqual(step(failed(0, 0, attempt)), [], "a late failure")
    }
    assert.deepStrictEqual(step(succeeded(0, 0, 10)), [{ _tag: "Completed", set: 0 }])
    assert.isTrue(State.isIdle(state))
  })

  test("a task that failed goes behind those that wait", (start) => {
    const { step } = start()
    step(join("a"))
    step(submit(0, anywhere(3), 2))
    const order = [failed(0, 0), succeeded(0, 1), succeeded(0, 2)].map((event) => placed(step(event)))
    assert.deepStrictEqual(order, [[[1, "a", "any"]], [[2, "a", "any"]], [[0, "a", "any"]]])
  })

  test("a failure that does not count is tried again without limit", (start) => {
    const { step } = start()
    step(join("a"))
    step(submit(0, anywhere(1), 1))
    for (let attempt = 0; attempt < 10; attempt++) {
      assert.deepStrictEqual(
        launches(step(failed(0, 0, attempt, false))).map((launch) => launch.attempt),
        [attempt + 1]
      )
    }
  })

  test("ignores the late result of an attempt whose executor left and came back", (start) => {
    const { state, step } = start()
    step(join("a"))
    step(submit(0, anywhere(1)))
    step({ _tag: "Left", id: "a" })
    step(join("a"))
    assert.deepStrictEqual(step(succeeded(0, 0, 0)), [])
    assert.strictEqual(state.executors.get("a")?.free, 0)
    assert.deepStrictEqual(step(succeeded(0, 0, 1)), [{ _tag: "Completed", set: 0 }])
    assert.isTrue(State.isIdle(state))
  })

  test("an executor that joins again without having left has lost its tasks", (start) => {
    const { state, step } = start()
    step(join("a", "a", 2))
    step(submit(0, anywhere(2)))
    assert.deepStrictEqual(
      launches(step(join("a", "a", 2))).map((launch) => launch.attempt),
      [1, 1]
    )
    assert.strictEqual(state.executors.get("a")?.free, 0)
  })

  test("a cancelled set launches nothing and gives back its slots as its attempts end", (start) => {
    const { state, step } = start()
    step(join("a", "a", 2))
    step(submit(0, anywhere(5)))
    assert.deepStrictEqual(step({ _tag: "Cancelled", set: 0 }), [])
    assert.deepStrictEqual(step(submit(1, anywhere(1))), [])
    assert.deepStrictEqual(
      launches(step(failed(0, 0))).map((launch) => launch.set),
      [1]
    )
    assert.deepStrictEqual(step(succeeded(0, 1)), [])
    assert.strictEqual(state.sets.size, 1)
    step(succeeded(1, 0))
    assert.isTrue(State.isIdle(state))
  })

  test("an ended set gives back the slots of attempts that never said so", (start) => {
    const { state, step } = start()
    step(join("a", "a", 2))
    step(submit(0, anywhere(5)))
    step({ _tag: "Cancelled", set: 0 })
    step({ _tag: "Ended", set: 0 })
    assert.isTrue(State.isIdle(state))
    assert.deepStrictEqual(step(succeeded(0, 1)), [])
    assert.isTrue(State.isIdle(state))
  })

  test("an aborted set keeps the slots of the attempts that still end", (start) => {
    const { state, step } = start()
    step(join("a", "a", 2))
    step(submit(0, anywhere(3)))
    assert.deepStrictEqual(step(failed(0, 0)), [{ _tag: "Aborted", set: 0, task: 0 }])
    assert.strictEqual(state.executors.get("a")?.free, 1)
    step(failed(0, 1))
    assert.isTrue(State.isIdle(state))
  })

  test("1,000 executors, 100,000 tasks, failures and leaves: every task is done exactly once and no slot is used twice", (start) => {
    let seed = 20261122
    const random = (n: number): number => {
      seed = (Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
      return ((seed ^ (seed >>> 13)) >>> 0) % n
    }
    const executors = 1000
    const tasks = 100_000
    const slots = 4
    const { later, state, step: next } = start()
    const done = new Uint8Array(tasks)
    const attempts = new Uint8Array(tasks)
    let completed = 0
    let running: Array<Launch & { generation: number }> = []
    const generation = new Array<number>(executors).fill(0)
    const load = new Array<number>(executors).fill(0)
    const step = (event: State.Event) => {
      for (const command of next(event)) {
        switch (command._tag) {
          case "Launch": {
            const executor = Number(command.executor)
            assert.strictEqual(command.attempt, attempts[command.task]!)
            attempts[command.task]!++
            if (++load[executor]! > slots) assert.fail(`executor ${executor} has ${load[executor]} attempts`)
            running.push({ ...command, generation: generation[executor]! })
            break
          }
          case "Completed":
            completed++
            break
          case "Aborted":
            return assert.fail(`task ${command.task} aborted`)
          case "WakeAt":
            break
        }
      }
    }
    for (let id = 0; id < executors; id++) step({ _tag: "Joined", id: `${id}`, host: `host${id % 250}`, slots })
    step({
      _tag: "Submitted",
      set: 0,
      maxAttempts: 100,
      hosts: Array.from({ length: tasks }, (_, task) =>
        task % 3 === 0 ? [] : [`host${random(250)}`, `host${random(300)}`]
      )
    })
    let leaves = 0
    let failures = 0
    while (completed === 0) {
      if (running.length === 0) {
        later(3000)
        step({ _tag: "Tick" })
        continue
      }
      later(1)
      const index = random(running.length)
      const attempt = running[index]!
      running[index] = running.at(-1)!
      running.pop()
      const executor = Number(attempt.executor)
      const current = attempt.generation === generation[executor]
      if (current) load[executor]!--
      const event = { set: 0, task: attempt.task, attempt: attempt.attempt }
      const dice = random(1000)
      if (dice < 20) {
        failures++
        step({ _tag: "Failed", ...event, counts: true })
      } else {
        if (current) {
          assert.strictEqual(done[attempt.task], 0)
          done[attempt.task] = 1
        }
        step({ _tag: "Succeeded", ...event })
      }
      if (dice === 999) {
        leaves++
        const id = random(executors)
        generation[id]!++
        load[id] = 0
        step({ _tag: "Left", id: `${id}` })
        step({ _tag: "Joined", id: `${id}`, host: `host${id % 250}`, slots })
      }
    }
    assert.isTrue(done.every((n) => n === 1))
    assert.strictEqual(completed, 1)
    assert.isAbove(leaves, 50)
    assert.isAbove(failures, 1000)
    // The attempts still out are on lost executors: nobody waits for them.
    for (const attempt of running) step({ _tag: "Succeeded", set: 0, task: attempt.task, attempt: attempt.attempt })
    assert.isTrue(State.isIdle(state))
  }, 10_000)
})
