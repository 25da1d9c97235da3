/**
 * Who may write an output: one job at a time.
 *
 * A lease is a file `_lease-<n>` in the staging folder, created exclusively and never changed. Its holder renews it by
 * writing `_beat-<n>` beside it. A job that finds only leases without a renewal for a minute creates the next one,
 * which names them all, and looks again: unless it finds exactly the same leases beside its own, it withdraws. If two
 * jobs do this at once, one of them sees the other's lease; so at most one stays, and a lease takes something away only
 * from a predecessor that it names. The new holder then renames the folders of all other jobs before it looks at the
 * output. Every step of a commit moves something out of or into the folder of its job, so that a job that was suspended
 * while it lost its lease cannot commit, whatever step it continues with.
 *
 * The clocks of two hosts are never compared. A minute is measured by the modification times of the storage (a file
 * written for the purpose gives the present time), or by the job's own clock while nothing changes. If the holder was a
 * process of this kernel and of this process-number namespace, a job knows at once whether it is gone.
 */
import { randomUUID } from "node:crypto"
import { Clock, Duration, Effect, Option, Schema } from "effect"
import { LeaseLost, OutputLeased } from "../../task/JobError.ts"
import type { Backend } from "../../storage/Storage.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { Identity, isGone, self } from "../../storage/internal/identity.ts"
import { entriesOf, nameOf, optional, readText, writeText } from "./layout.ts"

/** How long a holder waits between two renewals. */
const renewMillis = 10_000

/** How long a lease is valid without renewal. */
const staleMillis = 60_000

