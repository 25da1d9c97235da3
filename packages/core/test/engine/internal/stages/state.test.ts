import { assert, describe } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as fc from "fast-check"
import * as State from "../../../../src/engine/internal/stages/state.ts"
import type { Kept, Partition, Stage, StageGraph } from "../../../../src/plan/Stage.ts"
import type { MapStatus } from "../../../../src/shuffle/Shuffle.ts"
import { ShuffleFailed } from "../../../../src/task/JobError.ts"
import type { TaskFailure } from "../../../../src/task/internal/run.ts"
import {
  combineMaps,
  isMapOutput,
  type MapOutput,
  type StageValue,
  writtenBytes
} from "../../../../src/task/internal/values.ts"
import { idleTests } from "../../../support/idle.ts"

const partition: Partition = { split: undefined, rows: undefined, bytes: 0, hosts: [], read: () => Stream.empty }
const partitions = (n: number): ReadonlyArray<Partition> => Array.from({ length: n }, () => partition)

/** A stage that writes a shuffle. */
const maps = (id: number, tasks: number, parents: ReadonlyArray<number> = [], more: Partial<Stage> = {}): Stage => ({
  id,
  parents,
  kept: [],
  shuffles: true,
  asLines: false,
  why: "",
  partitions: partitions(tasks),
  adapt: undefined,
  steps: [`  step of ${id}`],
  work: { task: () => Effect.void, combine: (results) => combineMaps(results.filter(isMapOutput)) },
  ...more
})

const result = (id: number, tasks: number, parents: ReadonlyArray<number>, more: Partial<Stage> = {}): Stage =>
  maps(id, tasks, parents, { shuffles: false, work: undefined, ...more })

const graphOf = (...stages: ReadonlyArray<Stage>): StageGraph => ({
  stages,
  fingerprint: "",
  undecided: undefined,
  invalid: undefined
})

/** What a map task wrote: rows of one kind are the same rows. */
const output = (stage: number, map: number, attempt: number, kind: number): MapOutput => {
  const status: MapStatus = {
    shuffle: `job-${stage}`,
    map,
    attempt,
    file: `${stage}-${map}-${attempt}`,
    partitions: [0],
    offsets: [0],
    lengths: [10],
    rows: [1],
    bytes: [10],
    checksums: [[kind, kind]]
  }
  return { _tag: "MapOutput", status, failed: [] }
}

const lost = (stage: number, map: number, attempt = 0): TaskFailure => ({
  _tag: "Engine",
  reason: new ShuffleFailed({
    operator: "groupByKey",
    detail: "gone",
    isRetryable: false,
    lost: { shuffle: `job-${stage}`, map, attempt }
  }),
  at: {}
})

const slots = 2

interface Options {
  readonly replan?: (measured: ReadonlyMap<number, number>) => StageGraph
  readonly retries?: boolean
  readonly eachPartition?: boolean
}

/** The stages of a job, and what a driver and a scheduler do with them. */
const start = (graph: StageGraph, options: Options = {}) => {
  const state = State.make({
    jobId: "job",
    graph,
    replan: options.replan ?? (() => graph),
    eachPartition: options.eachPartition ?? false,
    retries: options.retries ?? true
  })
  let round: Extract<State.Next, { readonly _tag: "Run" }> | undefined
  const step = (event: State.Event): State.Decision => {
    const decision = State.step(state, event, slots)
    if (decision.next._tag === "Run") round = decision.next
    return decision
  }
  const wanted = () => step({ _tag: "Wanted" })
  const asked = (tasks: ReadonlyArray<number>) => step({ _tag: "Asked", tasks, work: () => Effect.void })
  const running = () => round ?? assert.fail("no round runs")
  /** Lets these tasks of the round succeed. */
  const succeed = (tasks: ReadonlyArray<number>, kind = 0) => {
    const { firstAttempt, stage } = running()
    for (const task of tasks) State.succeeded(state, stage.id, task, output(stage.id, task, firstAttempt, kind))
  }
  /** Lets the rest of the round succeed. */
  const complete = (kind = 0) => {
    const { stage, tasks } = running()
    succeed(tasks, kind)
    return step({ _tag: "Completed", stage: stage.id })
  }
  const fail = (failure: TaskFailure) => step({ _tag: "Failed", stage: running().stage.id, failure })
  /** Completes rounds until something else follows. */
  const completeAll = (first: State.Decision) => {
    let decision = first
    while (decision.next._tag === "Run") decision = complete()
    return decision
  }
  return { state, step, wanted, asked, succeed, complete, fail, completeAll }
}

