/** One run of an action: its stages, its driver side, and its events. */
import { Cause, Clock, Context, Effect, Exit, Random, Schedule, type Scope } from "effect"
import { millisOf } from "../../codec/internal/checks.ts"
import type { Events } from "../../observe/Events.ts"
import { type Tell, tellOf } from "../../observe/internal/tell.ts"
import * as Plan from "../../plan/Plan.ts"
import * as Stage from "../../plan/Stage.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import * as Storage from "../../storage/Storage.ts"
import type { EngineConfig } from "../../task/EngineConfig.ts"
import { isTaskFailure } from "../../task/internal/run.ts"
import { withServices } from "../../task/internal/runtime.ts"
import { type InvalidPlan, JobError, type Location, NestedAction, type Reason } from "../../task/JobError.ts"
import { Current } from "../../task/TaskContext.ts"
import type { DriveFailure, Run, Spec } from "../Action.ts"
import type { Scheduler } from "../Scheduler.ts"
import { accountOf, lettersOf, makeProgress, type Progress, snapshot } from "./book.ts"
import type { Cache } from "./cache.ts"
import { checkLimit, type SetAside } from "./letters.ts"
import { type Planned, planOf } from "./planning.ts"
import { RolledBack } from "./rollback.ts"
import { makeStages, type Stages } from "./stages.ts"

/** The services that an engine runs its jobs with. */
export interface Host {
  readonly storage: Storage.Storage["Service"]
  readonly shuffle: Shuffle.Shuffle["Service"]
  readonly scheduler: Scheduler["Service"]
  readonly events: Events["Service"]
  readonly config: EngineConfig
  readonly cached: Cache
  /** A problem with its settings: every job fails with it. */
  readonly invalid: InvalidPlan | undefined
}

/** A job that has been planned. */
interface Job {
  readonly host: Host
  readonly spec: Spec
  readonly id: string
  readonly name: string
  readonly fingerprint: string
  readonly started: number
  readonly planned: Planned
  readonly progress: Progress
  readonly setAside: SetAside
  readonly tell: Tell
  readonly fail: (reason: Reason, at?: Location) => JobError
}

const plan = Effect.fnUntraced(function* (host: Host, spec: Spec): Effect.fn.Return<Job, JobError> {
  const id = (yield* Random.nextIntBetween(0, 0xffffffff)).toString(16).padStart(8, "0")
  const name = spec.job?.name ?? spec.name
  const fail = (reason: Reason, at: Location = {}) => new JobError({ job: id, name, reason, at })
  if ((yield* Current) !== undefined) return yield* fail(new NestedAction({ action: spec.name }))
  if (host.invalid !== undefined) return yield* fail(host.invalid)
  const started = yield* Clock.currentTimeMillis
  const planned = yield* Effect.mapError(planOf(spec, host), (reason) => fail(reason))
  if (planned.graph.invalid !== undefined) return yield* fail(planned.graph.invalid)
  const progress = makeProgress()
  const expected = Stage.rows(Stage.result(planned.graph))
  const setAside: SetAside = {
    first: progress.firstLetters,
    rows: () => {
      const { deadLettered, rowsRead } = snapshot(progress)
      return { deadLettered, read: rowsRead }
    },
    expected: () => expected
  }
  const salt = spec.job === undefined ? "" : `${spec.job.name} ${spec.job.payload}`
  const fingerprint = Plan.fingerprint(spec.plan, salt)
  const tell = tellOf(host.events, { job: id, name })
  return { host, spec, id, name, fingerprint, started, planned, progress, setAside, tell, fail }
})

const stagesOf = (
  { host, id, planned, progress, setAside, spec, tell }: Job,
  services: Context.Context<never>
): Effect.Effect<Stages> => {
  const { cached, config, scheduler, shuffle, storage } = host
  return makeStages(
    {
      jobId: id,
      progress,
      tell,
      storage,
      letters:
        spec.letters === undefined ? undefined : Effect.provideService(spec.letters(id), Storage.Storage, storage),
      batches: planned.batches,
      checkLetters: checkLimit(setAside, config.maxDeadLetters, false)
    },
    {
      graph: planned.graph,
      replan: planned.decide,
      eachPartition: spec.eachPartition ?? false,
      retries: spec.retries ?? true,
      leaves: spec.leaves ?? false,
      scheduler,
      shuffle,
      cached,
      services: services.pipe(Context.add(Storage.Storage, storage), Context.add(Shuffle.Shuffle, shuffle))
    }
  )
}

