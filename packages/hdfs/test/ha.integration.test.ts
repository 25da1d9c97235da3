import { HdfsAuth, HdfsClient, HdfsConfig, HdfsStorage } from "@sluice/hdfs"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { clientAs, describeHadoop, sample } from "./hadoop.ts"

const mebi = 1024 * 1024

describeHadoop(
  "HDFS with two NameNodes",
  { nameNodes: 2, dataNodes: 2, blockSize: mebi, replication: 2 },
  (cluster) => {
    const hdfs = Layer.unwrap(
      Effect.map(cluster, ({ nameNodes }) => clientAs({ nameNodes: nameNodes.map((each) => each.url) }, "hdfs"))
    )

    it.live("HADOOP_CONF_DIR names both, and the nameservice is an authority of the storage", () =>
      Effect.gen(function* () {
        const { confDir, nameNodes } = yield* cluster
        const conf = yield* HdfsConfig.fromHadoopConf(confDir)
        assert.deepStrictEqual(
          conf.nameNodes,
          nameNodes.map((each) => each.url)
        )
        const storage = yield* HdfsStorage.make.pipe(
          Effect.provide(
            HdfsClient.layer.pipe(
              Layer.provide(HdfsAuth.layerSimple({ user: "hdfs" })),
              Layer.provideMerge(HdfsConfig.layerHadoopConf(confDir))
            )
          ),
          Effect.scoped
        )
        const error = yield* Effect.flip(storage.stat("hdfs://elsewhere/f"))
        assert.include(error.message, "sluice")
      })
    )

    it.live(
      "a failover in the middle of a write and of a read loses and doubles nothing",
      () =>
        Effect.gen(function* () {
          const client = yield* HdfsClient.HdfsClient
          const { transition } = yield* cluster
          const bytes = sample(12 * mebi)
          const pieces = Array.from({ length: 12 }, (_, i) => bytes.subarray(i * mebi, (i + 1) * mebi))
          const written = yield* client.write(
            "/ha/file",
            Stream.fromIterable(pieces).pipe(
              Stream.rechunk(1),
              Stream.mapEffect((piece) =>
                Effect.as(piece === pieces[3] ? Effect.orDie(transition(1)) : Effect.void, piece)
              )
            )
          )
          assert.strictEqual(written, bytes.length)
          let moved = false
          const parts: Array<Uint8Array> = []
          yield* Stream.runForEach(client.open("/ha/file"), (part) =>
            Effect.suspend(() => {
              parts.push(part)
              if (moved) return Effect.void
              moved = true
              return transition(0)
            })
          )
          assert.isTrue(Buffer.concat(parts).equals(bytes))
          assert.deepStrictEqual(
            (yield* client.listStatus("/ha")).map((each) => each.pathSuffix),
            ["file"]
          )
        }).pipe(Effect.provide(hdfs)),
      150_000
    )

    it.live(
      "the active NameNode is killed, the other takes over while operations wait",
      () =>
        Effect.gen(function* () {
          const client = yield* HdfsClient.HdfsClient
          const { nameNodes, transition } = yield* cluster
          yield* client.mkdirs("/ha/before")
          yield* nameNodes[0]?.kill ?? Effect.void
          yield* Effect.all([client.rename("/ha/before", "/ha/after"), transition(1)], { concurrency: 2 })
          assert.isTrue(yield* client.exists("/ha/after"))
          assert.isFalse(yield* client.exists("/ha/before"))
        }).pipe(Effect.provide(hdfs)),
      150_000
    )
  }
)
