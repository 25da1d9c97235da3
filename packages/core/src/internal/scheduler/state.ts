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

export type Locality = "node" | "any"

export interface ExecutorState {
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
  readonly runningOn: Map<number, string>
  /** Pending tasks by preferred host, without preference, and all; entries whose task is no longer pending are skipped. */
  readonly byHost: Map<string, Fifo>
  readonly anywhere: Fifo
  readonly all: Fifo
  left: number
  /** Since when the set waits for a better host. */
  waitingSince: number
}

export interface State {
  readonly executors: Map<string, ExecutorState>
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
  | { readonly _tag: "Succeeded"; readonly set: number; readonly task: number; readonly executor: string }
  | {
    readonly _tag: "Failed"
    readonly set: number
    readonly task: number
    readonly executor: string
    /** False for what is not the task's fault (a lost executor): tried again without limit. */
    readonly counts: boolean
  }
  | { readonly _tag: "Cancelled"; readonly set: number }
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
      const item = this.items[this.head]!
      this.head++
      if (accept(item)) return item
    }
    return undefined
  }
  /** Whether there is an item that `accept` holds for; drops those before it. */
  some(accept: (item: number) => boolean): boolean {
    while (this.head < this.items.length) {
      if (accept(this.items[this.head]!)) return true
      this.head++
    }
    return false
  }
}

export const make = (options: { readonly localityWaitMillis: number }): State => ({
  executors: new Map(),
  sets: new Map(),
  localityWaitMillis: options.localityWaitMillis
})

/** Whether nothing is left of any task set and every slot is free. */
export const isIdle = (state: State): boolean =>
  state.sets.size === 0 && Array.from(state.executors.values()).every((executor) => executor.free === executor.slots)

const enqueue = (set: TaskSet, task: number): void => {
  set.status[task] = "pending"
  const hosts = set.hosts[task]!
  if (hosts.length === 0) set.anywhere.push(task)
  for (const host of hosts) {
    let queue = set.byHost.get(host)
    if (queue === undefined) set.byHost.set(host, queue = new Fifo())
    queue.push(task)
  }
  if (hosts.length > 0) set.all.push(task)
}

const release = (state: State, executor: string): void => {
  const slot = state.executors.get(executor)
  if (slot !== undefined) slot.free++
}

// A task for a slot: one whose data is on the host, then one that prefers no host, then, when the set has waited, any.
const pick = (
  state: State,
  set: TaskSet,
  executor: ExecutorState,
  now: number
): { readonly task: number; readonly locality: Locality } | "wait" | undefined => {
  const pending = (task: number) => set.status[task] === "pending"
  const local = set.byHost.get(executor.host)?.take(pending)
  if (local !== undefined) return { task: local, locality: "node" }
  const anywhere = set.anywhere.take(pending)
  if (anywhere !== undefined) return { task: anywhere, locality: "any" }
  if (!set.all.some(pending)) return undefined
  // Waiting helps only while an executor on a preferred host exists.
  const reachable = Array.from(state.executors.values()).some((other) => set.byHost.get(other.host)?.some(pending) === true)
  if (reachable && now - set.waitingSince < state.localityWaitMillis) return "wait"
  const task = set.all.take(pending)
  return task === undefined ? undefined : { task, locality: "any" }
}

const schedule = (state: State, now: number, commands: Array<Command>): void => {
  let wakeAt = Number.POSITIVE_INFINITY
  for (const set of state.sets.values()) {
    // Round robin over the executors, so that the tasks of a small set spread.
    for (let launched = true; launched;) {
      launched = false
      for (const executor of state.executors.values()) {
        if (executor.free === 0) continue
        const picked = pick(state, set, executor, now)
        if (picked === undefined) continue
        if (picked === "wait") {
          wakeAt = Math.min(wakeAt, set.waitingSince + state.localityWaitMillis)
          continue
        }
        const { locality, task } = picked
        executor.free--
        set.status[task] = "running"
        set.runningOn.set(task, executor.id)
        if (locality === "node") set.waitingSince = now
        commands.push({
          _tag: "Launch",
          set: set.id,
          task,
          attempt: set.attempts[task]!++,
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
  for (const executor of set.runningOn.values()) release(state, executor)
  set.runningOn.clear()
  state.sets.delete(set.id)
}

/** Takes one event, and says what to do. */
export const step = (state: State, event: Event, now: number): ReadonlyArray<Command> => {
  const commands: Array<Command> = []
  switch (event._tag) {
    case "Joined":
      state.executors.set(event.id, { id: event.id, host: event.host, slots: event.slots, free: event.slots })
      break
    case "Left":
      state.executors.delete(event.id)
      for (const set of state.sets.values()) {
        for (const [task, executor] of set.runningOn) {
          if (executor !== event.id) continue
          set.runningOn.delete(task)
          enqueue(set, task)
        }
      }
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
        runningOn: new Map(),
        byHost: new Map(),
        anywhere: new Fifo(),
        all: new Fifo(),
        left: tasks,
        waitingSince: now
      }
      if (tasks === 0) return [{ _tag: "Completed", set: event.set }]
      for (let task = 0; task < tasks; task++) enqueue(set, task)
      state.sets.set(event.set, set)
      break
    }
    case "Succeeded": {
      const set = state.sets.get(event.set)
      // A result that comes after its set was cancelled, or from an executor given up, is nobody's.
      if (set === undefined || set.runningOn.get(event.task) !== event.executor) break
      set.runningOn.delete(event.task)
      release(state, event.executor)
      set.status[event.task] = "done"
      if (--set.left === 0) {
        remove(state, set)
        commands.push({ _tag: "Completed", set: set.id })
      }
      break
    }
    case "Failed": {
      const set = state.sets.get(event.set)
      if (set === undefined || set.runningOn.get(event.task) !== event.executor) break
      set.runningOn.delete(event.task)
      release(state, event.executor)
      if (event.counts && ++set.failures[event.task]! >= set.maxAttempts) {
        remove(state, set)
        commands.push({ _tag: "Aborted", set: set.id, task: event.task })
      } else {
        enqueue(set, event.task)
      }
      break
    }
    case "Cancelled": {
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
