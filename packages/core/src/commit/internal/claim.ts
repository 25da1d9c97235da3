/** Everything that has to be so before the first row is read: a place for the output, the lease on it, and nothing left of dead jobs. */
import { Clock, Effect, Result, type Schema } from "effect"
import { InvalidOutput, type LeaseLost, OutputExists, OutputFailed, type OutputLeased } from "../../task/JobError.ts"
import type { Backend } from "../../storage/Storage.ts"
import { StorageError } from "../../storage/StorageError.ts"
import { self } from "../../storage/internal/identity.ts"
import { besideOf, entriesOf, exists, insideOf, ownerOf, parentOf, probe, type There, writeText } from "./layout.ts"
import * as Lease from "./lease.ts"
import { settle } from "./recover.ts"

/** An output that this job alone writes. */
export interface Claim {
  /** As the program named it. */
  readonly path: string
  /** Where it is. */
  readonly output: string
  /** The folder of the job. */
  readonly folder: string
  /** Whether the folder lies in the output, from where the output cannot be replaced as a whole. */
  readonly isInside: boolean
  readonly leases: ReadonlyArray<Lease.Held>
  readonly there: There
}

export type ClaimError = OutputExists | OutputLeased | LeaseLost | InvalidOutput | OutputFailed

export interface Options extends Lease.Request {
  readonly mode: "error-if-exists" | "overwrite" | "append"
  /** The files the plan reads. */
  readonly inputs: ReadonlyArray<string>
}

type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

const failed = (error: StorageError) => new OutputFailed({ error })

const invalid = (path: string, detail: string) => new InvalidOutput({ path, detail })

/** Where an output is, links followed. */
export const realOutput = Effect.fnUntraced(function* (storage: Backend, path: string) {
  return yield* Effect.mapError(storage.realPath(path), (error) =>
    error.reason._tag === "InvalidPath" ? invalid(path, error.reason.message) : failed(error)
  )
})

// The old output goes with the commit, and what was read from it could not be read again by an attempt that comes later.
const checkInputs = Effect.fnUntraced(function* (storage: Backend, output: string, { inputs, mode, path }: Options) {
  if (mode !== "overwrite") return
  yield* Effect.forEach(
    inputs,
    Effect.fnUntraced(function* (input) {
      // What cannot be found is the reader's to tell.
      const real = yield* Effect.orElseSucceed(storage.realPath(input), () => input)
      if (real === output || real.startsWith(`${output}/`)) {
        return yield* invalid(path, `has ${input} in it, which this job reads and the overwrite would delete`)
      }
    }),
    { concurrency: 16, discard: true }
  )
})

// Whether files of another folder can be renamed into the output: not where it is a mount point.
const takesFiles = Effect.fnUntraced(function* (storage: Backend, output: string, staging: string, job: string) {
  const from = `${staging}/.probe-${job}`
  const to = `${insideOf(output)}/.probe-${job}`
  yield* writeText(storage, from, "")
  return yield* storage.rename(from, to).pipe(
    Effect.as(true),
    Effect.catchReason("StorageError", "Unsupported", () => Effect.succeed(false)),
    Effect.ensuring(Effect.forEach([from, to], (path) => Effect.ignore(storage.delete(path))))
  )
})

const isDenied = (error: unknown): boolean =>
  error instanceof StorageError && (error.reason._tag === "PermissionDenied" || error.reason._tag === "Unsupported")

/** Removes the folders of leases that were given back, as far as nothing else is in them. */
const removeStaging = Effect.fnUntraced(
  function* (storage: Backend, output: string, staging: string) {
    yield* storage.delete(staging)
    if (staging !== insideOf(output)) yield* storage.delete(parentOf(staging)[0])
  },
  (effect) => Effect.ignore(effect)
)

/** Gives the leases back. */
export const release = Effect.fnUntraced(function* (
  storage: Backend,
  output: string,
  leases: ReadonlyArray<Lease.Held>
) {
  for (const held of leases) {
    yield* Lease.release(storage, held)
    yield* removeStaging(storage, output, held.staging)
  }
})

/**
 * Takes an output for a job. Run uninterruptibly: `restore`d parts alone can be interrupted.
 */