/** Lets what runs succeed until nothing runs; a job that has come to nothing is over. Whether nothing is left then. */
const finish = ({ complete, state }: ReturnType<typeof start>): boolean => {
  while (state.running !== undefined) complete()
  return State.isIdle(state)
}

const test = idleTests(start, finish)

/** The round a decision begins, as the stage, its tasks and their first attempt. */
const ran = ({ next }: State.Decision) =>
  next._tag === "Run" ? [next.stage.id, next.tasks, next.firstAttempt] : next._tag

const commandsOf = ({ commands }: State.Decision) =>
  commands.map((command) => {
    switch (command._tag) {
      case "Started":
        return `start ${command.stage}: ${command.tasks}`
      case "Ended":
        return `end ${command.stage}`
      case "Discard":
        return `discard ${command.status.file}`
      case "Uncache":
        return `uncache ${command.id} ${command.partition}`
      case "Void":
        return `void ${command.stage}${command.shuffle === undefined ? "" : ` and ${command.shuffle}`}`
    }
  })

const reasonOf = ({ next }: State.Decision) =>
  next._tag === "Failed" && next.failure._tag === "Engine" ? next.failure.reason : assert.fail(`it is ${next._tag}`)

describe("the stages of a job", () => {
  test("run when somebody needs them, what they read first, and once", (start) => {
    const { asked, complete, wanted } = start(
      graphOf(maps(0, 2), maps(1, 1), maps(2, 3, [0]), maps(3, 1), result(4, 2, [2, 1]))
    )
    const first = wanted()
    assert.deepStrictEqual(ran(first), [0, [0, 1], 0])
    assert.deepStrictEqual(commandsOf(first), ["start 0: 2"])
    const second = complete()
    assert.deepStrictEqual(ran(second), [2, [0, 1, 2], 0])
    assert.deepStrictEqual(commandsOf(second), ["end 0", "start 2: 3"])
    assert.deepStrictEqual(ran(complete()), [1, [0], 0])
    const reached = complete()
    assert.deepStrictEqual([commandsOf(reached), ran(reached)], [["end 1"], "Reached"])
    assert.deepStrictEqual([commandsOf(wanted()), ran(wanted())], [[], "Reached"])
    const tasks = asked([1])
    assert.deepStrictEqual([commandsOf(tasks), ran(tasks)], [["start 4: 1"], [4, [1], 0]])
    const ended = complete()
    assert.deepStrictEqual([commandsOf(ended), ran(ended)], [["end 4"], "Reached"])
    // The same task later is another round, and its files have different names.
    assert.deepStrictEqual(ran(asked([0, 1])), [4, [0, 1], 100])
  })

  test("run when tasks are asked for at once, even for none", (start) => {
    const { asked, complete, state } = start(graphOf(maps(0, 1), result(1, 2, [0])))
    assert.deepStrictEqual(ran(asked([])), [0, [0], 0])
    assert.deepStrictEqual(State.shufflesOf(state), ["job-0"])
    assert.deepStrictEqual(ran(complete()), [1, [], 0])
    assert.deepStrictEqual(ran(complete()), "Reached")
    assert.strictEqual(State.valueOf(state, 1), undefined, "the rows of the result are the action's")
    assert.deepStrictEqual(State.valueOf(state, 0)?._tag, "MapOutputs")
  })

  test("say what a task of the round that runs reads, and nothing of others", (start) => {
    const { asked, complete, state } = start(
      graphOf(
        maps(0, 2, [], { work: { task: () => Effect.void, ahead: true, combine: combineNone } }),
        result(1, 1, [0])
      )
    )
    assert.strictEqual(State.inputOf(state, 0, 0), undefined)
    asked([0])
    const { ahead, isResult, partitions: all } = State.inputOf(state, 0, 1) ?? assert.fail("it runs")
    assert.deepStrictEqual([all, ahead, isResult], [2, true, false])
    assert.strictEqual(State.inputOf(state, 0, 2), undefined)
    assert.strictEqual(State.inputOf(state, 1, 0), undefined)
    complete()
    assert.strictEqual(State.inputOf(state, 0, 0), undefined)
    assert.isTrue(State.inputOf(state, 1, 0)?.isResult)
    complete()
    assert.strictEqual(State.inputOf(state, 1, 0), undefined)
  })

  test("are adapted to what was written and to the slots, once", (start) => {
    let adapted = 0
    const adapt: Stage["adapt"] = (valueOf, n) => {
      adapted++
      return partitions(writtenBytes(valueOf(0)) / 10 + n)
    }
    const graph = graphOf(maps(0, 3), maps(1, 9, [0], { adapt }), result(2, 9, [1], { adapt }))
    const { asked, complete, fail, state, wanted } = start(graph)
    wanted()
    assert.deepStrictEqual(ran(complete()), [1, [0, 1, 2, 3, 4], 0])
    assert.deepStrictEqual(ran(fail(lost(0, 2))), [0, [2], 100])
    assert.deepStrictEqual(ran(complete()), [1, [0, 1, 2, 3, 4], 100])
    const reached = complete().next
    assert.strictEqual(reached._tag === "Reached" ? reached.stage.partitions.length : 0, 5)
    asked([0])
    assert.strictEqual(adapted, 2)
    assert.deepStrictEqual(
      graph.stages.map((stage) => State.partitionsOf(state, stage).length),
      [3, 5, 5]
    )
    const each = start(graph, { eachPartition: true })
    const all = each.completeAll(each.wanted()).next
    assert.strictEqual(all._tag === "Reached" ? all.stage.partitions.length : 0, 9)
  })

  test("are planned again with what the undecided ones wrote", (start) => {
    const seen: Array<ReadonlyArray<readonly [number, number]>> = []
    const before = { ...graphOf(maps(0, 2), maps(1, 1), result(2, 7, [0, 1])), undecided: 0 }
    const between = { ...graphOf(maps(0, 2), maps(1, 4), result(2, 7, [0, 1])), undecided: 1 }
    const after = graphOf(maps(0, 2), maps(1, 4), maps(2, 1, [1]), result(3, 5, [0, 2]))
    const { complete, state, wanted } = start(before, {
      replan: (measured) => {
        seen.push([...measured])
        return measured.has(1) ? after : between
      }
    })
    assert.deepStrictEqual(ran(wanted()), [0, [0, 1], 0])
    assert.deepStrictEqual(ran(complete()), [1, [0, 1, 2, 3], 0])
    assert.deepStrictEqual(ran(complete()), [2, [0], 0])
    assert.deepStrictEqual(ran(complete()), "Reached")
    assert.deepStrictEqual(seen, [
      [[0, 20]],
      [
        [0, 20],
        [1, 40]
      ]
    ])
    assert.strictEqual(state.graph, after)
  })
})

