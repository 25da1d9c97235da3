/**
 * The decisions about the stages of a job, without fibers or I/O: `step` takes one event and says what to do.
 * `stages.ts` drives it: it carries out the commands, runs what `next` names, and returns with the event of its end.
 *
 * Vocabulary: a *goal* is what stages run for. The driver's goal is the result stage; a map output or a cached
 * partition that turned out to be lost is a goal of its own, which comes first, so goals are a stack. A *round* is one
 * task set of a stage: after a loss has been repaired, the remaining tasks run in another. One stage runs at a time,
 * because what one loses another may have read.
 *
 * The state is one record that `step` owns and changes in place, like the scheduler's. If you add a field for running
 * work, clear it in `cancel`, and add it to `isIdle`, which every test ends with.
 */
import type { StageGraph } from "../../../plan/Stage.ts"
import * as Stage from "../../../plan/Stage.ts"
import type { Kept } from "../../../plan/Stage.ts"
import { runOf, sameRows } from "../../../plan/internal/run.ts"
import type { MapStatus } from "../../../shuffle/Shuffle.ts"
import type { Reason } from "../../../task/JobError.ts"
import type { Input, TaskFailure } from "../../../task/internal/run.ts"
import {
  isMapOutput,
  type MapOutput,
  shuffleId,
  type StageValue,
  type ValueOf,
  writtenBytes
} from "../../../task/internal/values.ts"
import type { Spec } from "../../Action.ts"
import { indeterminate, readersOf } from "../rollback.ts"

// How often one map output may be lost, or one stage may yield different rows than before. The last time fails the job
// (Spark's `spark.stage.maxConsecutiveAttempts`).
const maxLosses = 4
const maxRollbacks = 4
// How far apart the attempt numbers of two rounds of a task are, because a file is named after its attempt.
const attemptsARound = 100

type Work = Spec["task"]
type Lost = NonNullable<Extract<Reason, { readonly _tag: "ShuffleFailed" }>["lost"]>

interface StageState {
  /** The stage as it runs: adapted to what the stages before it wrote, once for all attempts. */
  stage: Stage.Stage | undefined
  /** Results by partition; those of the result stage go to the action. */
  results: Array<unknown>
  /** Its result, when all of its tasks have succeeded and while the rows that they read are still valid. */
  value: StageValue | undefined
  /** The tasks that have not succeeded, while the stage has to run. */
  remaining: Set<number> | undefined
  /** How many rounds each task has had. */
  readonly rounds: Map<number, number>
  /** Tasks whose rows have left the job. */
  readonly handedOver: Set<number>
}

type Goal =
  /** The result stage can run. */
  | { readonly _tag: "Ready" }
  /** These tasks of the result stage have run. */
  | { readonly _tag: "Tasks"; readonly tasks: ReadonlyArray<number>; readonly work: Work; begun: boolean }
  /** The output of one task of a stage exists again. */
  | { readonly _tag: "Output"; readonly writer: number; readonly lost: Lost; readonly operator: string }
  /** The stages that fill a cache have run again, because it has lost a partition. */
  | { readonly _tag: "Cache"; readonly kept: Kept; readonly operator: string }

/** The round that runs. */
interface Running {
  readonly stage: Stage.Stage
  readonly work: Work
  /** The old output, if the round writes one lost output again. */
  readonly repair: { readonly before: MapOutput; readonly operator: string } | undefined
}

interface Options {
  readonly jobId: string
  readonly graph: StageGraph
  /** The plan, if it depends on the bytes that the first stages wrote. */
  readonly replan: (measured: ReadonlyMap<number, number>) => StageGraph
  /** Whether the result stage is not adapted. */
  readonly eachPartition: boolean
  /** Whether rows that were handed over may be handed over again. */
  readonly retries: boolean
}

export interface State extends Omit<Options, "graph"> {
  graph: StageGraph
  readonly stages: Map<number, StageState>
  /** The job works towards the last one first. */
  readonly goals: Array<Goal>
  running: Running | undefined
  /** Bytes of the stages that the plan waited for. */
  readonly measured: Map<number, number>
  /** How often each map output was lost. */
  readonly losses: Map<string, number>
  /** How often each stage or cache yielded different rows. */
  readonly rollbacks: Map<string, number>
  /** The results of the stages that fill a cache when they last ran. */
  readonly keptRuns: Map<string, string>
}

