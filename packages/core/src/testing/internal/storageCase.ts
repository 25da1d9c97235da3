/** A case of the contract, and what its cases have in common. */
import { assert } from "@effect/vitest"
import { Effect, Exit, type Scope, Stream } from "effect"
import type { Storage } from "../../storage/Storage.ts"
import { type Reason, StorageError } from "../../storage/StorageError.ts"

/** What a case is run with. */
interface Given {
  readonly storage: Storage["Service"]
  /** An empty directory for this case alone. It need not exist yet. */
  readonly root: string
  readonly top: string
  readonly join: (directory: string, name: string) => string
  readonly largeDirectory: number
}

export interface Case {
  readonly title: string
  readonly run: (given: Given) => Effect.Effect<unknown, unknown, Scope.Scope>
  /** Whether it holds only if one of several writers wins. */
  readonly needsExclusive?: boolean
  /** Milliseconds. Default: as the runner is configured. */
  readonly timeout?: number
}

export const sampleBytes = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff
  return bytes
}

export const text = (value: string): Stream.Stream<Uint8Array> => Stream.succeed(new TextEncoder().encode(value))

export const contents = (storage: Storage["Service"], path: string) =>
  Effect.map(Stream.runCollect(storage.read(path)), (pieces) => Buffer.concat(pieces).toString("utf8"))

export const list = (storage: Storage["Service"], path: string) =>
  Effect.map(Stream.runCollect(storage.list(path)), (found) =>
    found.map((status) => decodeURIComponent(status.path.slice(status.path.lastIndexOf("/") + 1)))
  )

/** Asserts that an effect fails with one of these reasons, and returns the error. */
export const failsWith = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  operation: string,
  ...tags: ReadonlyArray<Reason["_tag"]>
) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.flip(effect))
    if (!Exit.isSuccess(exit)) return assert.fail(`expected ${tags.join(" or ")}, the effect did not fail`)
    const error = exit.value
    if (!(error instanceof StorageError)) return assert.fail(`expected a StorageError, got ${String(error)}`)
    assert.include(tags, error.reason._tag, error.message)
    assert.strictEqual(error.operation, operation)
    return error
  })
