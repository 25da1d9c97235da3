/**
 * What a write needs before it reads the first row: a place for the output, the lease on it, and nothing left of dead
 * jobs.
 */
import { Clock, Effect, Result, type Schema } from "effect"
import { InvalidOutput, LeaseLost, OutputExists, type OutputFailed, type OutputLeased } from "../../task/JobError.ts"
import { type Backend, Storage } from "../../storage/Storage.ts"
import { StorageError } from "../../storage/StorageError.ts"
import { self } from "../../storage/internal/identity.ts"
import {
  entriesOf,
  exists,
  type Layout,
  layoutOf,
  nameOf,
  parentOf,
  type Place,
  places,
  probe,
  stagingOf,
  type There,
  writeText
} from "./layout.ts"
import * as Lease from "./lease.ts"
import type { WriteMode } from "./model.ts"
import { outputFailed } from "./reasons.ts"
import { settle } from "./recover.ts"

/** A lease, and the staging folder (of the two) that it is on. */
interface PlacedLease extends Lease.Held {
  readonly place: Place
}

/** An output that only this job writes. */
export interface Claim {
  /** As the program named it. */
  readonly path: string
  readonly mode: WriteMode
  readonly layout: Layout
  readonly leases: ReadonlyArray<PlacedLease>
  readonly there: There
}

export type ClaimError = OutputExists | OutputLeased | LeaseLost | InvalidOutput | OutputFailed

export interface Options extends Lease.Request {
  readonly mode: WriteMode
  /** The files the plan reads. */
  readonly inputs: ReadonlyArray<string>
}

type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

const invalid = (path: string, detail: string) => new InvalidOutput({ path, detail })

/** Where an output is after links are followed. */
const realOutput = Effect.fnUntraced(function* (storage: Backend, path: string) {
  return yield* Effect.mapError(storage.realPath(path), (error) =>
    error.reason._tag === "InvalidPath" ? invalid(path, error.reason.message) : outputFailed(error)
  )
})

// The commit deletes the old output, and a later attempt could not read its rows again.
const checkInputs = Effect.fnUntraced(function* (storage: Backend, output: string, { inputs, mode, path }: Options) {
  if (mode !== "overwrite") return
  yield* Effect.forEach(
    inputs,
    Effect.fnUntraced(function* (input) {
      // The reader reports a path that is not found.
      const real = yield* Effect.orElseSucceed(storage.realPath(input), () => input)
      if (real === output || real.startsWith(`${output}/`)) {
        return yield* invalid(path, `contains ${input}, which this job reads and the overwrite would delete`)
      }
    }),
    { concurrency: 16, discard: true }
  )
})

// Whether files of another folder can be renamed into the output: not if it is a mount point.
const takesFiles = Effect.fnUntraced(function* (storage: Backend, output: string, job: string) {
  const [from, to] = [`${stagingOf(output, "beside")}/.probe-${job}`, `${stagingOf(output, "inside")}/.probe-${job}`]
  yield* writeText(storage, from, "")
  return yield* storage.rename(from, to).pipe(
    Effect.as(true),
    Effect.catchReason("StorageError", "Unsupported", () => Effect.succeed(false)),
    Effect.ensuring(Effect.forEach([from, to], (path) => Effect.ignore(storage.delete(path))))
  )
})

const isDenied = (error: unknown): boolean =>
  error instanceof StorageError && (error.reason._tag === "PermissionDenied" || error.reason._tag === "Unsupported")

const isRefused = (mode: WriteMode, there: There): boolean =>
  there === "file" || (mode === "error-if-exists" && there === "present")

/** Removes a staging folder if it is empty. */
const removeStaging = Effect.fnUntraced(
  function* (storage: Backend, output: string, place: Place) {
    const staging = stagingOf(output, place)
    yield* storage.delete(staging)
    if (place === "beside") yield* storage.delete(parentOf(staging)[0])
  },
  (effect) => Effect.ignore(effect)
)

const removeStagings = (storage: Backend, output: string) =>
  Effect.andThen(removeStaging(storage, output, "inside"), removeStaging(storage, output, "beside"))

/** Gives leases back. */
const releaseAll = Effect.fnUntraced(function* (storage: Backend, output: string, leases: ReadonlyArray<PlacedLease>) {
  for (const held of leases) {
    yield* Lease.release(storage, held)
    yield* removeStaging(storage, output, held.place)
  }
})

/** Gives the leases of a claim back. */
export const release = (storage: Backend, { layout, leases }: Claim) => releaseAll(storage, layout.output, leases)

/** A job that asks for an output. */
interface Asking {
  readonly storage: Backend
  /** Where the output is. */
  readonly output: string
  readonly options: Options
  /** Runs a part that can be interrupted. */
  readonly restore: Restore
}

// What is at the output before the job asks for a lease. Fails if the job could not write there even with the lease.
const lookBefore = Effect.fnUntraced(function* ({ options, output, restore, storage }: Asking) {
  const before = yield* restore(Effect.mapError(probe(storage, output), outputFailed))
  const taken = new OutputExists({ path: options.path })
  if (before === "file") return yield* new OutputExists({ path: options.path, isFile: true })
  if (!isRefused(options.mode, before)) return before
  // Staged files may belong to a job that died while it replaced the output.
  const staged = Effect.forEach(places, (place) => entriesOf(storage, stagingOf(output, place)))
  if ((yield* restore(Effect.mapError(staged, outputFailed))).flat().length > 0) return before
  // A process that is killed at its very end leaves empty folders.
  yield* removeStagings(storage, output)
  return yield* taken
})

