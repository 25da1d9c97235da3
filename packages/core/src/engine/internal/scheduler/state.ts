/**
 * The scheduler's decisions, without fibers, clocks or I/O: `step` takes one event and the time and says what to do. Driven by
 * `Scheduler`; a simulation can drive it with thousands of executors.
 *
 * Vocabulary (Spark's): a *task set* is the tasks of one stage; an *attempt* is one try at one of them; a task's *preferred hosts*
 * have its data; a *slot* runs one attempt. Locality levels are `node` (a preferred host), `any` (a task that prefers none, or
 * that has waited long enough). The state is one record that `step` owns and changes in place: copying it for every event would
 * make a stage of n tasks cost n squared.
 *
 * Whoever adds a field to `TaskSet` or `State`: clear it in `remove`, and add it to `isIdle`, which every test ends with.
 */
import type { Locality } from "../../../task/Task.ts"

interface ExecutorState {
  readonly id: string
  readonly host: string
  readonly slots: number
  free: number
}

type TaskStatus = "pending" | "running" | "done"

interface TaskSet {
  readonly id: number
  readonly maxAttempts: number
  readonly hosts: ReadonlyArray<ReadonlyArray<string>>
  readonly status: Array<TaskStatus>
  /** Attempts started, by task. */
  readonly attempts: Array<number>
  /** Failures that count towards `maxAttempts`, by task. */
  readonly failures: Array<number>
  readonly running: Map<number, { readonly executor: string; readonly attempt: number }>
  /** Pending tasks by preferred host, without preference, and all; entries whose task is no longer pending are skipped. */
  readonly byHost: Map<string, Fifo>
  readonly anywhere: Fifo
  readonly all: Fifo
  left: number
  /** Aborted or cancelled: nothing is launched any more, slots come back as the attempts end. */
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
      /** False for what is not the task's fault (a lost executor): tried again without limit. */
      readonly counts: boolean
      /** Attempts a failure of this kind allows where the set allows fewer. */
      readonly attempts?: number | undefined
    }
  /** The set is wanted no longer; its running attempts are being interrupted. */
  | { readonly _tag: "Cancelled"; readonly set: number }
  /** Every attempt of the set has ended, whether it said so or not. */
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
  /** A task has failed as often as it may. */
  | { readonly _tag: "Aborted"; readonly set: number; readonly task: number }
  /** Send a `Tick` at this time. */
  | { readonly _tag: "WakeAt"; readonly millis: number }

class Fifo {
  private readonly items: Array<number> = []
  private head = 0
  push(item: number): void {
    this.items.push(item)
  }
  /** Takes the first item that `accept` holds for; drops those before it. */
  take(accept: (item: number) => boolean): number | undefined {
    while (this.head < this.items.length) {
      const item = this.items[this.head]
      this.head++
      if (accept(item)) return item
    }
    return undefined
  }
  /** Whether there is an item that `accept` holds for; drops those before it. */
  some(accept: (item: number) => boolean): boolean {
    while (this.head < this.items.length) {
      if (accept(this.items[this.head])) return true
      this.head++
    }
    return false
  }
}

export const make = (options: { readonly localityWaitMillis: number }): State => ({
  executors: new Map(),
  free: new Set(),
  sets: new Map(),
  localityWaitMillis: options.localityWaitMillis
})

/** Whether nothing is left of any task set and every slot is free. */
export const isIdle = (state: State): boolean =>
  state.sets.size === 0 && Array.from(state.executors.values()).every((executor) => executor.free === executor.slots)

const enqueue = (set: TaskSet, task: number): void => {
  set.status[task] = "pending"
  const hosts = set.hosts[task]
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
    for (const [task, { executor: on }] of set.running) {
      if (on !== id) continue
      set.running.delete(task)
      enqueue(set, task)
    }
    if (set.stopping && set.running.size === 0) remove(state, set)
  }
}

// Ends an attempt. Undefined where it is nobody's: its set is gone, or its executor was given up.
const end = (state: State, id: number, task: number, attempt: number): TaskSet | undefined => {
  const set = state.sets.get(id)
  const running = set?.running.get(task)
  if (set === undefined || running?.attempt !== attempt) return undefined
  set.running.delete(task)
  release(state, running.executor)
  if (!set.stopping) return set
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
): { readonly task: number; readonly locality: Locality } | "wait" | undefined => {
  const pending = (task: number) => set.status[task] === "pending"
  const local = set.byHost.get(executor.host)?.take(pending)
  if (local !== undefined) return { task: local, locality: "node" }
  const anywhere = set.anywhere.take(pending)
  if (anywhere !== undefined) return { task: anywhere, locality: "any" }
  if (!set.all.some(pending)) return undefined
  // Waiting helps only while an executor on a preferred host exists.
  if (now - set.waitingSince < state.localityWaitMillis && reachable()) return "wait"
  const task = set.all.take(pending)
  return task === undefined ? undefined : { task, locality: "any" }
}

const anyReachable = (state: State, set: TaskSet): boolean => {
  for (const { host } of state.executors.values()) {
    if (set.byHost.get(host)?.some((task) => set.status[task] === "pending") === true) return true
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
        const attempt = set.attempts[task]++
        set.status[task] = "running"
        set.running.set(task, { executor: executor.id, attempt })
        if (locality === "node") set.waitingSince = now
        known = undefined
        commands.push({
          _tag: "Launch",
          set: set.id,
          task,
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
      const tasks = event.hosts.length
      const set: TaskSet = {
        id: event.set,
        maxAttempts: event.maxAttempts,
        hosts: event.hosts,
        status: new Array<TaskStatus>(tasks).fill("pending"),
        attempts: new Array<number>(tasks).fill(0),
        failures: new Array<number>(tasks).fill(0),
        running: new Map(),
        byHost: new Map(),
        anywhere: new Fifo(),
        all: new Fifo(),
        left: tasks,
        stopping: false,
        waitingSince: now
      }
      if (tasks === 0) return [{ _tag: "Completed", set: event.set }]
      for (let task = 0; task < tasks; task++) enqueue(set, task)
      state.sets.set(event.set, set)
      break
    }
    case "Succeeded": {
      const set = end(state, event.set, event.task, event.attempt)
      if (set === undefined) break
      set.status[event.task] = "done"
      if (--set.left === 0) {
        remove(state, set)
        commands.push({ _tag: "Completed", set: set.id })
      }
      break
    }
    case "Failed": {
      const set = end(state, event.set, event.task, event.attempt)
      if (set === undefined) break
      const attempts = Math.max(set.maxAttempts, event.attempts ?? 0)
      if (event.counts && ++set.failures[event.task] >= attempts) {
        stop(state, set)
        commands.push({ _tag: "Aborted", set: set.id, task: event.task })
      } else {
        enqueue(set, event.task)
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
