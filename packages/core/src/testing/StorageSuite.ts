/**
 * The contract of `Storage` as tests, for every backend.
 *
 * The cases are those of Hadoop's `AbstractContract*Test` that apply to `Storage`, and those that a dataflow adds: a
 * failed write leaves nothing, and a slow consumer stops the reader.
 *
 * @since 0.1.0
 */
import { describe, it } from "@effect/vitest"
import { Effect, type Layer, type Scope } from "effect"
import { Storage } from "../storage/Storage.ts"
import { creating } from "./internal/creating.ts"
import { listing } from "./internal/listing.ts"
import { racing } from "./internal/racing.ts"
import { reading } from "./internal/reading.ts"
import { removing } from "./internal/removing.ts"
import { renaming } from "./internal/renaming.ts"

/**
 * How to test a backend.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** An empty directory for one test, as a URI without a trailing slash. It need not exist yet. */
  readonly root: Effect.Effect<string, unknown, Storage | Scope.Scope>
  /** The root of the file system, which is never deleted. */
  readonly top: string
  /** The path of a name in a directory, however odd the name. Default: percent-encoded. */
  readonly join?: ((directory: string, name: string) => string) | undefined
  /** Whether exactly one of several writers without `overwrite` wins. Default `true`. */
  readonly exclusive?: boolean | undefined
  /** Entries of the large directory. Default 10,000. */
  readonly largeDirectory?: number | undefined
}

const encodeName = (directory: string, name: string) => `${directory}/${encodeURIComponent(name)}`

/**
 * Registers the contract as a `describe` block named after the backend.
 *
 * @category constructors
 * @since 0.1.0
 */
export const suite = <E>(name: string, layer: Layer.Layer<Storage, E>, options: Options): void => {
  const { exclusive = true, join = encodeName, largeDirectory = 10_000, top } = options
  describe(`Storage contract (${name})`, () => {
    it.layer(layer, { excludeTestServices: true })((it) => {
      for (const { needsExclusive = false, run, timeout, title } of [
        ...creating,
        ...reading,
        ...listing,
        ...removing,
        ...renaming,
        ...racing
      ]) {
        const test = needsExclusive && !exclusive ? it.effect.skip : it.effect
        test(
          title,
          () =>
            Effect.gen(function* () {
              const storage = yield* Storage
              yield* run({ storage, root: yield* options.root, top, join, largeDirectory })
            }),
          timeout
        )
      }
    })
  })
}