const combineNone = (): StageValue => ({ _tag: "Offsets", offsets: [] })

describe("a stage that finds an output lost", () => {
  test("goes on with the tasks that remain, once the output is there again", (start) => {
    const { asked, complete, completeAll, fail, succeed, wanted } = start(graphOf(maps(0, 3), result(1, 4, [0])))
    completeAll(wanted())
    asked([0, 1, 2, 3])
    succeed([1, 3])
    const repair = fail(lost(0, 1))
    assert.deepStrictEqual([commandsOf(repair), ran(repair)], [[], [0, [1], 100]], "not a stage that starts")
    const again = complete()
    assert.deepStrictEqual([commandsOf(again), ran(again)], [["discard 0-1-0"], [1, [0, 2], 100]])
    const ended = complete()
    assert.deepStrictEqual([commandsOf(ended), ran(ended)], [["end 1"], "Reached"])
  })

  test("begins again, with all stages in between, if the output now has different rows", (start) => {
    const graph = graphOf(maps(0, 2), maps(1, 1), maps(2, 2, [0]), result(3, 1, [1, 2, 0]))
    const { asked, complete, completeAll, fail, state, wanted } = start(graph)
    completeAll(wanted())
    asked([0])
    assert.deepStrictEqual(ran(fail(lost(0, 0))), [0, [0], 100])
    const changed = complete(1)
    assert.deepStrictEqual(commandsOf(changed), ["discard 0-0-0", "void 2 and job-2", "void 3"])
    assert.strictEqual(changed.next._tag, "RolledBack")
    assert.isTrue(State.isIdle(state))
    assert.strictEqual(State.valueOf(state, 2), undefined)
    const anew = asked([0])
    assert.deepStrictEqual([commandsOf(anew), ran(anew)], [["start 2: 2"], [2, [0, 1], 100]])
    const next = complete()
    assert.deepStrictEqual(
      [commandsOf(next), ran(next)],
      [
        ["end 2", "start 3: 1"],
        [3, [0], 100]
      ]
    )
  })

  test("while it prepares the result begins again by itself", (start) => {
    const { complete, fail, succeed, wanted } = start(graphOf(maps(0, 2), maps(1, 2, [0]), result(2, 1, [1])))
    wanted()
    complete()
    succeed([0])
    assert.deepStrictEqual(ran(fail(lost(0, 1))), [0, [1], 100])
    const anew = complete(1)
    assert.deepStrictEqual(commandsOf(anew), ["discard 0-1-0", "void 1 and job-1", "start 1: 2"])
    assert.deepStrictEqual(ran(anew), [1, [0, 1], 100])
  })

  test("has what the writer reads made good first", (start) => {
    const { asked, complete, completeAll, fail, wanted } = start(
      graphOf(maps(0, 2), maps(1, 2, [0]), result(2, 1, [1]))
    )
    completeAll(wanted())
    asked([0])
    assert.deepStrictEqual(ran(fail(lost(1, 1))), [1, [1], 100])
    assert.deepStrictEqual(ran(fail(lost(0, 0))), [0, [0], 100])
    assert.deepStrictEqual(ran(complete()), [1, [1], 200])
    assert.deepStrictEqual(ran(complete()), [2, [0], 100])
  })

  test("leaves an output alone whose stage has become void meanwhile", (start) => {
    const { asked, complete, completeAll, fail, wanted } = start(
      graphOf(maps(0, 2), maps(1, 2, [0]), result(2, 1, [1]))
    )
    completeAll(wanted())
    asked([0])
    fail(lost(1, 1))
    fail(lost(0, 0))
    const changed = complete(1)
    assert.deepStrictEqual(commandsOf(changed), ["discard 0-0-0", "void 1 and job-1", "void 2"])
    assert.strictEqual(changed.next._tag, "RolledBack")
    assert.deepStrictEqual(ran(asked([0])), [1, [0, 1], 200])
  })

  test("does not have it written twice where several tasks miss it", (start) => {
    const { asked, completeAll, complete, fail, step, wanted } = start(graphOf(maps(0, 1), result(1, 2, [0])))
    completeAll(wanted())
    asked([0, 1])
    fail(lost(0, 0))
    // The scheduler hands over the first failure of a round; another is none of what runs now.
    const second = step({ _tag: "Failed", stage: 1, failure: lost(0, 0) })
    assert.deepStrictEqual([commandsOf(second), ran(second)], [[], "Nothing"])
    assert.deepStrictEqual(ran(step({ _tag: "Completed", stage: 1 })), "Nothing")
    assert.deepStrictEqual(ran(complete()), [1, [0, 1], 100])
    // A task that had opened the old one says so late.
    assert.deepStrictEqual(ran(fail(lost(0, 0, 0))), [1, [0, 1], 200])
    assert.deepStrictEqual(ran(fail(lost(0, 0, 100))), [0, [0], 200])
  })

  test("goes on where nobody knows what is lost", (start) => {
    const { asked, completeAll, fail, wanted } = start(graphOf(maps(0, 2), result(1, 1, [0])))
    completeAll(wanted())
    asked([0])
    const unknown = fail(lost(9, 1))
    assert.deepStrictEqual([commandsOf(unknown), ran(unknown)], [["uncache job-9 1"], [1, [0], 100]])
  })

  test("gives up at the fourth loss of one output, and names it", (start) => {
    const { asked, complete, completeAll, fail, state, wanted } = start(graphOf(maps(0, 2), result(1, 1, [0])))
    completeAll(wanted())
    asked([0])
    for (const attempt of [0, 100, 200]) {
      assert.deepStrictEqual(ran(fail(lost(0, 0, attempt))), [0, [0], attempt + 100])
      complete()
      // Another has a count of its own.
      if (attempt === 0) assert.deepStrictEqual(ran(fail(lost(0, 1))), [0, [1], 100])
      if (attempt === 0) complete()
    }
    const failure = lost(0, 0, 300)
    assert.deepStrictEqual(fail(failure).next, { _tag: "Failed", failure })
    assert.isTrue(State.isIdle(state))
  })

  test("gives up the fourth time that the writer has different rows", (start) => {
    const { asked, complete, completeAll, fail, wanted } = start(
      graphOf(maps(0, 4), result(1, 1, [0], { steps: ["  of the result"] }))
    )
    completeAll(wanted())
    for (const map of [0, 1, 2]) {
      asked([0])
      fail(lost(0, map))
      assert.deepStrictEqual(ran(complete(map + 1)), "RolledBack")
    }
    asked([0])
    fail(lost(0, 3))
    const reason = reasonOf(complete(4))
    assert.strictEqual(reason._tag, "Indeterminate")
    assert.include(reason.message, "each of the 4 times")
    assert.include(reason.message, "step of 0")
  })

  test("does not run again what hands its rows over as they come", (start) => {
    const begun = (retries: boolean) => {
      const stages = start(graphOf(maps(0, 1), result(1, 2, [0])), { retries })
      stages.completeAll(stages.wanted())
      stages.asked([0, 1])
      return stages
    }
    const failure = lost(0, 0)
    const none = begun(false)
    assert.deepStrictEqual(ran(none.fail(failure)), [0, [0], 100], "nothing has left yet")
    const some = begun(false)
    State.handedOver(some.state, 1, 1)
    assert.deepStrictEqual(some.fail(failure).next, { _tag: "Failed", failure })
    const ended = begun(false)
    State.handedOver(ended.state, 1, 1)
    ended.succeed([1])
    assert.deepStrictEqual(ran(ended.fail(failure)), [0, [0], 100], "the task whose rows have left is done")
    const twice = begun(true)
    State.handedOver(twice.state, 1, 1)
    assert.deepStrictEqual(ran(twice.fail(failure)), [0, [0], 100], "an effect on each row may happen twice")
    const reason = reasonOf(twice.complete(1))
    assert.strictEqual(reason._tag, "Indeterminate", "but not on other rows")
    assert.include(reason.message, "had already left the job")
  })
})