const driverOf = (
  { fingerprint, host: { config, storage }, id, planned, progress, setAside, spec }: Job,
  stages: Stages
): Omit<Run, "restore"> => ({
  jobId: id,
  fingerprint,
  inputs: planned.inputs,
  result: stages.result,
  storage,
  letters: () => lettersOf(progress),
  account: () => accountOf(progress, stages.end().result, stages.valueOf),
  totals: () => snapshot(progress),
  tasks: (tasks, onResult) =>
    Effect.andThen(
      stages.run(tasks, spec.task, onResult),
      Effect.suspend(() => checkLimit(setAside, config.maxDeadLetters, stages.end().complete))
    )
})

/** Publishes that the job has begun, and from then on its progress. */
const announce = (
  { fingerprint, host: { config }, planned, progress, started, tell }: Job,
  stages: Stages
): Effect.Effect<void, never, Scope.Scope> => {
  const result = Stage.result(planned.graph)
  const rows = Stage.rows(result)
  const begun = tell((head) => ({
    _tag: "JobStarted",
    ...head,
    at: started,
    fingerprint,
    tasks: stages.tasks(),
    bytes: Stage.bytes(result),
    ...(rows === undefined ? {} : { rows })
  }))
  const going = tell((head) => ({
    _tag: "Progress",
    ...head,
    tasksDone: progress.tasksDone,
    tasks: stages.tasks(),
    totals: snapshot(progress)
  }))
  const interval = millisOf(config.progressInterval)
  return Effect.andThen(
    begun,
    going.pipe(Effect.repeat(Schedule.spaced(interval)), Effect.delay(interval), Effect.forkScoped)
  )
}

/** Publishes how the job has ended. */
const conclude = (
  { fingerprint, id, progress, spec, started, tell }: Job,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (at) => {
    const millis = at - started
    const totals = snapshot(progress)
    spec.onEnd?.({ job: id, fingerprint, millis, totals })
    return tell((head) => ({
      _tag: "JobEnded",
      ...head,
      at,
      outcome: Exit.isSuccess(exit) ? "success" : Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "failure",
      millis,
      totals
    }))
  })

/** The driver's side, which starts again each time that its results turn out to be void. */
const drive = ({ fail, spec }: Job, driver: Run, services: Context.Context<never>): Effect.Effect<unknown, unknown> => {
  const work = withServices(services)(Effect.suspend(() => spec.drive(driver)))
  const driven: Effect.Effect<unknown, DriveFailure> = Effect.catch(
    spec.commits === true ? work : driver.restore(work),
    (failure) => (failure instanceof RolledBack ? driven : Effect.fail(failure))
  )
  return Effect.mapError(driven, (failure) => {
    if (!isTaskFailure(failure)) return failure instanceof RolledBack ? failure : fail(failure)
    return failure._tag === "Failed" ? failure.error : fail(failure.reason, failure.at)
  })
}

/** Runs an action whose functions need these services. */
export const runJob = Effect.fnUntraced(function* (
  host: Host,
  spec: Spec,
  services: Context.Context<never>
): Effect.fn.Return<unknown, unknown, Scope.Scope> {
  const job = yield* plan(host, spec)
  const stages = yield* stagesOf(job, services)
  const driver = driverOf(job, stages)
  yield* announce(job, stages)
  // An interrupt that arrives during a commit waits for its end and its result.
  return yield* Effect.uninterruptibleMask((restore) =>
    drive(job, { ...driver, restore }, services).pipe(
      Effect.ensuring(Effect.andThen(stages.clean, host.scheduler.release(job.id))),
      Effect.onExit((exit) => conclude(job, exit))
    )
  )
}, Effect.scoped)
