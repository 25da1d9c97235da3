/**
 * Gives tasks to the slots of executors. One event loop over one state: every decision is made in `internal/scheduler/state`, a
 * function of the state, an event and the time; this module turns its commands into fibers and their ends into events.
 *
 * @stability unstable
 * @since 0.1.0
 */
import {
  Cause,
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberSet,
  Layer,
  Predicate,
  Result,
  type Scope,
  Semaphore,
  Stream
} from "effect"
import { millisOf } from "../codec/internal/checks.ts"
import { EngineConfig } from "../task/EngineConfig.ts"
import type { TaskFailure, TaskResult } from "../task/internal/run.ts"
import { Executor, type Perform } from "./Executor.ts"
import * as State from "./internal/scheduler/state.ts"
import type { ExecutorLost } from "../task/JobError.ts"

/**
 * The tasks of one stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface TaskSet {
  /** Id of the run, which the executors have open. */
  readonly run: string
  readonly stage: number
  /** The number of the first attempt: tasks of a stage may run again as a set of their own. Default 0. */
  readonly firstAttempt?: number | undefined
  /** The partition each task works on, and the hosts it would best run on. */
  readonly tasks: ReadonlyArray<{ readonly partition: number; readonly hosts: ReadonlyArray<string> }>
  /** Takes each result as it arrives, one at a time. If it fails, the set fails. */
  readonly onResult: (partition: number, result: TaskResult, attempt: number) => Effect.Effect<void, TaskFailure>
  /**
   * Whether another attempt may avoid this failure. If so, there are `EngineConfig.taskAttempts`, whatever the executor
   * allows.
   */
  readonly passes?: ((failure: TaskFailure | ExecutorLost) => boolean) | undefined
}

/**
 * Service that runs task sets. Sets of several jobs share the slots, first in, first out.
 *
 * @category services
 * @since 0.1.0
 */
export class Scheduler extends Context.Service<
  Scheduler,
  {
    /**
     * Runs every task of a set. The first final failure interrupts the other tasks; the effect ends when they have
     * ended, finalizers included.
     */
    readonly run: (set: TaskSet) => Effect.Effect<void, TaskFailure | ExecutorLost>
    /** Opens a run on the executors. */
    readonly open: (run: string, perform: Perform) => Effect.Effect<void>
    /** Closes a run that has ended, and releases the services that the executors have built for it. */
    readonly release: (run: string) => Effect.Effect<void>
    /** Tasks that can run at once on the present executors. */
    readonly slots: Effect.Effect<number>
    /** A problem with the executors' settings: every job fails with it. */
    readonly invalid?: string | undefined
  }
>()("@sluice/core/Scheduler") {}

type Failure = TaskFailure | ExecutorLost
type Launch = Extract<State.Command, { readonly _tag: "Launch" }>

/** A set that runs. */
interface Running {
  readonly id: number
  readonly set: TaskSet
  readonly done: Deferred.Deferred<void, Failure>
  /** The last failure of each task that has one. */
  readonly failures: Map<number, Cause.Cause<Failure>>
  /** Results are handed over one at a time, in the order in which they arrive. */
  readonly turn: Semaphore.Semaphore
  /**
   * The tasks whose result has been handed over. An attempt on an executor that was given up may still succeed: only the first result
   * counts, its own or its replacement's.
   */
  readonly handedOver: Set<number>
  readonly attempts: Set<Fiber.Fiber<void, Failure>>
}

/** The scheduler's state, and what performs its commands. */
interface Shell {
  readonly state: State.State
  readonly executor: Executor["Service"]
  readonly taskAttempts: number
  readonly running: Map<number, Running>
  /** Handles an event, or lets it wait for the events that are being handled. */
  readonly tell: (event: State.Event) => void
  /** Starts an effect of the loop with the services of the scheduler. */
  readonly start: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
}

// Events come from fibers of all kinds, and a command may cause one: each waits until those before it have been
// handled.
const inTurn = (handle: (event: State.Event) => void) => {
  const events: Array<State.Event> = []
  let busy = false
  return (event: State.Event): void => {
    events.push(event)
    if (busy) return
    busy = true
    try {
      for (let next = events.shift(); next !== undefined; next = events.shift()) handle(next)
    } finally {
      busy = false
    }
  }
}

const passes = (set: TaskSet, cause: Cause.Cause<Failure>): boolean => {
  const error = Cause.findError(cause)
  return Result.isSuccess(error) && set.passes?.(error.success) === true
}

/** Hands over the result of an attempt, unless another attempt at the same task was first. */
const handOver = (
  { handedOver, set, turn }: Running,
  { attempt, task }: Launch,
  partition: number,
  result: TaskResult
): Effect.Effect<void, TaskFailure> =>
  turn.withPermit(
    Effect.suspend(() =>
      handedOver.has(task)
        ? Effect.void
        : Effect.map(set.onResult(partition, result, (set.firstAttempt ?? 0) + attempt), () => {
            handedOver.add(task)
          })
    )
  )