/** The leases of one job on an output, as it takes them. */
const makeLeases = ({ options, output, restore, storage }: Asking) => {
  const held: Array<PlacedLease> = []
  return {
    held,
    take: Effect.fnUntraced(function* (place: Place, waitMillis: number) {
      const lease = yield* Lease.acquire(storage, stagingOf(output, place), { ...options, waitMillis }, restore)
      const placed = { ...lease, place }
      held.push(placed)
      return placed
    }),
    giveUp: Effect.suspend(() => {
      const leases = held.splice(0)
      return Effect.ensuring(Effect.ignore(releaseAll(storage, output, leases)), Lease.forget(leases))
    }).pipe(
      // A job that writes a file to learn the time may be the last one in the folder.
      Effect.andThen(removeStagings(storage, output))
    )
  }
}

type Leases = ReturnType<typeof makeLeases>

// Takes the lease on an output, or both leases if others may have theirs inside. Returns the place where the job stages
// its files.
const takeLeases = Effect.fnUntraced(function* (
  { options, output, restore, storage }: Asking,
  leases: Leases,
  before: There
): Effect.fn.Return<Place, ClaimError | StorageError> {
  const deadline = (yield* Clock.currentTimeMillis) + options.waitMillis
  for (;;) {
    const left = Math.max(0, deadline - (yield* Clock.currentTimeMillis))
    const first = yield* Effect.result(leases.take("beside", left))
    if (Result.isFailure(first)) {
      // The parent may not be written. A directory that exists has room for everything.
      if (!isDenied(first.failure) || before === "absent") return yield* Effect.fail(first.failure)
      yield* leases.take("inside", left)
      return "inside"
    }
    if ((yield* entriesOf(storage, stagingOf(output, "inside"))).length === 0) return "beside"
    // A job that cannot write beside the output has its lease inside. Waiting for one lease while holding another could
    // take forever.
    const second = yield* Effect.result(leases.take("inside", 0))
    if (Result.isSuccess(second)) return "beside"
    if (second.failure._tag !== "OutputLeased" || left === 0) return yield* Effect.fail(second.failure)
    yield* leases.giveUp
    yield* restore(Effect.sleep(Math.min(left, 1000)))
  }
})

// Takes everything away from earlier jobs, and finishes or undoes what they began.
const recover = Effect.fnUntraced(function* (storage: Backend, output: string, held: PlacedLease) {
  for (const folder of yield* Lease.fence(storage, held)) {
    yield* settle(storage, layoutOf(output, held.place, nameOf(folder)))
  }
})

// Takes the leases that make this job the only writer of the output.
const claimWith = Effect.fnUntraced(function* (asking: Asking, leases: Leases, before: There) {
  const { options, output, storage } = asking
  const { job, mode, name, path } = options
  let place = yield* takeLeases(asking, leases, before)
  for (const held of leases.held) yield* recover(storage, output, held)
  const there = yield* probe(storage, output)
  if (isRefused(mode, there)) return yield* new OutputExists(there === "file" ? { path, isFile: true } : { path })
  if (place === "beside" && there !== "absent" && !(yield* takesFiles(storage, output, job))) {
    place = "inside"
    if (leases.held.length === 1) yield* recover(storage, output, yield* leases.take("inside", 0))
  }
  if (place === "beside") yield* Effect.ignore(storage.delete(stagingOf(output, "inside")))
  const layout = layoutOf(output, place, job)
  yield* writeText(storage, layout.owner, JSON.stringify({ job, name, process: self }))
  return { path, mode, layout, leases: leases.held, there } satisfies Claim
})

const claimFailed = (path: string, error: ClaimError | StorageError | Schema.SchemaError): ClaimError =>
  error._tag === "StorageError"
    ? outputFailed(error)
    : error._tag === "SchemaError"
      ? invalid(path, `has an unfinished commit that cannot be read: ${error.message}`)
      : error

/**
 * Takes an output for a job. Run this uninterruptibly: only the parts that it `restore`s can be interrupted.
 */
export const claim = Effect.fnUntraced(function* (
  storage: Backend,
  options: Options,
  restore: Restore
): Effect.fn.Return<Claim, ClaimError> {
  const { path } = options
  const output = yield* restore(realOutput(storage, path))
  const asking: Asking = { storage, output, options, restore }
  yield* restore(checkInputs(storage, output, options))
  const before = yield* lookBefore(asking)
  const leases = makeLeases(asking)
  return yield* claimWith(asking, leases, before).pipe(
    Effect.catch((error) => Effect.suspend(() => Lease.orLost(storage, [...leases.held], path, error))),
    Effect.mapError((error) => claimFailed(path, error)),
    Effect.onError(() => leases.giveUp)
  )
})

/** The layout of a running job, as its tasks find it. Fails once another job has taken its folder away. */
export const layoutOfJob = Effect.fnUntraced(function* (path: string, job: string) {
  const storage = yield* Storage
  const output = yield* realOutput(storage, path)
  for (const place of places) {
    const layout = layoutOf(output, place, job)
    if (yield* exists(storage, layout.owner)) return layout
  }
  return yield* new LeaseLost({ path })
})