export type Event =
  /** The tasks of the result stage are asked for. */
  | { readonly _tag: "Wanted" }
  /** These tasks of the result stage are to run. */
  | { readonly _tag: "Asked"; readonly tasks: ReadonlyArray<number>; readonly work: Work }
  /** All tasks of the round have succeeded. */
  | { readonly _tag: "Completed"; readonly stage: number }
  /** The round has ended with a final failure. */
  | { readonly _tag: "Failed"; readonly stage: number; readonly failure: TaskFailure }

/** Commands to carry out on the way, in this order. */
export type Command =
  | { readonly _tag: "Started"; readonly stage: number; readonly tasks: number }
  | { readonly _tag: "Ended"; readonly stage: number }
  /** Remove the file of a map output that has been replaced. */
  | { readonly _tag: "Discard"; readonly status: MapStatus }
  /** Drop a partition that a cache has lost. */
  | { readonly _tag: "Uncache"; readonly id: string; readonly partition: number }
  /** The result of a stage is void: drop it, and the files of the shuffle that it wrote. */
  | { readonly _tag: "Void"; readonly stage: number; readonly shuffle: string | undefined }

/** What to do next. */
export type Next =
  /** Run this round, and come back with `Completed` or `Failed`. */
  | {
      readonly _tag: "Run"
      readonly stage: Stage.Stage
      readonly tasks: ReadonlyArray<number>
      readonly firstAttempt: number
    }
  /** The goal is reached: the result stage, as it runs. */
  | { readonly _tag: "Reached"; readonly stage: Stage.Stage }
  /** The results that the result stage has handed over are void: the driver begins again. */
  | { readonly _tag: "RolledBack" }
  | { readonly _tag: "Failed"; readonly failure: TaskFailure }
  /** The event belongs to a round that does not run. */
  | { readonly _tag: "Nothing" }

export interface Decision {
  readonly commands: ReadonlyArray<Command>
  readonly next: Next
}

export const make = (options: Options): State => ({
  ...options,
  stages: new Map(),
  goals: [],
  running: undefined,
  measured: new Map(),
  losses: new Map(),
  rollbacks: new Map(),
  keptRuns: new Map()
})

/** Whether there is no goal, and no stage is running. */
export const isIdle = (state: State): boolean =>
  state.goals.length === 0 &&
  state.running === undefined &&
  Array.from(state.stages.values()).every(({ remaining }) => remaining === undefined)

/** The result of a stage, if it has run. */
export const valueOf = (state: State, stage: number): StageValue | undefined => state.stages.get(stage)?.value

/** A stage as it runs, or as it was planned if it has not begun. */
export const partitionsOf = (state: State, stage: Stage.Stage): ReadonlyArray<Stage.Partition> =>
  (state.stages.get(stage.id)?.stage ?? stage).partitions

/** The shuffles that stages of the job may have written to. */
export const shufflesOf = (state: State): ReadonlyArray<string> =>
  state.graph.stages.flatMap(({ id, shuffles }) => (shuffles && state.stages.has(id) ? [shuffleId(state, id)] : []))

/**
 * The rows and the work of a task, which itself is only data; `undefined` if the task does not belong to the running
 * round.
 */
export const inputOf = ({ running }: State, id: number, partition: number): Input | undefined => {
  if (running?.stage.id !== id) return undefined
  const { stage, work } = running
  const input = stage.partitions[partition]
  if (input === undefined) return undefined
  return {
    partitions: stage.partitions.length,
    split: input.split,
    ahead: stage.work?.ahead === true,
    samples: stage.work?.samples === true,
    asLines: stage.asLines,
    isResult: stage.work === undefined,
    read: input.read,
    work
  }
}