const Lease = Schema.Struct({
  /** Random, and unique to this lease. */
  id: Schema.String,
  job: Schema.String,
  name: Schema.String,
  /** Milliseconds since 1970 UTC by the clock of the holder, for people to read. */
  since: Schema.Number,
  process: Identity,
  /** The expired leases that the job found. */
  after: Schema.Array(Schema.String)
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

// The leases that running jobs of this process hold.
const running = new Set<string>()

const pad = (number: number): string => String(number).padStart(9, "0")
const leaseOf = (staging: string, number: number): string => `${staging}/_lease-${pad(number)}`
const beatOf = (staging: string, number: number): string => `${staging}/_beat-${pad(number)}`
const numberOf = (name: string): number | undefined => {
  const match = /^_(?:lease|beat)-(\d{9})$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** A lease as another job sees it. */
interface Seen {
  readonly number: number
  readonly text: string
  readonly lease: Option.Option<Lease>
}

const leasesIn = Effect.fnUntraced(function* (storage: Backend, staging: string) {
  const names = (yield* entriesOf(storage, staging)).map((entry) => nameOf(entry.path))
  const leases: Array<Seen> = []
  for (const name of names.filter((name) => name.startsWith("_lease-"))) {
    const text = yield* optional(readText(storage, `${staging}/${name}`))
    const number = numberOf(name)
    // It was given back in the meantime.
    if (Option.isNone(text) || number === undefined) continue
    leases.push({ number, text: text.value, lease: yield* Effect.option(Schema.decodeEffect(LeaseJson)(text.value)) })
  }
  return leases.toSorted((left, right) => left.number - right.number)
})

/** The part of a lease that a renewal changes, and when it changed; nothing once the lease was given back. */
const lifeOf = Effect.fnUntraced(function* (storage: Backend, staging: string, { number, text }: Seen) {
  const status = yield* optional(storage.stat(leaseOf(staging, number)))
  const beat = yield* optional(storage.stat(beatOf(staging, number)))
  const count = yield* optional(readText(storage, beatOf(staging, number)))
  return Option.map(status, ({ modified: created }) => {
    const modified = Math.max(created, Option.isSome(beat) ? beat.value.modified : 0)
    return { state: `${text}\n${Option.getOrElse(count, () => "")}\n${modified}`, modified }
  })
})

const isDead = ({ lease }: Seen): boolean =>
  Option.isSome(lease) &&
  (lease.value.process.id === self.id ? !running.has(lease.value.id) : isGone(lease.value.process))

/**
 * The present time by the clock of the modification times. Nothing if it cannot be found out, because a new holder
 * removed the file, or the last holder removed the folder.
 */
const storageNow = Effect.fnUntraced(function* (storage: Backend, staging: string) {
  const path = `${staging}/.clock-${randomUUID()}`
  const status = yield* optional(Effect.andThen(writeText(storage, path, ""), storage.stat(path)))
  yield* storage.delete(path)
  return Option.map(status, ({ modified }) => modified)
})

/** Whether a lease is valid: it exists, and none was taken after it. */
const isAmong = (leases: ReadonlyArray<Seen>, { id, number, text }: Held): boolean =>
  leases.some((seen) => seen.number === number && seen.text === text) &&
  !leases.some(({ lease }) => Option.isSome(lease) && lease.value.after.includes(id))

/** Whether this lease is still valid. */
export const isHeld = (storage: Backend, held: Held): Effect.Effect<boolean, StorageError> =>
  Effect.map(leasesIn(storage, held.staging), (leases) => isAmong(leases, held))

// Creates the lease after those that were seen. `undefined` if another job was faster.
const take = Effect.fnUntraced(function* (
  storage: Backend,
  staging: string,
  seen: ReadonlyArray<Seen>,
  lease: Omit<Lease, "after">
) {
  const after = seen.flatMap(({ lease }) => (Option.isSome(lease) ? [lease.value.id] : []))
  const text = JSON.stringify({ ...lease, after } satisfies Lease)
  const held: Held = { id: lease.id, staging, number: (seen.at(-1)?.number ?? 0) + 1, text }
  running.add(lease.id)
  const created = yield* writeText(storage, leaseOf(staging, held.number), text, false).pipe(
    Effect.as(true),
    Effect.catchReason("StorageError", "AlreadyExists", () => Effect.succeed(false))
  )
  if (created) {
    const leases = yield* leasesIn(storage, staging)
    const others = leases.filter(({ number }) => number !== held.number)
    if (sameTexts(others, seen) && isAmong(leases, held)) return held
    yield* giveBack(storage, held)
  }
  running.delete(lease.id)
  return undefined
})

const sameTexts = (left: ReadonlyArray<Seen>, right: ReadonlyArray<Seen>): boolean =>
  left.length === right.length && left.every(({ text }, index) => text === right[index]?.text)

const giveBack = Effect.fnUntraced(function* (storage: Backend, { number, staging, text }: Held) {
  yield* storage.delete(beatOf(staging, number))
  const now = yield* optional(readText(storage, leaseOf(staging, number)))
  if (Option.isSome(now) && now.value === text) yield* storage.delete(leaseOf(staging, number))
})

/** Gives a lease back. Whatever the storage answers, this process no longer counts as a holder. */
export const release = (storage: Backend, held: Held): Effect.Effect<void, StorageError> =>
  Effect.ensuring(giveBack(storage, held), forget([held]))

/** From here on this process no longer counts as a holder, and its next job need not wait. */
export const forget = (leases: ReadonlyArray<Held>): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const held of leases) running.delete(held.id)
  })

/** Fails with the loss of the lease if that explains a failure, otherwise with the failure itself. */
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

/** Renews the lease. Fails when the job no longer holds it. */
const renew = Effect.fnUntraced(function* (storage: Backend, held: Held, count: number, path: string) {
  if (!(yield* isHeld(storage, held))) return yield* new LeaseLost({ path })
  yield* writeText(storage, beatOf(held.staging, held.number), String(count))
})

/** Renews leases forever. If the storage does not answer, it is asked again. */
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

/** A job's request for a lease. */
export interface Request {
  /** The output as the program named it. */
  readonly path: string
  readonly job: string
  readonly name: string
  /** How long the job waits at most, in milliseconds; with 0 it is refused at once. */
  readonly waitMillis: number
}

