/** What the driver of a write does: it claims the output, runs the tasks, decides, publishes and cleans up. */
import { Clock, Effect, Exit, Fiber } from "effect"
import type { DriveFailure, Run } from "../../engine/Action.ts"
import { RolledBack } from "../../engine/internal/rollback.ts"
import type { FormatError } from "../../task/FormatError.ts"
import type { Backend } from "../../storage/Storage.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { LeaseLost, OutputExists, type Reason } from "../../task/JobError.ts"
import { type Claim, claim, release } from "./claim.ts"
import { hold } from "./gate.ts"
import { forget, isHeld, orLost, renewals } from "./lease.ts"
import { manifestOf, manifestText, previousFiles } from "./manifest.ts"
import type { Manifest, WriteRequest } from "./model.ts"
import { writeEmpty, type Written, type WrittenFile } from "./partition.ts"
import { isCommitted, publish, stage, type Staged } from "./publish.ts"
import { toReason } from "./reasons.ts"
import { settle } from "./recover.ts"

/** The files of one partition, by the attempt that counts. */
interface TaskFiles extends Written {
  readonly partition: number
  readonly attempt: number
  /** Id of the input split it was made from, if any. */
  readonly split: string | undefined
}

// Runs the tasks. The first attempt of a partition that succeeds counts. The files of other attempts stay in their folders, which are
// deleted with the folder of the job.
const runTasks = (run: Run<Written>, claimed: Claim): Effect.Effect<ReadonlyArray<TaskFiles>, DriveFailure> =>
  Effect.gen(function* () {
    // The commit reads it again. It is also read here, so that an append to files that are not an output fails before
    // its first row.
    if (claimed.mode === "append") yield* previousFiles(run.storage, claimed)
    const results = new Map<number, TaskFiles>()
    const { splitIds, tasks } = yield* run.result
    yield* run.tasks(
      Array.from({ length: tasks }, (_, index) => index),
      (partition, { files }, attempt) =>
        Effect.sync(() => {
          if (results.has(partition)) return
          results.set(partition, { partition, attempt, split: splitIds[partition], files })
        })
    )
    return [...results.values()].toSorted((left, right) => left.partition - right.partition)
  }).pipe(
    // In the same folder, because it holds the rows that earlier stages have set aside.
    Effect.catch((failure) => (failure instanceof RolledBack ? runTasks(run, claimed) : Effect.fail(failure)))
  )

/** What the driver of a write does, from the claim to the end of its staging folder. Run uninterruptibly. */
export const drive = <A>(request: WriteRequest<A>) =>
  Effect.fnUntraced(function* (run: Run<Written>) {
    const { mode, name, path, waitMillis } = request
    const { restore, storage } = run
    const claimed = yield* claim(storage, { path, mode, job: run.jobId, name, waitMillis, inputs: run.inputs }, restore)
    const renewing = yield* Effect.forkChild(renewals(storage, claimed.leases, path))
    let free = Effect.void
    const work = Effect.gen(function* () {
      const results = yield* restore(Effect.raceFirst(runTasks(run, claimed), Fiber.join(renewing)))
      free = yield* hold
      // The last moment for an interrupt: a later one finds a success.
      yield* restore(Effect.void)
      return yield* commit({ run, claimed, request, results })
    }).pipe(Effect.catch((error) => orLost(storage, claimed.leases, path, error)))
    return yield* Effect.onExit(work, (exit) =>
      Effect.andThen(Fiber.interrupt(renewing), cleanUp(storage, claimed, Exit.isSuccess(exit))).pipe(
        Effect.ensuring(
          Effect.andThen(
            forget(claimed.leases),
            Effect.suspend(() => free)
          )
        )
      )
    )
  })

// Leftover files deserve a warning, not a failure: the job has succeeded, or has failed for a better reason.
const cleanUp = Effect.fnUntraced(function* (storage: Backend, claimed: Claim, succeeded: boolean) {
  yield* Effect.andThen(settle(storage, claimed.layout), release(storage, claimed)).pipe(
    Effect.catch((error) =>
      Effect.logWarning(`could not remove ${claimed.layout.folder}: ${error.message}`).pipe(
        Effect.annotateLogs({ outcome: succeeded ? "success" : "failure" }),
        // The folder alone does not block the output: the next job removes it.
        Effect.andThen(Effect.ignore(release(storage, claimed)))
      )
    )
  )
})

/** A job whose tasks have all succeeded. */
interface Finished<in A> {
  readonly run: Run
  readonly claimed: Claim
  readonly request: WriteRequest<A>
  readonly results: ReadonlyArray<TaskFiles>
}

/** A file that will be in the output, and its entry in the manifest. */
interface Entry {
  readonly from: string
  readonly file: Manifest["files"][number]
}

const entryOf = (
  { bytes, checksum, name, path, rows }: WrittenFile,
  { attempt, partition, split }: Omit<TaskFiles, "files">
): Entry => ({
  from: path,
  file: { path: name, rows, bytes, checksum, partition, attempt, ...(split === undefined ? {} : { split }) }
})

// The files of rows that tasks set aside, and their names in the output.
const lettersOf = (run: Run): ReadonlyArray<Staged & { readonly rows: number }> =>
  run.letters().map(({ path, rows }, index) => ({
    from: path,
    name: `_dead_letters/part-${String(index).padStart(5, "0")}-${run.jobId}.jsonl`,
    rows
  }))

// The steps of the commit, in an order in which the job may be killed between any two of them.
const commitSteps = Effect.fnUntraced(function* <A>({ claimed, request, results, run }: Finished<A>) {
  const { storage } = run
  const conservation = run.account()
  for (const held of claimed.leases) {
    if (!(yield* isHeld(storage, held))) return yield* new LeaseLost({ path: claimed.path })
  }
  const entries = results.flatMap((result) => result.files.map((file) => entryOf(file, result)))
  if (entries.length === 0 && request.partitionBy === undefined) {
    // At least one file has to carry the columns, so that the output can be read back. Outside of all partition folders
    // it would be in the way of a partitioned read.
    const file = yield* writeEmpty(storage, claimed.layout, { job: run.jobId, writer: request.writer })
    entries.push(entryOf(file, { partition: 0, attempt: 0, split: undefined }))
  }
  const letters = lettersOf(run)
  const staged: ReadonlyArray<Staged> = [...entries.map(({ file, from }) => ({ from, name: file.path })), ...letters]
  yield* stage(storage, claimed, staged)
  const previous =
    claimed.mode === "append" && claimed.there === "present" ? yield* previousFiles(storage, claimed) : []
  const manifest = manifestOf({
    run,
    request,
    created: yield* Clock.currentTimeMillis,
    conservation,
    deadLetters: letters.map(({ name, rows }) => ({ path: name, rows })),
    files: [...previous, ...entries.map(({ file }) => file)]
  })
  yield* publish(storage, claimed, { files: staged.map(({ name }) => name), manifest: manifestText(manifest) }).pipe(
    // The answer may be lost after the rename has succeeded.
    Effect.catch((error) =>
      Effect.flatMap(isCommitted(storage, claimed, run.jobId), (done) => (done ? Effect.void : Effect.fail(error)))
    )
  )
  return manifest
})

const commitFailed = ({ mode, path }: Claim, error: Reason | StorageError | FormatError): Reason =>
  error._tag === "StorageError" && error.reason._tag === "AlreadyExists" && mode === "error-if-exists"
    ? new OutputExists({ path })
    : toReason(error)

const commit = <A>(finished: Finished<A>): Effect.Effect<Manifest, Reason> =>
  Effect.mapError(commitSteps(finished), (error) => commitFailed(finished.claimed, error))
