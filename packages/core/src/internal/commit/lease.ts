/**
 * Who may write an output: one job at a time.
 *
 * A lease is a file `_lease-<n>` in the staging folder, created exclusively and never changed. Its holder renews it by writing
 * `_beat-<n>` beside it. Whoever finds a lease that was not renewed for a minute creates `_lease-<n+1>`: of several one succeeds, and
 * nobody can take away a lease other than the one it watched. The new holder then renames the folders of all other jobs before it
 * looks at the output. Every step of a commit moves something out of or into the folder of its job, so that a job that slept through
 * the loss of its lease cannot commit any more, at whatever step it wakes up.
 *
 * Two hosts' clocks are never compared: a minute is told by the modification times of the storage, of which the present is one
 * too (a file written for it), or by a clock of one's own on which nothing changed. That a holder is gone is known at once where it was
 * a process of this kernel and of this namespace of process numbers.
 */
import { randomUUID } from "node:crypto"
import { Clock, Duration, Effect, Option, Schema } from "effect"
import { LeaseLost, OutputLeased } from "../../JobError.ts"
import type { Backend } from "../../Storage.ts"
import type { StorageError } from "../../StorageError.ts"
import { Identity, isGone, self } from "../identity.ts"
import { entriesOf, exists, nameOf, optional, readText, writeText } from "./layout.ts"

/** Between two renewals. */
const renewMillis = 10_000

/** Without renewal. */
const staleMillis = 60_000

const Lease = Schema.Struct({
  /** Random, of this lease alone. */
  id: Schema.String,
  job: Schema.String,
  name: Schema.String,
  /** Milliseconds since 1970 UTC by the holder's clock, for people. */
  since: Schema.Number,
  process: Identity
})

type Lease = typeof Lease.Type

const LeaseJson = Schema.fromJsonString(Lease)

/** A lease this job holds. */
export interface Held {
  readonly id: string
  readonly staging: string
  readonly number: number
  readonly text: string
}

// The jobs of this process that run.
const running = new Set<string>()

const pad = (number: number): string => String(number).padStart(9, "0")
const leaseOf = (staging: string, number: number): string => `${staging}/_lease-${pad(number)}`
const beatOf = (staging: string, number: number): string => `${staging}/_beat-${pad(number)}`
const numberOf = (name: string): number | undefined => {
  const match = /^_(?:lease|beat)-(\d{9})$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

const highest = (names: ReadonlyArray<string>): number =>
  Math.max(0, ...names.filter((name) => name.startsWith("_lease-")).map((name) => numberOf(name) ?? 0))

/** What is known of a lease that another holds. */
interface Seen {
  readonly number: number
  readonly text: string
  readonly lease: Option.Option<Lease>
  /** All that changes with a renewal. */
  readonly state: string
  readonly modified: number
}

const look = Effect.fnUntraced(function* (storage: Backend, staging: string) {
  const number = highest((yield* entriesOf(storage, staging)).map((entry) => nameOf(entry.path)))
  if (number === 0) return undefined
  const status = yield* optional(storage.stat(leaseOf(staging, number)))
  const text = yield* optional(readText(storage, leaseOf(staging, number)))
  const beat = yield* optional(storage.stat(beatOf(staging, number)))
  const count = yield* optional(readText(storage, beatOf(staging, number)))
  // Given back in between.
  if (Option.isNone(text) || Option.isNone(status)) return undefined
  const modified = Math.max(status.value.modified, Option.isSome(beat) ? beat.value.modified : 0)
  const state = `${text.value}\n${Option.getOrElse(count, () => "")}\n${modified}`
  const lease = yield* Effect.option(Schema.decodeEffect(LeaseJson)(text.value))
  return { number, text: text.value, lease, state, modified } satisfies Seen
})

/** The present by the clock that modification times are of. */
const storageNow = Effect.fnUntraced(function* (storage: Backend, staging: string) {
  const path = `${staging}/.clock-${randomUUID()}`
  yield* writeText(storage, path, "")
  const status = yield* optional(storage.stat(path))
  yield* storage.delete(path)
  // A new holder has swept it away.
  return Option.isSome(status) ? status.value.modified : 0
})

const isDead = ({ id, process }: Lease): boolean => (process.id === self.id ? !running.has(id) : isGone(process))

/** Whether this is still the lease in force. */
export const isHeld = Effect.fnUntraced(function* (storage: Backend, { number, staging, text }: Held) {
  if (highest((yield* entriesOf(storage, staging)).map((entry) => nameOf(entry.path))) !== number) return false
  const now = yield* optional(readText(storage, leaseOf(staging, number)))
  return Option.isSome(now) && now.value === text
})

// Creates the lease after the one that was seen. `undefined` where another was faster.
const take = Effect.fnUntraced(function* (storage: Backend, staging: string, seen: Seen | undefined, lease: Lease) {
  const held: Held = { id: lease.id, staging, number: (seen?.number ?? 0) + 1, text: JSON.stringify(lease) }
  running.add(lease.id)
  const created = yield* writeText(storage, leaseOf(staging, held.number), held.text, false).pipe(
    Effect.as(true),
    Effect.catchReason("StorageError", "AlreadyExists", () => Effect.succeed(false))
  )
  // What was to be succeeded may have been given back, and others may have begun to count again.
  const succeeds =
    created &&
    (seen === undefined || (yield* exists(storage, leaseOf(staging, seen.number)))) &&
    (yield* isHeld(storage, held))
  if (succeeds) return held
  if (created) yield* giveBack(storage, held)
  running.delete(lease.id)
  return undefined
})

const giveBack = Effect.fnUntraced(function* (storage: Backend, { number, staging, text }: Held) {
  yield* storage.delete(beatOf(staging, number))
  const now = yield* optional(readText(storage, leaseOf(staging, number)))
  if (Option.isSome(now) && now.value === text) yield* storage.delete(leaseOf(staging, number))
})

/** Gives a lease back. Whatever the storage says, this process does not count as a holder any more. */
export const release = (storage: Backend, held: Held): Effect.Effect<void, StorageError> =>
  Effect.ensuring(giveBack(storage, held), forget([held]))

/** This process does not count as a holder any more, and the next job of it need not wait. */
export const forget = (leases: ReadonlyArray<Held>): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const held of leases) running.delete(held.id)
  })