const refusal = (path: string, seen: Seen, idleMillis: number, now: number): OutputLeased => {
  const lease = Option.getOrUndefined(seen.lease)
  return new OutputLeased({
    path,
    job: lease?.job ?? "unknown",
    name: lease?.name ?? "unknown",
    host: lease?.process.host ?? "unknown",
    pid: lease?.process.pid ?? 0,
    since: lease?.since ?? now - idleMillis,
    idleMillis
  })
}

/**
 * Takes the lease of a staging folder, or waits for it. Run it uninterruptibly: only the parts that it `restore`s can be interrupted,
 * and in those nothing is held.
 */
export const acquire = Effect.fnUntraced(function* (
  storage: Backend,
  staging: string,
  request: Request,
  restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
): Effect.fn.Return<Held, StorageError | OutputLeased> {
  const started = yield* Clock.currentTimeMillis
  const watched = new Map<string, { readonly state: string; readonly since: number }>()
  let warned = false
  let pause = 250
  // How often a file disappeared while it was read or written. There is a limit, because in some places nothing can be
  // created.
  let missing = 0

  /** For how many milliseconds a lease has not been renewed; nothing if it is being renewed right now. */
  const idleOf = Effect.fnUntraced(function* (one: Seen) {
    const life = yield* lifeOf(storage, staging, one)
    if (Option.isNone(life)) return Option.none()
    const { modified, state } = life.value
    const now = yield* Clock.currentTimeMillis
    let watch = watched.get(one.text)
    if (watch?.state !== state) {
      // The job's own clock is enough while the job watches. Only the clock of the storage covers the time before that.
      const present = yield* storageNow(storage, staging)
      if (Option.isNone(present) && ++missing <= 20) return Option.none()
      watch = { state, since: now - Math.max(0, Option.getOrElse(present, () => modified) - modified) }
      watched.set(one.text, watch)
    }
    return Option.some(now - watch.since)
  })

  for (;;) {
    const seen = yield* restore(leasesIn(storage, staging))
    const now = yield* Clock.currentTimeMillis
    let holder: { readonly seen: Seen; readonly idle: number } | undefined
    let changed = false
    for (const one of seen) {
      if (isDead(one)) continue
      const idle = yield* restore(idleOf(one))
      changed ||= Option.isNone(idle)
      if (Option.isSome(idle) && idle.value <= staleMillis) holder = { seen: one, idle: idle.value }
    }
    if (!changed && holder === undefined) {
      const lease = { id: randomUUID(), job: request.job, name: request.name, since: now, process: self }
      const held = yield* take(storage, staging, seen, lease).pipe(
        Effect.onError(() => Effect.sync(() => running.delete(lease.id))),
        Effect.catchIf(
          (error) => error.reason._tag === "NotFound" && ++missing <= 20,
          () => Effect.undefined
        )
      )
      if (held !== undefined) return held
    }
    if (holder === undefined) {
      yield* restore(Effect.sleep(1))
      continue
    }
    if (now - started >= request.waitMillis) return yield* refusal(request.path, holder.seen, holder.idle, now)
    if (!warned) {
      warned = true
      const { job, host, name, pid } = refusal(request.path, holder.seen, holder.idle, now)
      yield* Effect.logWarning(
        `${request.name} waits for ${job} (${name}, process ${pid} on ${host}), which is writing ${request.path}, for at most ${Duration.format(Duration.millis(request.waitMillis))}`
      )
    }
    yield* restore(Effect.sleep(pause))
    pause = Math.min(5000, pause * 1.5)
  }
})

/**
 * Takes everything in a staging folder away from the jobs that own it, and returns the new names of their folders. Only
 * the holder of the lease may call this.
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
      // Earlier leases, and files that were being written when their writer was killed.
      yield* storage.delete(path)
    }
  }
  return folders
})
