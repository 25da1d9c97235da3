/**
 * The scheduler's decisions, without fibers, clocks or I/O: `step` takes one event and the time and says what to do.
 * `Scheduler` drives it; a simulation can drive it with thousands of executors.
 *
 * Vocabulary (Spark's): a *task set* is the tasks of one stage; an *attempt* is one try at one of them; a task's *preferred hosts*
 * have its data; a *slot* runs one attempt. Locality levels are `node` (a preferred host), `any` (a task that prefers none, or
 * that has waited long enough). The state is one record that `step` owns and changes in place: copying it for every event would
 * make a stage of n tasks cost n squared.
 *
 * If you add a field to `TaskSet` or `State`, clear it in `remove`, and add it to `isIdle`, which every test ends with.
 */
import type { Locality } from "../../../task/Task.ts"

interface ExecutorState {
  readonly id: string
  readonly host: string
  readonly slots: number
  free: number
}

interface TaskState {
  /** Its number in the set. */
  readonly index: number
  /** Preferred. */
  readonly hosts: ReadonlyArray<string>
  status: "pending" | "running" | "done"
  /** Attempts started. */
  attempts: number
  /** Failures that count towards `maxAttempts`. */
  failures: number
}

interface TaskSet {
  readonly id: number
  readonly maxAttempts: number
  /** The attempts that run, by the number of their task. */
  readonly running: Map<number, { readonly task: TaskState; readonly executor: string; readonly attempt: number }>
  /** Pending tasks by preferred host, without preference, and all; entries whose task is no longer pending are skipped. */
  readonly byHost: Map<string, Fifo>
  readonly anywhere: Fifo
  readonly all: Fifo
  left: number
  /** Aborted or cancelled: nothing more is launched, and slots become free as the attempts end. */
  stopping: boolean
  /** Since when the set waits for a better host. */
  waitingSince: number
}

export interface State {
  readonly executors: Map<string, ExecutorState>
  /** Those of `executors` that have a free slot. */
  readonly free: Set<ExecutorState>
  /** In order of submission: first in, first out, as Spark's default scheduler mode. */
  readonly sets: Map<number, TaskSet>
  readonly localityWaitMillis: number
}

export type Event =
  | { readonly _tag: "Joined"; readonly id: string; readonly host: string; readonly slots: number }
  | { readonly _tag: "Left"; readonly id: string }
  | {
      readonly _tag: "Submitted"
      readonly set: number
      readonly maxAttempts: number
      /** Preferred hosts by task. */
      readonly hosts: ReadonlyArray<ReadonlyArray<string>>
    }
  | { readonly _tag: "Succeeded"; readonly set: number; readonly task: number; readonly attempt: number }
  | {
      readonly _tag: "Failed"
      readonly set: number
      readonly task: number
      readonly attempt: number
      /** False if the failure is not the task's fault (a lost executor): it is tried again without limit. */
      readonly counts: boolean
      /** Attempts that this kind of failure allows if the set allows fewer. */
      readonly attempts?: number | undefined
    }
  /** The set is no longer wanted; its running attempts are being interrupted. */
  | { readonly _tag: "Cancelled"; readonly set: number }
  /** Every attempt of the set has ended, whether it reported that or not. */
  | { readonly _tag: "Ended"; readonly set: number }
  /** Time passed: a wait for locality may be over. */
  | { readonly _tag: "Tick" }

export type Command =
  | {
      readonly _tag: "Launch"
      readonly set: number
      readonly task: number
      readonly attempt: number
      readonly executor: string
      readonly locality: Locality
    }
  /** Every task of the set has succeeded. */
  | { readonly _tag: "Completed"; readonly set: number }
  /** A task has failed as often as is allowed. */
  | { readonly _tag: "Aborted"; readonly set: number; readonly task: number }
  /** Send a `Tick` at this time. */
  | { readonly _tag: "WakeAt"; readonly millis: number }

// Tasks in the order in which they came. Tasks that have been started are dropped when they are reached, because a task
// may be in several queues.
class Fifo {
  private readonly tasks: Array<TaskState> = []
  private head = 0
  push(task: TaskState): void {
    this.tasks.push(task)
  }
  /** The first pending task. */
  first(): TaskState | undefined {
    for (; this.head < this.tasks.length; this.head++) {
      const task = this.tasks[this.head]
      if (task?.status === "pending") return task
    }
    return undefined
  }
  /** Takes it. */
  take(): TaskState | undefined {
    const task = this.first()
    if (task !== undefined) this.head++
    return task
  }
}

export const make = (options: { readonly localityWaitMillis: number }): State => ({
  executors: new Map(),
  free: new Set(),
  sets: new Map(),
  localityWaitMillis: options.localityWaitMillis
})

/** Whether no task set is left and every slot is free. */
export const isIdle = (state: State): boolean =>
  state.sets.size === 0 && Array.from(state.executors.values()).every((executor) => executor.free === executor.slots)

const enqueue = (set: TaskSet, task: TaskState): void => {
  task.status = "pending"
  const { hosts } = task
  if (hosts.length === 0) set.anywhere.push(task)
  for (const host of hosts) {
    let queue = set.byHost.get(host)
    if (queue === undefined) set.byHost.set(host, (queue = new Fifo()))
    queue.push(task)
  }
  if (hosts.length > 0) set.all.push(task)
}

const leave = (state: State, id: string): void => {
  const executor = state.executors.get(id)
  if (executor === undefined) return
  state.executors.delete(id)
  state.free.delete(executor)
  for (const set of state.sets.values()) {
    for (const { executor: on, task } of set.running.values()) {
      if (on !== id) continue
      set.running.delete(task.index)
      enqueue(set, task)
    }
    if (set.stopping && set.running.size === 0) remove(state, set)
  }
}

