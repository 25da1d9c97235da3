import { Storage } from "@sluice/core/Storage"
import { HdfsSchemes } from "@sluice/hdfs"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, FileSystem, Layer, Path } from "effect"
import { NodeServices } from "@effect/platform-node"
import { resolve } from "../src/internal/connect.ts"

const site = (properties: Record<string, string>) =>
  `<configuration>${Object.entries(properties)
    .map(([name, value]) => `<property><name>${name}</name><value>${value}</value></property>`)
    .join("")}</configuration>`

/** A configuration folder with two nameservices. */
const confDir = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* fs.makeTempDirectoryScoped()
  yield* fs.writeFileString(path.join(directory, "core-site.xml"), site({ "fs.defaultFS": "hdfs://one" }))
  yield* fs.writeFileString(
    path.join(directory, "hdfs-site.xml"),
    site({
      "dfs.nameservices": "one,two",
      "dfs.namenode.rpc-address.one": "nn1:8020",
      "dfs.namenode.http-address.one": "nn1:9870",
      "dfs.namenode.rpc-address.two": "nn2:8020",
      "dfs.namenode.http-address.two": "nn2:9870"
    })
  )
  return directory
})

const environment = (env: Record<string, string>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

const nameNodes = (authority: string, env: Record<string, string>, secure = false) =>
  Effect.map(resolve(secure, authority), (options) => options.nameNodes).pipe(environment(env))

describe("HdfsSchemes", () => {
  it.effect("an authority is a WebHDFS address where the environment names no cluster", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* nameNodes("nn", {}), ["http://nn:9870"])
      assert.deepStrictEqual(yield* nameNodes("nn:1234", {}), ["http://nn:1234"])
      assert.deepStrictEqual(yield* nameNodes("nn", {}, true), ["https://nn:9871"])
      assert.include((yield* Effect.flip(nameNodes("", {}))).message, "hdfs://host:9870/name")
      assert.include((yield* Effect.flip(nameNodes("a b", {}))).message, "is not a host")
    })
  )

  it.effect("HDFS_NAMENODES is meant by its hosts and by no authority, others stand for themselves", () =>
    Effect.gen(function* () {
      const env = { HDFS_NAMENODES: "http://nn1:9870,http://nn2:9870" }
      const both = ["http://nn1:9870", "http://nn2:9870"]
      assert.deepStrictEqual(yield* nameNodes("", env), both)
      assert.deepStrictEqual(yield* nameNodes("nn2:8020", env), both)
      assert.deepStrictEqual(yield* nameNodes("other:1", env), ["http://other:1"])
    })
  )

  it.effect("HDFS_NAMENODES that names no URL is an error, whatever the path names", () =>
    Effect.gen(function* () {
      for (const authority of ["", "nn1", "other:1"]) {
        const error = yield* Effect.flip(nameNodes(authority, { HDFS_NAMENODES: "http://nn1:9870,nn2:9870" }))
        assert.include(error.message, 'HDFS_NAMENODES: "nn2:9870" is not the HTTP address')
      }
    })
  )

  it.effect("HADOOP_CONF_DIR knows its other nameservices", () =>
    Effect.gen(function* () {
      const env = { HADOOP_CONF_DIR: yield* confDir }
      assert.deepStrictEqual(yield* nameNodes("", env), ["http://nn1:9870"])
      assert.deepStrictEqual(yield* nameNodes("one", env), ["http://nn1:9870"])
      assert.deepStrictEqual(yield* nameNodes("nn1:8020", env), ["http://nn1:9870"])
      assert.deepStrictEqual(yield* nameNodes("two", env), ["http://nn2:9870"])
      assert.deepStrictEqual(yield* nameNodes("far.example:9870", env), ["http://far.example:9870"])
      const error = yield* Effect.flip(nameNodes("three", env))
      assert.include(error.message, "does not have three")
      assert.include(error.message, "hdfs://three:9870/")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("a path that names no cluster says how to name one, and other schemes are served", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const error = yield* Effect.flip(storage.stat("hdfs:///f"))
      assert.strictEqual(error.reason._tag, "InvalidPath")
      assert.include(error.message, "HADOOP_CONF_DIR")
      yield* storage.mkdirs("memory:///d")
      assert.strictEqual((yield* storage.stat("memory:///d")).type, "directory")
    }).pipe(Effect.provide(HdfsSchemes.layer), environment({}))
  )

  it.live("a rename from one cluster to another is refused", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const error = yield* Effect.flip(storage.rename("hdfs://a:1/f", "webhdfs://b:1/f"))
      assert.strictEqual(error.reason._tag, "Unsupported")
    }).pipe(Effect.provide(Layer.fresh(HdfsSchemes.layer)), environment({}))
  )
})