/** A task of the round has succeeded. */
export const succeeded = (state: State, stage: number, task: number, value: unknown): void => {
  const own = state.stages.get(stage)
  if (state.running?.stage.id !== stage || own === undefined) return
  if (state.running.stage.work !== undefined) own.results[task] = value
  own.remaining?.delete(task)
}

/** Rows of a task have left the job. */
export const handedOver = (state: State, stage: number, task: number): void =>
  void stateOf(state, stage).handedOver.add(task)

/** All goals are dropped, and what ran has ended: an unfinished stage begins again if something needs it. */
export const cancel = (state: State): void => {
  state.goals.length = 0
  state.running = undefined
  for (const own of state.stages.values()) own.remaining = undefined
}

const stateOf = (state: State, id: number): StageState => {
  let own = state.stages.get(id)
  if (own === undefined) {
    own = {
      stage: undefined,
      results: [],
      value: undefined,
      remaining: undefined,
      rounds: new Map(),
      handedOver: new Set()
    }
    state.stages.set(id, own)
  }
  return own
}

const valuesOf =
  (state: State): ValueOf =>
  (stage) =>
    valueOf(state, stage)

const adapted = (state: State, stage: Stage.Stage, slots: number): Stage.Stage =>
  stage.adapt === undefined ? stage : { ...stage, partitions: stage.adapt(valuesOf(state), slots) }

// The first stage that has to run before all of these are valid. Stages run when something first needs them: an action
// that reads no result, or whose input is cached, runs none.
const unmet = (state: State, ids: ReadonlyArray<number>): Stage.Stage | undefined => {
  for (const id of ids) {
    const stage = state.graph.stages[id]
    if (stage?.work === undefined || valueOf(state, id) !== undefined) continue
    return unmet(state, stage.parents) ?? stage
  }
  return undefined
}

const round = (
  state: State,
  stage: Stage.Stage,
  work: Work,
  tasks: ReadonlyArray<number>,
  repair?: Running["repair"]
): Next => {
  const { rounds } = stateOf(state, stage.id)
  let begun = 0
  for (const task of tasks) begun = Math.max(begun, rounds.get(task) ?? 0)
  for (const task of tasks) rounds.set(task, begun + 1)
  state.running = { stage, work, repair }
  return { _tag: "Run", stage, tasks, firstAttempt: begun * attemptsARound }
}

// The remaining tasks of a stage: all the requested ones if it has not begun.
const run = (state: State, stage: Stage.Stage, work: Work, tasks: Iterable<number>, commands: Array<Command>): Next => {
  const own = stateOf(state, stage.id)
  if (own.remaining === undefined) {
    own.remaining = new Set(tasks)
    commands.push({ _tag: "Started", stage: stage.id, tasks: own.remaining.size })
  }
  return round(state, stage, work, [...own.remaining])
}

const runInner = (state: State, planned: Stage.Stage, slots: number, commands: Array<Command>): Next | undefined => {
  if (planned.work === undefined) return undefined
  const own = stateOf(state, planned.id)
  const stage = (own.stage ??= adapted(state, planned, slots))
  return run(state, stage, planned.work.task, stage.partitions.keys(), commands)
}

// Continues to plan until every stage is decided and the input of the result stage exists; then yields that stage, as
// it runs.
const ready = (state: State, slots: number, commands: Array<Command>): Next => {
  for (let id = state.graph.undecided; id !== undefined; id = state.graph.undecided) {
    const needed = unmet(state, [id])
    const next = needed && runInner(state, needed, slots, commands)
    if (next !== undefined) return next
    state.measured.set(id, writtenBytes(valueOf(state, id)))
    state.graph = state.replan(state.measured)
  }
  const result = Stage.result(state.graph)
  const needed = unmet(state, result.parents)
  const next = needed && runInner(state, needed, slots, commands)
  if (next !== undefined) return next
  const stage = (stateOf(state, result.id).stage ??= state.eachPartition ? result : adapted(state, result, slots))
  return { _tag: "Reached", stage }
}