describe("a job that fails or is given up", () => {
  const failures: ReadonlyArray<TaskFailure> = [
    { _tag: "Failed", error: "mine" },
    {
      _tag: "Engine",
      reason: new ShuffleFailed({ operator: "groupByKey", detail: "no space", isRetryable: false }),
      at: {}
    }
  ]

  test("leaves nothing, and what it had begun begins again", (start) => {
    for (const failure of failures) {
      const { complete, fail, state, succeed, wanted } = start(graphOf(maps(0, 1), maps(1, 3, [0]), result(2, 1, [1])))
      wanted()
      complete()
      succeed([0, 2])
      assert.deepStrictEqual(fail(failure).next, { _tag: "Failed", failure })
      assert.isTrue(State.isIdle(state))
      // An action that can do without it may go on. What is complete is there.
      const again = wanted()
      assert.deepStrictEqual([commandsOf(again), ran(again)], [["start 1: 3"], [1, [0, 1, 2], 100]])
    }
  })

  test("forgets what it was about to make good", (start) => {
    const { asked, completeAll, fail, state, step, wanted } = start(
      graphOf(maps(0, 2), maps(1, 2, [0]), result(2, 1, [1]))
    )
    completeAll(wanted())
    asked([0])
    fail(lost(1, 0))
    fail(lost(0, 0))
    assert.strictEqual(state.goals.length, 3)
    State.cancel(state)
    assert.isTrue(State.isIdle(state))
    assert.deepStrictEqual(ran(step({ _tag: "Completed", stage: 0 })), "Nothing")
    State.succeeded(state, 2, 0, "late")
    assert.deepStrictEqual(ran(asked([0])), [2, [0], 100])
  })
})

