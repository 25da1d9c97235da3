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
  Layer,
  Predicate,
  Queue,
  Result,
  Scope,
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

// A running set, as the loop sees it: closures erase its types.
interface Running {
  readonly launch: (command: Extract<State.Command, { _tag: "Launch" }>) => Effect.Effect<void>
  readonly complete: Effect.Effect<void>
  readonly abort: (task: number) => Effect.Effect<void>
}

/**
 * Makes a scheduler over the executors in the context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Scheduler["Service"], never, Executor | Scope.Scope> = Effect.gen(function* () {
  const executor = yield* Executor
  const config = yield* EngineConfig
  const events = yield* Queue.unbounded<State.Event>()
  const state = State.make({ localityWaitMillis: millisOf(config.localityWait) })
  const running = new Map<number, Running>()
  let nextSet = 0
  let wakeAt = Number.POSITIVE_INFINITY

  const loop = Effect.gen(function* () {
    const scope = yield* Effect.scope
    while (true) {
      for (const event of yield* Queue.takeAll(events)) {
        const now = yield* Clock.currentTimeMillis
        if (event._tag === "Tick") wakeAt = Number.POSITIVE_INFINITY
        for (const command of State.step(state, event, now)) {
          switch (command._tag) {
            case "Launch":
              yield* running.get(command.set)?.launch(command) ?? Effect.void
              break
            case "Completed":
              yield* running.get(command.set)?.complete ?? Effect.void
              break
            case "Aborted":
              yield* running.get(command.set)?.abort(command.task) ?? Effect.void
              break
            case "WakeAt":
              if (command.millis >= wakeAt) break
              wakeAt = command.millis
              yield* Effect.forkIn(Effect.delay(Queue.offer(events, { _tag: "Tick" }), command.millis - now), scope)
              break
          }
        }
      }
    }
  })
  yield* Effect.forkScoped(Effect.scoped(loop))

  yield* executor.changes.pipe(
    Stream.runForEach((change) =>
      Queue.offer(events, change._tag === "Joined" ? { _tag: "Joined", ...change.info } : change)
    ),
    Effect.forkScoped
  )

  const run = Effect.fnUntraced(function* (set: TaskSet): Effect.fn.Return<void, TaskFailure | ExecutorLost> {
    const id = nextSet++
    const done = yield* Deferred.make<void, TaskFailure | ExecutorLost>()
    const failures = new Map<number, Cause.Cause<TaskFailure | ExecutorLost>>()
    // Results are handed over one at a time, in the order in which they arrive.
    const turn = yield* Semaphore.make(1)
    // An attempt on an executor that was given up may still succeed. Only the first result counts, its own or its
    // replacement's.
    const handedOver = new Set<number>()
    const scope = yield* Scope.make()
    const passes = (cause: Cause.Cause<TaskFailure | ExecutorLost>): boolean => {
      const error = Cause.findError(cause)
      return Result.isSuccess(error) && set.passes?.(error.success) === true
    }

    const launch: Running["launch"] = ({ attempt, executor: on, locality, task }) => {
      const { partition } = set.tasks[task]
      const number = (set.firstAttempt ?? 0) + attempt
      return executor.run(on, { run: set.run, stage: set.stage, partition, attempt: number, locality }).pipe(
        Effect.flatMap((result) =>
          turn.withPermit(
            Effect.suspend(() => {
              if (handedOver.has(task)) return Effect.void
              return Effect.onExit(set.onResult(partition, result, number), (exit) =>
                Effect.sync(() => {
                  if (Exit.isSuccess(exit)) handedOver.add(task)
                })
              )
            })
          )
        ),
        Effect.onExit((exit) => {
          if (Exit.isSuccess(exit)) return Queue.offer(events, { _tag: "Succeeded", set: id, task, attempt })
          failures.set(task, exit.cause)
          return Queue.offer(events, {
            _tag: "Failed",
            set: id,
            task,
            attempt,
            counts: !isLost(exit.cause),
            attempts: passes(exit.cause) ? config.taskAttempts : undefined
          })
        }),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    }

    running.set(id, {
      launch,
      complete: Effect.asVoid(Deferred.succeed(done, void 0)),
      abort: (task) => Effect.asVoid(Deferred.failCause(done, failures.get(task) ?? Cause.interrupt()))
    })
    yield* Queue.offer(events, {
      _tag: "Submitted",
      set: id,
      maxAttempts: executor.maxAttempts,
      hosts: set.tasks.map((task) => task.hosts)
    })
    yield* Deferred.await(done).pipe(
      Effect.onExit((exit) => {
        running.delete(id)
        return Queue.offer(events, { _tag: "Cancelled", set: id }).pipe(
          Effect.andThen(Scope.close(scope, exit)),
          Effect.andThen(Queue.offer(events, { _tag: "Ended", set: id }))
        )
      })
    )
  })

  const slots = Effect.sync(() => {
    let sum = 0
    for (const { slots } of state.executors.values()) sum += slots
    return sum
  })

  return Scheduler.of({ run, open: executor.open, release: executor.release, slots, invalid: executor.invalid })
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