export const claim = Effect.fnUntraced(function* (
  storage: Backend,
  options: Options,
  restore: Restore
): Effect.fn.Return<Claim, ClaimError> {
  const { job, mode, path } = options
  const output = yield* restore(realOutput(storage, path))
  yield* restore(checkInputs(storage, output, options))
  const look = Effect.mapError(probe(storage, output), failed)
  const refuses = (there: There) => there === "file" || (mode === "error-if-exists" && there === "present")
  const taken = new OutputExists({ path })
  const beside = besideOf(output)
  const inside = insideOf(output)
  const staged = Effect.map(
    Effect.all([entriesOf(storage, beside), entriesOf(storage, inside)]),
    (found) => found.flat().length > 0
  )
  const before = yield* restore(look)
  if (before === "file") return yield* taken
  // What is staged may be a job's that died while it replaced the output.
  if (refuses(before) && !(yield* restore(Effect.mapError(staged, failed)))) {
    // Folders that are empty are what a process killed at its very end leaves.
    yield* Effect.andThen(removeStaging(storage, output, inside), removeStaging(storage, output, beside))
    return yield* taken
  }

  const deadline = (yield* Clock.currentTimeMillis) + options.waitMillis
  const leases: Array<Lease.Held> = []
  const giveUp = Effect.suspend(() => {
    const held = leases.splice(0)
    return Effect.ensuring(Effect.ignore(release(storage, output, held)), Lease.forget(held))
  }).pipe(
    // Whoever asks a folder for the time may be the last one in it.
    Effect.andThen(removeStaging(storage, output, inside)),
    Effect.andThen(removeStaging(storage, output, beside))
  )
  const take = Effect.fnUntraced(function* (staging: string, waitMillis: number) {
    const held = yield* Lease.acquire(storage, staging, { ...options, waitMillis }, restore)
    leases.push(held)
    return held
  })
  const recover = Effect.fnUntraced(function* (held: Lease.Held) {
    for (const folder of yield* Lease.fence(storage, held)) yield* settle(storage, output, folder)
  })

  const work: Effect.Effect<Claim, ClaimError | StorageError | Schema.SchemaError> = Effect.gen(function* () {
    let isInside = false
    for (;;) {
      const left = Math.max(0, deadline - (yield* Clock.currentTimeMillis))
      const first = yield* Effect.result(take(beside, left))
      if (Result.isFailure(first)) {
        // The parent may not be written: all can be done in a directory that is there.
        if (!isDenied(first.failure) || before === "absent") return yield* Effect.fail(first.failure)
        isInside = true
        yield* take(inside, left)
        break
      }
      if ((yield* entriesOf(storage, inside)).length === 0) break
      // Whoever cannot write beside the output has its lease inside. Waiting for one lease while holding another could last for ever.
      const second = yield* Effect.result(take(inside, 0))
      if (Result.isSuccess(second)) break
      if (second.failure._tag !== "OutputLeased" || left === 0) return yield* Effect.fail(second.failure)
      yield* giveUp
      yield* restore(Effect.sleep(Math.min(left, 1000)))
    }
    for (const held of leases) yield* recover(held)
    const there = yield* probe(storage, output)
    if (refuses(there)) return yield* taken
    if (!isInside && there !== "absent" && !(yield* takesFiles(storage, output, beside, job))) {
      isInside = true
      if (leases.length === 1) yield* recover(yield* take(inside, 0))
    }
    if (!isInside) yield* Effect.ignore(storage.delete(inside))
    const folder = `${isInside ? inside : beside}/${job}`
    yield* writeText(storage, ownerOf(folder), JSON.stringify({ job, name: options.name, process: self }))
    return { path, output, folder, isInside, leases, there }
  })
  return yield* work.pipe(
    Effect.catch((error) => Effect.suspend(() => Lease.orLost(storage, [...leases], path, error))),
    Effect.mapError((error) =>
      error._tag === "StorageError"
        ? failed(error)
        : error._tag === "SchemaError"
          ? invalid(path, `has an unfinished commit that cannot be read: ${error.message}`)
          : error
    ),
    Effect.onError(() => giveUp)
  )
})

/** The folder of a running job, as its tasks find it; `undefined` once another job took it away. */
export const folderOf = Effect.fnUntraced(function* (storage: Backend, output: string, job: string) {
  for (const staging of [besideOf(output), insideOf(output)]) {
    const folder = `${staging}/${job}`
    if (yield* exists(storage, ownerOf(folder))) return folder
  }
  return undefined
})