describe("a stage that reads a cache", () => {
  const kept = (run: string): Kept => ({ id: "cache", stages: [0], run })
  /** The digest of the result of stage 0. */
  const runOf = (kind: number) => {
    const { completeAll, state, wanted, fail, asked, complete } = start(
      graphOf(maps(0, 1), result(1, 1, [], { kept: [kept("?")] }))
    )
    completeAll(wanted())
    asked([0])
    fail({ _tag: "Engine", reason: lostPartition, at: {} })
    complete(kind)
    return state.keptRuns.get("cache") ?? assert.fail("it has no run")
  }
  const lostPartition = new ShuffleFailed({
    operator: "cache",
    detail: "gone",
    isRetryable: false,
    lost: { shuffle: "cache", map: 3, attempt: 0 }
  })
  const failure: TaskFailure = { _tag: "Engine", reason: lostPartition, at: {} }

  test("does not run what fills it, until a partition of it is lost", (start) => {
    const { asked, complete, fail, succeed } = start(
      graphOf(maps(0, 1), maps(1, 1, [0]), result(2, 2, [], { kept: [kept(runOf(0))] }))
    )
    assert.deepStrictEqual(ran(asked([0, 1])), [2, [0, 1], 0])
    succeed([0])
    const filling = fail(failure)
    assert.deepStrictEqual(commandsOf(filling), ["uncache cache 3", "start 0: 1"])
    assert.deepStrictEqual(ran(filling), [0, [0], 0])
    const again = complete()
    assert.deepStrictEqual([commandsOf(again), ran(again)], [["end 0"], [2, [1], 100]])
    assert.deepStrictEqual([commandsOf(fail(failure)), ran(complete())], [["uncache cache 3"], "Reached"])
  })

  test("begins again once if the stages that fill it have a different result", (start) => {
    const graph = graphOf(maps(0, 1), maps(1, 1, [], { kept: [kept(runOf(0))] }), maps(2, 1), result(3, 1, [1, 2]))
    const { asked, complete, completeAll, fail, wanted } = start(graph)
    assert.deepStrictEqual(ran(wanted()), [1, [0], 0])
    fail(failure)
    const changed = complete(1)
    assert.deepStrictEqual(commandsOf(changed), ["end 0", "void 1 and job-1", "start 1: 1"])
    assert.deepStrictEqual(ran(changed), [1, [0], 100])
    const same = fail(failure)
    assert.deepStrictEqual([commandsOf(same), ran(same)], [["uncache cache 3"], [1, [0], 200]])
    completeAll(complete())
    assert.deepStrictEqual(ran(asked([0])), [3, [0], 0])
  })

  test("fails where its rows have left the job, and names the writer", (start) => {
    const { asked, complete, fail, state } = start(graphOf(maps(0, 1), result(1, 1, [], { kept: [kept("other")] })))
    asked([0])
    State.handedOver(state, 1, 0)
    fail(failure)
    const reason = reasonOf(complete())
    assert.strictEqual(reason._tag, "Indeterminate")
    assert.include(reason.message, "step of 0")
  })
})