const runTasks = (
  state: State,
  goal: Extract<Goal, { readonly _tag: "Tasks" }>,
  slots: number,
  commands: Array<Command>
): Next => {
  // A stage that has begun is running, unless a rollback has made it void.
  if (goal.begun && stateOf(state, Stage.result(state.graph).id).remaining === undefined) {
    cancel(state)
    return { _tag: "RolledBack" }
  }
  const next = ready(state, slots, commands)
  if (next._tag !== "Reached") return next
  goal.begun = true
  return run(state, next.stage, goal.work, goal.tasks, commands)
}

// Runs what is needed to write one map output again; `undefined` if it is no longer needed.
const writeAgain = (
  state: State,
  { lost, operator, writer: id }: Extract<Goal, { readonly _tag: "Output" }>,
  slots: number,
  commands: Array<Command>
): Next | undefined => {
  const writer = stateOf(state, id)
  const before = writer.results[lost.map]
  // Another loss may have made all of its outputs void, or this one may already have been written again.
  if (writer.value === undefined || writer.stage?.work === undefined) return undefined
  if (!isMapOutput(before) || before.status.attempt !== lost.attempt) return undefined
  const needed = unmet(state, writer.stage.parents)
  if (needed !== undefined) return runInner(state, needed, slots, commands)
  return round(state, writer.stage, writer.stage.work.task, [lost.map], { before, operator })
}

// Runs what is needed to fill a cache again, and then compares the results; `undefined` if they are the same.
const fillAgain = (
  state: State,
  { kept, operator }: Extract<Goal, { readonly _tag: "Cache" }>,
  slots: number,
  commands: Array<Command>
): Next | undefined => {
  const needed = unmet(state, kept.stages)
  if (needed !== undefined) return runInner(state, needed, slots, commands)
  const now = runOf({ parents: kept.stages }, valuesOf(state)) ?? kept.run
  const known = state.keptRuns.get(kept.id) ?? kept.run
  state.keptRuns.set(kept.id, now)
  if (now === known) return undefined
  const [first] = kept.stages
  return rollBack(state, commands, {
    what: kept.id,
    operator,
    writer: first === undefined ? undefined : state.graph.stages[first],
    reads: (stage) => stage.kept.some(({ id }) => id === kept.id)
  })
}

// The next step towards the last goal; goals that turn out to be reached are removed.
const pursue = (state: State, slots: number, commands: Array<Command>): Next => {
  for (let goal = state.goals.at(-1); goal !== undefined; goal = state.goals.at(-1)) {
    switch (goal._tag) {
      case "Ready": {
        const next = ready(state, slots, commands)
        if (next._tag === "Reached") state.goals.pop()
        return next
      }
      case "Tasks":
        return runTasks(state, goal, slots, commands)
      case "Output":
      case "Cache": {
        const next =
          goal._tag === "Output" ? writeAgain(state, goal, slots, commands) : fillAgain(state, goal, slots, commands)
        if (next !== undefined) return next
        state.goals.pop()
      }
    }
  }
  return { _tag: "Nothing" }
}

const fail = (state: State, failure: TaskFailure): Next => {
  cancel(state)
  return { _tag: "Failed", failure }
}

interface Rollback {
  /** The shuffle or cache whose rows differ. */
  readonly what: string
  /** The step that found it. */
  readonly operator: string
  readonly writer: Stage.Stage | undefined
  readonly reads: (stage: Stage.Stage) => boolean
}

// A stage has yielded different rows than before, so everything that has read them is void.
const rollBack = (
  state: State,
  commands: Array<Command>,
  { operator, reads, what, writer }: Rollback
): Next | undefined => {
  const failed = (why: string) =>
    fail(state, {
      _tag: "Engine",
      reason: indeterminate(operator, writer, why),
      at: writer === undefined ? {} : { stage: writer.id }
    })
  const times = (state.rollbacks.get(what) ?? 0) + 1
  state.rollbacks.set(what, times)
  if (times >= maxRollbacks) return failed(`it yielded different rows each of the ${times} times it ran again`)
  const readers = readersOf(state.graph.stages, reads)
  if (readers.some(({ id }) => (state.stages.get(id)?.handedOver.size ?? 0) > 0)) {
    return failed("it yielded different rows when it ran again, after the first rows had already left the job")
  }
  for (const { id } of readers) {
    const own = state.stages.get(id)
    if (own === undefined) continue
    commands.push({ _tag: "Void", stage: id, shuffle: own.stage?.shuffles === true ? shuffleId(state, id) : undefined })
    own.stage = undefined
    own.results = []
    own.value = undefined
    own.remaining = undefined
  }
  return undefined
}

