import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HdfsAuth, HdfsClient, HdfsConfig, HdfsStorage } from "@sluice/hdfs"
import { HadoopCluster } from "@sluice/hdfs/testing"

const missing = Effect.runSync(HadoopCluster.unavailable)

/** `describe` for suites that need Java and Maven: skipped where they are missing, unless everything is required. */
export const describeHadoop = (title: string, body: () => void): void => {
  if (missing === undefined || process.env["SLUICE_REQUIRE_ALL"] === "1") describe(title, { timeout: 60_000 }, body)
  else describe.skip(`${title} (${missing})`, body)
}

/** What a client of a cluster is made with in these tests: quick to give up, quick to try again. */
export const settings = {
  retryBase: "50 millis",
  retryMax: "1 second",
  readTimeout: "10 seconds",
  connectTimeout: "5 seconds"
} as const

export const config = (options: HdfsConfig.Options): Layer.Layer<HdfsConfig.HdfsConfig> =>
  HdfsConfig.layer({ ...settings, ...options })

/** A client of a cluster as a user. */
export const clientAs = (
  options: HdfsConfig.Options,
  user: string
): Layer.Layer<HdfsClient.HdfsClient | HdfsConfig.HdfsConfig> =>
  HdfsClient.layer.pipe(
    Layer.provide(Layer.orDie(HdfsAuth.layerSimple({ user }))),
    Layer.provideMerge(config(options))
  )

export { HdfsStorage }
