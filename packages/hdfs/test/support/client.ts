import { HdfsAuth, HdfsClient, HdfsConfig, type HdfsError } from "@sluice/hdfs"
import { assert } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"

export const fileStatus = {
  accessTime: 0,
  blockSize: 1024,
  fileId: 7,
  group: "g",
  length: 10,
  modificationTime: 1,
  owner: "o",
  pathSuffix: "",
  permission: "644",
  replication: 1,
  type: "FILE"
}

export const client = (options: HdfsConfig.Options, auth?: Layer.Layer<HdfsAuth.HdfsAuth>) =>
  HdfsClient.layer.pipe(
    Layer.provide(
      HdfsConfig.layer({
        retryBase: "1 millis",
        retryMax: "5 millis",
        readTimeout: "200 millis",
        maxRetries: 3,
        ...options
      })
    ),
    Layer.provide(auth ?? Layer.orDie(HdfsAuth.layerSimple({ user: "ann" })))
  )

export const withClient = <A, E, R>(
  options: HdfsConfig.Options,
  use: (client: HdfsClient.HdfsClient["Service"]) => Effect.Effect<A, E, R>,
  auth?: Layer.Layer<HdfsAuth.HdfsAuth>
) => Effect.flatMap(HdfsClient.HdfsClient, use).pipe(Effect.provide(client(options, auth)))

/** Asserts the reason of a failure, and that it names operation and path. */
export const reason = <A, R>(effect: Effect.Effect<A, HdfsError.HdfsError, R>, tag: HdfsError.Reason["_tag"]) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual(error.reason._tag, tag, error.message)
    assert.include(error.message, error.operation)
    return error
  })

export const readAll = (hdfs: HdfsClient.HdfsClient["Service"], path = "/f", options?: HdfsClient.OpenOptions) =>
  Effect.map(Stream.runCollect(hdfs.open(path, options)), (chunks) => Buffer.concat(chunks).toString())