// A task found that what it reads of an earlier stage or a cache is lost: that has to be repaired before its stage
// continues.
const lose = (
  state: State,
  { stage: reader }: Running,
  { lost, operator }: { readonly lost: Lost; readonly operator: string },
  commands: Array<Command>
): void => {
  for (const [id, { stage: writer }] of state.stages) {
    if (writer?.work === undefined || !writer.shuffles || shuffleId(state, id) !== lost.shuffle) continue
    state.goals.push({ _tag: "Output", writer: id, lost, operator })
    return
  }
  commands.push({ _tag: "Uncache", id: lost.shuffle, partition: lost.map })
  for (const kept of reader.kept) {
    if (kept.id === lost.shuffle) state.goals.push({ _tag: "Cache", kept, operator })
  }
}

const failed = (
  state: State,
  running: Running,
  failure: TaskFailure,
  slots: number,
  commands: Array<Command>
): Next => {
  if (failure._tag !== "Engine" || failure.reason._tag !== "ShuffleFailed") return fail(state, failure)
  const { lost, operator } = failure.reason
  if (lost === undefined) return fail(state, failure)
  const key = `${lost.shuffle} ${lost.map}`
  const times = (state.losses.get(key) ?? 0) + 1
  state.losses.set(key, times)
  const { handedOver, remaining } = stateOf(state, running.stage.id)
  // Otherwise rows that were handed over would be handed over twice.
  const twice = !state.retries && Array.from(remaining ?? []).some((task) => handedOver.has(task))
  if (times >= maxLosses || twice) return fail(state, failure)
  lose(state, running, { lost, operator }, commands)
  return pursue(state, slots, commands)
}

// One lost output exists again: if its rows differ, everything that has read the old ones is void.
const repaired = (
  state: State,
  stage: Stage.Stage,
  { before, operator }: NonNullable<Running["repair"]>,
  commands: Array<Command>
): Next | undefined => {
  state.goals.pop()
  commands.push({ _tag: "Discard", status: before.status })
  const now = stateOf(state, stage.id).results[before.status.map]
  if (isMapOutput(now) && sameRows(before.status, now.status)) return undefined
  return rollBack(state, commands, {
    what: before.status.shuffle,
    operator,
    writer: stage,
    reads: ({ parents }) => parents.includes(stage.id)
  })
}

const completed = (state: State, { repair, stage }: Running, slots: number, commands: Array<Command>): Next => {
  const own = stateOf(state, stage.id)
  if (stage.work !== undefined) own.value = stage.work.combine(own.results)
  if (repair !== undefined) return repaired(state, stage, repair, commands) ?? pursue(state, slots, commands)
  own.remaining = undefined
  commands.push({ _tag: "Ended", stage: stage.id })
  if (stage.work !== undefined) return pursue(state, slots, commands)
  state.goals.pop()
  return { _tag: "Reached", stage }
}

/** Takes one event, and says what to do. `slots` is the present number of slots. */
export const step = (state: State, event: Event, slots: number): Decision => {
  const commands: Array<Command> = []
  switch (event._tag) {
    case "Wanted":
      state.goals.push({ _tag: "Ready" })
      return { commands, next: pursue(state, slots, commands) }
    case "Asked":
      state.goals.push({ _tag: "Tasks", tasks: event.tasks, work: event.work, begun: false })
      return { commands, next: pursue(state, slots, commands) }
    case "Completed":
    case "Failed": {
      const { running } = state
      if (running?.stage.id !== event.stage) return { commands, next: { _tag: "Nothing" } }
      state.running = undefined
      const next =
        event._tag === "Completed"
          ? completed(state, running, slots, commands)
          : failed(state, running, event.failure, slots, commands)
      return { commands, next }
    }
  }
}
