import { Storage } from "@sluice/core/Storage"
import { StorageSuite } from "@sluice/core/testing"
import { Effect, Layer } from "effect"
import { HdfsStorage } from "@sluice/hdfs"
import { HadoopCluster } from "@sluice/hdfs/testing"
import { clientAs, describeHadoop } from "./hadoop.ts"

describeHadoop("HdfsStorage", () => {
  let tests = 0
  const cluster = Layer.unwrap(
    Effect.map(HadoopCluster.make({ blockSize: 1024 * 1024, replication: 2 }), (it) =>
      HdfsStorage.layer.pipe(Layer.provide(clientAs({ nameNodes: [it.url] }, it.superUser)))
    )
  )
  StorageSuite.suite("hdfs", cluster, {
    root: Effect.acquireRelease(
      Effect.sync(() => `hdfs:///suite/${tests++}`),
      (root) => Effect.flatMap(Storage, (storage) => Effect.ignore(storage.delete(root, { recursive: true })))
    ),
    top: "hdfs:///",
    // More than the 1,000 of a page.
    largeDirectory: 2500
  })
})
