import { HdfsAuth, HdfsClient, HdfsConfig } from "@sluice/hdfs"
import { HadoopCluster } from "@sluice/hdfs/testing"
import { afterAll, assert, beforeAll, describe } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import type * as HdfsError from "../src/HdfsError.ts"

/** Why no cluster can run here, or `undefined`. */
export const missing = Effect.runSync(HadoopCluster.unavailable)

/**
 * `describe` for suites that need something real, which starts before their tests and ends after them. Skipped if a
 * requirement is `missing`, unless everything is required.
 */
export const describeStarted = <A>(
  title: string,
  missing: string | undefined,
  start: Effect.Effect<A, HadoopCluster.HadoopError, Scope.Scope>,
  body: (started: Effect.Effect<A>) => void
): void => {
  if (missing !== undefined && process.env["SLUICE_REQUIRE_ALL"] !== "1") {
    describe.skip(`${title} (${missing})`, () => body(Effect.never))
    return
  }
  describe(title, { timeout: 150_000 }, () => {
    const scope = Scope.makeUnsafe()
    let started: { readonly it: A } | undefined
    const given = new AbortController()
    beforeAll(async () => {
      const { signal } = given
      started = { it: await Effect.runPromise(Effect.provideService(start, Scope.Scope, scope), { signal }) }
    }, 180_000)
    afterAll(() => {
      // One that took too long starts no more.
      given.abort()
      return Effect.runPromise(Scope.close(scope, Exit.void))
    }, 60_000)
    body(
      Effect.suspend(() =>
        started === undefined ? Effect.die("the cluster has not been started") : Effect.succeed(started.it)
      )
    )
  })
}

/** `describeStarted` with a cluster. */
export const describeHadoop = (
  title: string,
  options: HadoopCluster.Options,
  body: (cluster: Effect.Effect<HadoopCluster.HadoopCluster>) => void
): void => describeStarted(title, missing, HadoopCluster.make(options), body)

/** A client as a user, quick to give up and quick to try again. */
export const clientAs = (
  options: HdfsConfig.Options,
  user: string,
  doAs?: string
): Layer.Layer<HdfsClient.HdfsClient | HdfsConfig.HdfsConfig> =>
  // Not the client of another that is provided around it.
  Layer.fresh(HdfsClient.layer).pipe(
    Layer.provide(Layer.orDie(HdfsAuth.layerSimple({ user, doAs }))),
    Layer.provideMerge(
      Layer.orDie(
        HdfsConfig.layer({
          retryBase: "50 millis",
          retryMax: "1 second",
          readTimeout: "10 seconds",
          connectTimeout: "5 seconds",
          ...options
        })
      )
    )
  )

/** Asserts the reason of a failure, and that its message names the operation. */
export const reason = <A, R>(
  effect: Effect.Effect<A, HdfsError.HdfsError, R>,
  ...tags: ReadonlyArray<HdfsError.Reason["_tag"]>
) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.include(tags, error.reason._tag, error.message)
    assert.include(error.message, error.operation)
    return error
  })

/** Bytes that differ from block to block. */
export const sample = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 0xff
  return bytes
}