describe("random graphs, losses and outputs that change", () => {
  /** A graph of up to five stages, each of which reads some of those before it, and a result that reads the last. */
  const graphs = fc
    .array(fc.record({ tasks: fc.integer({ min: 1, max: 3 }), reads: fc.array(fc.nat(4), { maxLength: 2 }) }), {
      minLength: 1,
      maxLength: 5
    })
    .map((stages) =>
      graphOf(
        ...stages.map(({ reads, tasks }, id) => maps(id, tasks, [...new Set(reads.filter((other) => other < id))])),
        result(stages.length, 2, [stages.length - 1])
      )
    )

  test("the rows of the result come from rows that hold, or the job says why not", (start) => {
    const law = fc.property(graphs, fc.array(fc.nat(999), { minLength: 40, maxLength: 200 }), (graph, dice) => {
      const { asked, completeAll, state, step } = start(graph)
      let throws = 0
      const dice1000 = () => dice[throws++] ?? 999
      // What every task read, as the rows of each output of its parents at that time.
      const read = new Map<string, string>()
      const rowsBefore = (stage: Stage) =>
        JSON.stringify(
          stage.parents.map((parent) => {
            const value = State.valueOf(state, parent)
            return value?._tag === "MapOutputs" ? value.statuses.map(({ checksums }) => checksums) : "none"
          })
        )
      let kind = 0
      let decision = asked([0, 1])
      let rounds = 0
      while (decision.next._tag === "Run" || decision.next._tag === "RolledBack") {
        assert.isBelow(rounds++, 1000, "it comes to an end")
        if (decision.next._tag === "RolledBack") {
          assert.isTrue(State.isIdle(state))
          decision = asked([0, 1])
          continue
        }
        const { firstAttempt, stage, tasks } = decision.next
        let failure: TaskFailure | undefined
        for (const task of tasks) {
          const thrown = dice1000()
          const parent = stage.parents[thrown % Math.max(1, stage.parents.length)]
          const value = parent === undefined ? undefined : State.valueOf(state, parent)
          if (thrown < 200 && parent !== undefined && value?._tag === "MapOutputs") {
            const status = value.statuses[thrown % value.statuses.length] ?? assert.fail("it has outputs")
            failure = lost(parent, status.map, status.attempt)
            break
          }
          read.set(`${stage.id} ${task}`, rowsBefore(stage))
          // Every tenth writes other rows than at any time before.
          const own = thrown < 300 ? ++kind : 0
          State.succeeded(state, stage.id, task, output(stage.id, task, firstAttempt, own))
        }
        decision = step(
          failure === undefined ? { _tag: "Completed", stage: stage.id } : { _tag: "Failed", stage: stage.id, failure }
        )
      }
      if (decision.next._tag === "Failed") {
        const { failure } = decision.next
        assert.include(["ShuffleFailed", "Indeterminate"], failure._tag === "Engine" ? failure.reason._tag : "")
        return
      }
      assert.strictEqual(decision.next._tag, "Reached")
      for (const stage of graph.stages) {
        if (stage.work !== undefined && State.valueOf(state, stage.id) === undefined) continue
        for (const task of stage.partitions.keys()) {
          assert.strictEqual(read.get(`${stage.id} ${task}`), rowsBefore(stage), `task ${task} of stage ${stage.id}`)
        }
      }
      completeAll(asked([0]))
    })
    fc.assert(law, { numRuns: 300 })
  })
})
