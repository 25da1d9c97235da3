/** What the driver of a write does: it claims the output, runs the tasks, decides, publishes and cleans up. */
import { Clock, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import type { Run } from "../../engine/Action.ts"
import { RolledBack } from "../../engine/internal/rollback.ts"
import type { Backend } from "../../storage/Storage.ts"
import type { Writer } from "../../task/Format.ts"
import { InvalidManifest, LeaseLost, OutputExists, OutputFailed, type Reason } from "../../task/JobError.ts"
import { type Claim, claim, release } from "./claim.ts"
import { hold } from "./gate.ts"
import { filesOf, optional, readText } from "./layout.ts"
import { forget, isHeld, orLost, renewals } from "./lease.ts"
import { type Manifest, ManifestJson, type WriteMode } from "./model.ts"
import { partName, putFile, type Written } from "./partition.ts"
import { isCommitted, publish, stage, type Staged } from "./publish.ts"
import { failOutput, isReason } from "./reasons.ts"
import { settle } from "./recover.ts"

// What an append adds to.
const previousFiles = Effect.fnUntraced(function* (
  storage: Backend,
  { output, path }: Claim
): Effect.fn.Return<Manifest["files"], Reason> {
  const invalid = (detail: string) => new InvalidManifest({ path, detail })
  const text = yield* optional(readText(storage, `${output}/_SUCCESS`)).pipe(
    Effect.mapError((error) =>
      error.isRetryable ? new OutputFailed({ error }) : invalid(`cannot be read: ${error.reason.message}`)
    )
  )
  if (Option.isNone(text)) {
    const others = (yield* failOutput(filesOf(storage, output))).filter((file) => !/^[._]/.test(file))
    if (others.length === 0) return []
    return yield* invalid(
      `is missing, though ${others[0]} is there: whose files these are, and whether they are whole, is not known`
    )
  }
  return yield* Schema.decodeEffect(ManifestJson)(text.value).pipe(
    Effect.map((manifest) => manifest.files),
    Effect.mapError((error) =>
      invalid(
        text.value === ""
          ? "is empty, as other systems write it: which files are whole is not known"
          : `is not a manifest of this version: ${error.message}`
      )
    )
  )
})

interface WriteAction<in A> {
  readonly path: string
  readonly writer: Writer<A>
  readonly name: string
  readonly mode: WriteMode
  readonly waitMillis: number
  readonly isPartitioned: boolean
}

export const drive = <A>(options: WriteAction<A>) =>
  Effect.fnUntraced(function* (run: Run) {
    const { mode, path, waitMillis } = options
    const { restore, storage } = run
    const request = { path, mode, job: run.jobId, name: options.name, waitMillis, inputs: run.inputs }
    const claimed = yield* claim(storage, request, restore)
    const results = new Map<number, Written & { readonly attempt: number }>()
    const renewing = yield* Effect.forkChild(renewals(storage, claimed.leases, path))
    const rows: Effect.Effect<ReadonlyArray<string | undefined>, unknown> = Effect.gen(function* () {
      if (mode === "append") yield* previousFiles(storage, claimed)
      results.clear()
      const { splitIds, tasks } = yield* run.result
      yield* run.tasks(
        Array.from({ length: tasks }, (_, index) => index),
        // The first attempt that ends well wins; the files of others stay in their folders and go with the staging.
        (partition, result, attempt) =>
          Effect.sync(() => {
            if (!results.has(partition)) results.set(partition, { ...(result as Written), attempt })
          })
      )
      return splitIds
    }).pipe(
      // With the folder it has: what the stages before have set aside is in there.
      Effect.catch((failure) => (failure instanceof RolledBack ? rows : Effect.fail(failure)))
    )
    let free = Effect.void
    const work = Effect.gen(function* () {
      const splitIds = yield* restore(Effect.raceFirst(rows, Fiber.join(renewing)))
      free = yield* hold
      // The last moment for an interrupt. One that comes later finds a success.
      yield* restore(Effect.void)
      return yield* commit(run, claimed, options, splitIds, results)
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

// Leftovers are worth a warning, not a failure: of a job that failed in place of the first one, of one that committed at all.
const cleanUp = Effect.fnUntraced(function* (storage: Backend, claimed: Claim, succeeded: boolean) {
  const { folder, leases, output } = claimed
  yield* Effect.andThen(settle(storage, output, folder), release(storage, output, leases)).pipe(
    Effect.catch((error) =>
      Effect.logWarning(`could not remove ${folder}: ${error.message}`).pipe(
        Effect.annotateLogs({ outcome: succeeded ? "success" : "failure" }),
        // Without its folder nobody is kept from the output: the next job sees to that.
        Effect.andThen(Effect.ignore(release(storage, output, leases)))
      )
    )
  )
})

const commit = Effect.fnUntraced(function* <A>(
  run: Run,
  claimed: Claim,
  { isPartitioned, mode, name, writer }: WriteAction<A>,
  splitIds: ReadonlyArray<string | undefined>,
  results: ReadonlyMap<number, Written & { readonly attempt: number }>
): Effect.fn.Return<Manifest, Reason> {
  const { storage } = run
  const conservation = run.account()
  const files: Array<Manifest["files"][number]> = []
  const staged: Array<Staged> = []
  for (const [partition, result] of Array.from(results).toSorted(([left], [right]) => left - right)) {
    const split = splitIds[partition]
    for (const { bytes, checksum, name, path, rows } of result.files) {
      staged.push({ from: path, name })
      files.push({
        path: name,
        rows,
        bytes,
        checksum,
        partition,
        attempt: result.attempt,
        ...(split === undefined ? {} : { split })
      })
    }
  }
  const rest = Effect.gen(function* () {
    for (const held of claimed.leases) {
      if (!(yield* isHeld(storage, held))) return yield* new LeaseLost({ path: claimed.path })
    }
    if (files.length === 0 && !isPartitioned) {
      // A file at least carries the columns, by which the output can be read back. One in no folder would be in the way of partitions.
      const file = yield* putFile(
        writer,
        `${claimed.folder}/0-0`,
        partName(writer, 0, run.jobId),
        Stream.empty,
        storage
      )
      staged.push({ from: file.path, name: file.name })
      files.push({ path: file.name, rows: 0, bytes: file.bytes, checksum: file.checksum, partition: 0, attempt: 0 })
    }
    const letters = run.letters().map(({ path, rows }, index) => ({
      from: path,
      name: `_dead_letters/part-${String(index).padStart(5, "0")}-${run.jobId}.jsonl`,
      rows
    }))
    staged.push(...letters)
    yield* stage(storage, claimed, staged)
    const names = staged.map((file) => file.name)
    const appends = mode === "append"
    const previous = appends && claimed.there === "present" ? yield* previousFiles(storage, claimed) : []
    const all = [...previous, ...files]
    const manifest: Manifest = {
      version: 1,
      job: run.jobId,
      name,
      fingerprint: run.fingerprint,
      format: writer.format,
      created: yield* Clock.currentTimeMillis,
      conservation,
      deadLetters: letters.map(({ name, rows }) => ({ path: name, rows })),
      rows: all.reduce((sum, file) => sum + file.rows, 0),
      bytes: all.reduce((sum, file) => sum + file.bytes, 0),
      files: all
    }
    yield* publish(storage, claimed, appends, names, `${JSON.stringify(manifest, undefined, 2)}\n`).pipe(
      // An answer may be lost, and the rename be done.
      Effect.catch((error) =>
        Effect.flatMap(isCommitted(storage, claimed, run.jobId), (done) => (done ? Effect.void : Effect.fail(error)))
      )
    )
    return manifest
  })
  return yield* Effect.mapError(rest, (error): Reason => {
    if (isReason(error)) return error
    return error._tag === "StorageError" && error.reason._tag === "AlreadyExists" && mode === "error-if-exists"
      ? new OutputExists({ path: claimed.path })
      : new OutputFailed({ error })
  })
})