/** Fails with what is at the bottom of a failure, where that is the loss of a lease. */
export const orLost = Effect.fnUntraced(function* <E>(
  storage: Backend,
  leases: ReadonlyArray<Held>,
  path: string,
  failure: E
): Effect.fn.Return<never, E | LeaseLost> {
  for (const held of leases) {
    const holds = yield* Effect.orElseSucceed(isHeld(storage, held), () => true)
    if (!holds) return yield* new LeaseLost({ path })
  }
  return yield* Effect.fail(failure)
})

/** Writes that the holder is there. Fails once it is the holder no longer. */
const renew = Effect.fnUntraced(function* (storage: Backend, held: Held, count: number, path: string) {
  if (!(yield* isHeld(storage, held))) return yield* new LeaseLost({ path })
  yield* writeText(storage, beatOf(held.staging, held.number), String(count))
})

/** Renews a lease for ever. A storage that does not answer is asked again. */
export const renewals = Effect.fnUntraced(function* (storage: Backend, leases: ReadonlyArray<Held>, path: string) {
  for (let count = 1; ; count++) {
    yield* Effect.sleep(renewMillis)
    for (const held of leases) {
      yield* Effect.catchTag(renew(storage, held, count, path), "StorageError", (error) =>
        Effect.logDebug(`could not renew the lease of ${path}: ${error.message}`)
      )
    }
  }
})

/** How a job asks for a lease. */
export interface Request {
  /** The output as the program named it. */
  readonly path: string
  readonly job: string
  readonly name: string
  /** Milliseconds it waits at most; 0 to be refused at once. */
  readonly waitMillis: number
}

const refusal = (path: string, seen: Seen, idleMillis: number): OutputLeased => {
  const lease = Option.getOrUndefined(seen.lease)
  return new OutputLeased({
    path,
    job: lease?.job ?? "unknown",
    name: lease?.name ?? "unknown",
    host: lease?.process.host ?? "unknown",
    pid: lease?.process.pid ?? 0,
    since: lease?.since ?? seen.modified,
    idleMillis: Math.max(0, idleMillis)
  })
}

/**
 * Takes the lease of a staging folder, or waits for it. Run uninterruptibly: only `restore`d parts can be interrupted, in which nothing
 * is held.
 */
export const acquire = Effect.fnUntraced(function* (
  storage: Backend,
  staging: string,
  request: Request,
  restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
): Effect.fn.Return<Held, StorageError | OutputLeased> {
  const started = yield* Clock.currentTimeMillis
  let watched: { readonly state: string; readonly since: number } | undefined
  let told = false
  let pause = 250
  let missing = 0
  for (;;) {
    const seen = yield* restore(look(storage, staging))
    const now = yield* Clock.currentTimeMillis
    if (watched?.state !== seen?.state) watched = undefined
    // One's own clock serves while it watches; the storage's tells what was before.
    const idle =
      seen === undefined || (Option.isSome(seen.lease) && isDead(seen.lease.value))
        ? Infinity
        : watched === undefined
          ? (yield* restore(storageNow(storage, staging))) - seen.modified
          : now - watched.since
    if (seen === undefined || idle > staleMillis) {
      const lease: Lease = { id: randomUUID(), job: request.job, name: request.name, since: now, process: self }
      const held = yield* take(storage, staging, seen, lease).pipe(
        Effect.onError(() => Effect.sync(() => running.delete(lease.id))),
        // Another job removed the folder, which was empty, in this moment. Not for ever: there are places where nothing can be made.
        Effect.catchIf(
          (error) => error.reason._tag === "NotFound" && ++missing <= 20,
          () => Effect.undefined
        )
      )
      if (held !== undefined) return held
      if (seen !== undefined) continue
    } else {
      watched ??= { state: seen.state, since: now - Math.max(0, idle) }
      if (now - started >= request.waitMillis) return yield* refusal(request.path, seen, idle)
      if (!told) {
        told = true
        const { job, host, name, pid } = refusal(request.path, seen, idle)
        yield* Effect.logWarning(
          `${request.name} waits for ${job} (${name}, process ${pid} on ${host}), which is writing ${request.path}; at most ${Duration.format(Duration.millis(request.waitMillis))}`
        )
      }
    }
    yield* restore(Effect.sleep(seen === undefined ? 1 : pause))
    pause = Math.min(5000, pause * 1.5)
  }
})

/**
 * Takes everything in a staging folder away from whoever it was of, and gives what folders of jobs there were by their new names.
 * Only for the holder of its lease.
 */
export const fence = Effect.fnUntraced(function* (storage: Backend, { number, staging }: Held) {
  const folders: Array<string> = []
  for (const entry of yield* entriesOf(storage, staging)) {
    const name = nameOf(entry.path)
    const path = `${staging}/${name}`
    if (entry.type === "directory") {
      const lost = `${staging}/lost-${randomUUID()}`
      // Its job may be deleting it.
      if (Option.isSome(yield* optional(storage.rename(path, lost)))) folders.push(lost)
    } else if ((numberOf(name) ?? 0) < number) {
      // Leases before this one, and files that were being written when their writer was killed.
      yield* storage.delete(path)
    }
  }
  return folders
})