// Ends an attempt. Undefined if nothing waits for it: its set is gone, or its executor was given up.
const end = (
  state: State,
  id: number,
  index: number,
  attempt: number
): { readonly set: TaskSet; readonly task: TaskState } | undefined => {
  const set = state.sets.get(id)
  const running = set?.running.get(index)
  if (set === undefined || running?.attempt !== attempt) return undefined
  set.running.delete(index)
  release(state, running.executor)
  if (!set.stopping) return { set, task: running.task }
  if (set.running.size === 0) remove(state, set)
  return undefined
}

const release = (state: State, id: string): void => {
  const executor = state.executors.get(id)
  if (executor === undefined) return
  executor.free++
  state.free.add(executor)
}

// A task for a slot: one whose data is on the host, then one that prefers no host, then, when the set has waited, any.
const pick = (
  state: State,
  set: TaskSet,
  executor: ExecutorState,
  now: number,
  reachable: () => boolean
): { readonly task: TaskState; readonly locality: Locality } | "wait" | undefined => {
  const local = set.byHost.get(executor.host)?.take()
  if (local !== undefined) return { task: local, locality: "node" }
  const anywhere = set.anywhere.take()
  if (anywhere !== undefined) return { task: anywhere, locality: "any" }
  if (set.all.first() === undefined) return undefined
  // Waiting helps only while an executor on a preferred host exists.
  if (now - set.waitingSince < state.localityWaitMillis && reachable()) return "wait"
  const task = set.all.take()
  return task === undefined ? undefined : { task, locality: "any" }
}

const anyReachable = (state: State, set: TaskSet): boolean => {
  for (const { host } of state.executors.values()) {
    if (set.byHost.get(host)?.first() !== undefined) return true
  }
  return false
}

const schedule = (state: State, now: number, commands: Array<Command>): void => {
  let wakeAt = Number.POSITIVE_INFINITY
  for (const set of state.sets.values()) {
    if (state.free.size === 0) break
    if (set.stopping) continue
    // Looking at every executor is expensive; only a launch changes the answer.
    let known: boolean | undefined
    const reachable = () => (known ??= anyReachable(state, set))
    // Round robin over the executors, so that the tasks of a small set spread.
    for (let launched = true; launched;) {
      launched = false
      for (const executor of state.free) {
        const picked = pick(state, set, executor, now, reachable)
        if (picked === undefined) continue
        if (picked === "wait") {
          wakeAt = Math.min(wakeAt, set.waitingSince + state.localityWaitMillis)
          continue
        }
        const { locality, task } = picked
        if (--executor.free === 0) state.free.delete(executor)
        const attempt = task.attempts++
        task.status = "running"
        set.running.set(task.index, { task, executor: executor.id, attempt })
        if (locality === "node") set.waitingSince = now
        known = undefined
        commands.push({
          _tag: "Launch",
          set: set.id,
          task: task.index,
          attempt,
          executor: executor.id,
          locality
        })
        launched = true
      }
    }
  }
  if (Number.isFinite(wakeAt)) commands.push({ _tag: "WakeAt", millis: wakeAt })
}

const remove = (state: State, set: TaskSet): void => {
  for (const { executor } of set.running.values()) release(state, executor)
  set.running.clear()
  state.sets.delete(set.id)
}

const stop = (state: State, set: TaskSet): void => {
  set.stopping = true
  if (set.running.size === 0) remove(state, set)
}

/** Takes one event, and says what to do. */
export const step = (state: State, event: Event, now: number): ReadonlyArray<Command> => {
  const commands: Array<Command> = []
  switch (event._tag) {
    case "Joined": {
      // An executor that joins twice has restarted: what ran on it is lost.
      leave(state, event.id)
      const executor = { id: event.id, host: event.host, slots: event.slots, free: event.slots }
      state.executors.set(event.id, executor)
      if (executor.free > 0) state.free.add(executor)
      break
    }
    case "Left":
      leave(state, event.id)
      break
    case "Submitted": {
      const set: TaskSet = {
        id: event.set,
        maxAttempts: event.maxAttempts,
        running: new Map(),
        byHost: new Map(),
        anywhere: new Fifo(),
        all: new Fifo(),
        left: event.hosts.length,
        stopping: false,
        waitingSince: now
      }
      if (set.left === 0) return [{ _tag: "Completed", set: event.set }]
      for (const [index, hosts] of event.hosts.entries()) {
        enqueue(set, { index, hosts, status: "pending", attempts: 0, failures: 0 })
      }
      state.sets.set(event.set, set)
      break
    }
    case "Succeeded": {
      const ended = end(state, event.set, event.task, event.attempt)
      if (ended === undefined) break
      const { set, task } = ended
      task.status = "done"
      if (--set.left === 0) {
        remove(state, set)
        commands.push({ _tag: "Completed", set: set.id })
      }
      break
    }
    case "Failed": {
      const ended = end(state, event.set, event.task, event.attempt)
      if (ended === undefined) break
      const { set, task } = ended
      const attempts = Math.max(set.maxAttempts, event.attempts ?? 0)
      if (event.counts && ++task.failures >= attempts) {
        stop(state, set)
        commands.push({ _tag: "Aborted", set: set.id, task: event.task })
      } else {
        enqueue(set, task)
      }
      break
    }
    case "Cancelled": {
      const set = state.sets.get(event.set)
      if (set !== undefined) stop(state, set)
      break
    }
    case "Ended": {
      const set = state.sets.get(event.set)
      if (set !== undefined) remove(state, set)
      break
    }
    case "Tick":
      break
  }
  schedule(state, now, commands)
  return commands
}