/** Starts an attempt, whose end is an event. */
const launch = ({ executor, start, taskAttempts, tell }: Shell, running: Running, command: Launch): void => {
  const { id, set } = running
  const { attempt, locality, task } = command
  const wanted = set.tasks[task]
  if (wanted === undefined) throw new Error(`the set has ${set.tasks.length} tasks, and none is ${task}`)
  const { partition } = wanted
  const number = (set.firstAttempt ?? 0) + attempt
  const fiber = start(
    Effect.flatMap(
      executor.run(command.executor, { run: set.run, stage: set.stage, partition, attempt: number, locality }),
      (result) => handOver(running, command, partition, result)
    )
  )
  running.attempts.add(fiber)
  fiber.addObserver((exit) => {
    running.attempts.delete(fiber)
    if (Exit.isSuccess(exit)) return tell({ _tag: "Succeeded", set: id, task, attempt })
    const { cause } = exit
    running.failures.set(task, cause)
    const attempts = passes(set, cause) ? taskAttempts : undefined
    tell({ _tag: "Failed", set: id, task, attempt, counts: !isLost(cause), attempts })
  })
}

/** Runs a set until it has completed or failed; then the attempts that are left are interrupted. */
const runSet = (shell: Shell, id: number, set: TaskSet): Effect.Effect<void, Failure> =>
  Effect.suspend(() => {
    const { executor, running, tell } = shell
    const own: Running = {
      id,
      set,
      done: Deferred.makeUnsafe(),
      failures: new Map(),
      turn: Semaphore.makeUnsafe(1),
      handedOver: new Set(),
      attempts: new Set()
    }
    running.set(id, own)
    tell({
      _tag: "Submitted",
      set: id,
      maxAttempts: executor.maxAttempts,
      hosts: set.tasks.map((task) => task.hosts)
    })
    return Effect.onExit(Deferred.await(own.done), () => {
      running.delete(id)
      tell({ _tag: "Cancelled", set: id })
      return Effect.andThen(
        Fiber.interruptAll(own.attempts),
        Effect.sync(() => tell({ _tag: "Ended", set: id }))
      )
    })
  })

/**
 * Makes a scheduler over the executors in the context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Scheduler["Service"], never, Executor | Scope.Scope> = Effect.gen(function* () {
  const executor = yield* Executor
  const config = yield* EngineConfig
  const clock = yield* Clock.Clock
  const context = yield* Effect.context()
  const timers = yield* FiberSet.make<void>()
  const state = State.make({ localityWaitMillis: millisOf(config.localityWait) })
  let nextSet = 0
  let wakeAt = Number.POSITIVE_INFINITY

  const perform = (command: State.Command, now: number): void => {
    const running = command._tag === "WakeAt" ? undefined : shell.running.get(command.set)
    switch (command._tag) {
      case "Launch":
        if (running !== undefined) launch(shell, running, command)
        return
      case "Completed":
        if (running !== undefined) Deferred.doneUnsafe(running.done, Exit.void)
        return
      case "Aborted": {
        if (running === undefined) return
        const cause = running.failures.get(command.task) ?? Cause.interrupt()
        Deferred.doneUnsafe(running.done, Exit.failCause(cause))
        return
      }
      case "WakeAt":
        if (command.millis >= wakeAt) return
        wakeAt = command.millis
        FiberSet.addUnsafe(timers, start(Effect.delay(tick, command.millis - now)))
        return
    }
  }
  const tell = inTurn((event) => {
    const now = clock.currentTimeMillisUnsafe()
    if (event._tag === "Tick") wakeAt = Number.POSITIVE_INFINITY
    for (const command of State.step(state, event, now)) perform(command, now)
  })
  const tick = Effect.sync(() => tell({ _tag: "Tick" }))
  // Not at once: one task right after another would leave no time for anything else.
  const start: Shell["start"] = (effect) => Effect.runForkWith(context)(Effect.andThen(Effect.yieldNow, effect))
  const { taskAttempts } = config
  const shell: Shell = { state, executor, taskAttempts, running: new Map(), tell, start }

  yield* executor.changes.pipe(
    Stream.runForEach((change) =>
      Effect.sync(() => tell(change._tag === "Joined" ? { _tag: "Joined", ...change.info } : change))
    ),
    Effect.forkScoped
  )
  return Scheduler.of({
    run: (set) => Effect.suspend(() => runSet(shell, nextSet++, set)),
    open: executor.open,
    release: executor.release,
    slots: Effect.sync(() => {
      let sum = 0
      for (const { slots } of state.executors.values()) sum += slots
      return sum
    }),
    invalid: executor.invalid
  })
})

const isLost = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && Predicate.isTagged(reason.error, "ExecutorLost"))

/**
 * A scheduler over the executors in the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Scheduler, never, Executor> = Layer.effect(Scheduler, make)
