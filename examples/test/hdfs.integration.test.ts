import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Dataset, Engine, EngineConfig, Events, Executor, Job, Storage, Vector } from "@sluice/core"
import { HdfsSchemes } from "@sluice/hdfs"
import type { HadoopCluster } from "@sluice/hdfs/testing"
import { ConfigProvider, Effect, FileSystem, Layer, Schedule, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"
import { describeHadoop } from "../../packages/hdfs/test/hadoop.ts"
import { classify } from "../02_classify.ts"
import * as Model from "../model-service/Model.ts"
import * as ModelService from "../model-service/ModelService.ts"

const kibi = 1024
const width = 16
const model = Model.synthetic(width)

const Row = Schema.Struct({ id: Schema.Number, vec: Vector.float32(width) })
const Scored = Schema.Struct({ id: Schema.Number, score: Schema.Number })

const makeRows = (count: number) =>
  Array.from({ length: count }, (_, id) => ({
    id,
    vec: Float32Array.from({ length: width }, (_, i) => Math.sin(id * width + i))
  }))

/** Every row is there once, with the score the model gives it. */
const assertScored = (scored: ReadonlyArray<typeof Scored.Type>, rows: ReadonlyArray<typeof Row.Type>) => {
  assert.strictEqual(scored.length, rows.length)
  const expected = Model.score(model, Float32Array.from(rows.flatMap((row) => Array.from(row.vec))))
  for (const [index, row] of scored.toSorted((a, b) => a.id - b.id).entries()) {
    assert.strictEqual(row.id, index)
    assert.closeTo(row.score, expected[index] ?? Number.NaN, 1e-6)
  }
}

const engine = (executors: ReadonlyArray<Executor.LocalExecutor>) =>
  Engine.layerNoDeps.pipe(
    Layer.provide(Executor.layerLocal({ executors })),
    Layer.provideMerge(Layer.mergeAll(HdfsSchemes.layer, Events.layer))
  )

const anywhere = Layer.mergeAll(
  engine([{}]),
  NodeServices.layer,
  ConfigProvider.layer(ConfigProvider.fromEnv({ env: { HADOOP_USER_NAME: "hdfs" } }))
)

const payload = {
  vector: "vec",
  batchRows: 200,
  concurrency: 4,
  timeoutMillis: 30_000,
  retryForMillis: 120_000,
  mode: "error-if-exists"
} as const

describeHadoop("examples on HDFS", { blockSize: 64 * kibi, replication: 2 }, (cluster) => {
  const at = (it: HadoopCluster.HadoopCluster, host = "127.0.0.1") => `hdfs://${host}:${new URL(it.url).port}`

  const bytesRead = ({ dataNodes, jmx }: HadoopCluster.HadoopCluster) =>
    Effect.forEach(dataNodes, (node) =>
      Effect.map(jmx(node, "Hadoop:service=DataNode,name=DataNodeActivity*"), ([bean]) => Number(bean?.["BytesRead"]))
    )

  const run = Effect.fnUntraced(function* (it: HadoopCluster.HadoopCluster, [name, ...args]: ReadonlyArray<string>) {
    const child = yield* ChildProcess.make(
      process.execPath,
      ["--conditions=@sluice/source", fileURLToPath(new URL(`../${name}`, import.meta.url)), ...args],
      { env: { HADOOP_USER_NAME: it.superUser }, extendEnv: true }
    )
    const [code, stdout, stderr] = yield* Effect.all(
      [
        child.exitCode,
        child.stdout.pipe(Stream.decodeText(), Stream.mkString),
        child.stderr.pipe(Stream.decodeText(), Stream.mkString)
      ],
      { concurrency: "unbounded" }
    )
    return { code: Number(code), stdout, stderr }
  })

  it.live("02 classify reads from one cluster and writes to another", () =>
    Effect.gen(function* () {
      const it = yield* cluster
      const rows = makeRows(5000)
      yield* Dataset.fromIterable(rows, { partitions: 3 }).pipe(Dataset.writeParquet(`${at(it)}/rows`, Row))
      const service = yield* ModelService.make({ model })
      // Another name of the same cluster makes another client, as another cluster would.
      const output = `${at(it, "localhost")}/scored`
      const { code, stderr, stdout } = yield* run(it, [
        ...["02_classify.ts", "--input", `${at(it)}/rows`, "--output", output, "--vector", "vec"],
        ...["--endpoint", service.url]
      ])
      assert.strictEqual(code, 0, stderr)
      assert.match(stdout, /^rows +5,000 /m)
      assertScored(yield* Dataset.collect(Dataset.parquet(output, Scored)), rows)
    }).pipe(Effect.scoped, Effect.provide(anywhere))
  )

  it.live("09 hdfs shows the way of a text and leaves nothing", () =>
    Effect.gen(function* () {
      const it = yield* cluster
      const { code, stderr, stdout } = yield* run(it, ["09_hdfs.ts", "--namenode", it.url])
      assert.strictEqual(code, 0, stderr)
      assert.match(stdout, /^put 382,889 bytes at (\/tmp\/\S+)\/dictionary\.txt$/m)
      assert.match(stdout, /^ {2}block of 65,536 bytes on 127\.0\.0\.[234], 127\.0\.0\.[234]$/m)
      assert.include(stdout, "scored 8,525 lines")
      const storage = yield* Storage.Storage
      assert.deepStrictEqual(yield* Stream.runCollect(storage.list(`${at(it)}/tmp`)), [])
    }).pipe(Effect.scoped, Effect.provide(anywhere))
  )

  it.live("classify goes on when the DataNode it reads from is killed", () =>
    Effect.gen(function* () {
      const it = yield* cluster
      const rows = makeRows(8000)
      const input = `${at(it)}/many`
      const written = yield* Dataset.fromIterable(rows, { partitions: 8 }).pipe(Dataset.writeParquet(input, Row))
      const [first] = written.files
      if (first === undefined) return yield* Effect.die("no file was written")
      // One that has the beginning of the input, so that some of it is read there before it dies.
      const [block] = yield* (yield* Storage.Storage).blocks(`${input}/${first.path}`)
      const victim = it.dataNodes.find(({ host }) => block?.hosts.includes(host))
      if (victim === undefined) return yield* Effect.die("no DataNode has it")
      const service = yield* ModelService.make({ model, delay: "20 millis" })
      const output = `${yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()}/scored`
      const [report] = yield* Effect.all(
        [
          Job.runReported(classify, { ...payload, input, output, endpoints: [service.endpoint] }),
          Effect.andThen(
            Effect.repeat(service.stats, {
              schedule: Schedule.spaced("5 millis"),
              until: ({ requests }) => requests > 2
            }),
            victim.kill
          )
        ],
        { concurrency: 2 }
      ).pipe(
        // Not the engine of the test.
        Effect.provide(engine([{ host: victim.host, slots: 1 }]), { local: true }),
        Effect.ensuring(Effect.orDie(victim.start))
      )
      assertScored(yield* Dataset.collect(Dataset.parquet(output, Scored)), rows)
      // Both before and after.
      assert.isAbove(report.totals.counters["hdfsLocalBytes"] ?? 0, 0)
      assert.isAbove(report.totals.counters["hdfsRemoteBytes"] ?? 0, 0)
      yield* it.awaitLive(3)
    }).pipe(Effect.scoped, Effect.provide(anywhere))
  )

  it.live("tasks run where a replica is and read from there", () =>
    Effect.gen(function* () {
      const it = yield* cluster
      const files = 60
      const input = `${at(it)}/text`
      // A block each, a little less than full.
      const line = `${"x".repeat(99)}\n`
      const lines = Math.floor((64 * kibi) / line.length)
      yield* Dataset.range(0, files * lines, { partitions: files }).pipe(
        Dataset.map(() => line.trimEnd()),
        Dataset.writeText(input)
      )
      // Everything is where it will be: two replicas of each block.
      yield* Effect.repeat(it.jmx(it.nameNodes[0]!, "Hadoop:service=NameNode,name=FSNamesystem"), {
        schedule: Schedule.spaced("100 millis"),
        until: ([bean]) => bean?.["UnderReplicatedBlocks"] === 0 && bean["PendingReplicationBlocks"] === 0
      })
      const before = yield* bytesRead(it)
      const { placed, read } = yield* Effect.gen(function* () {
        const events = yield* (yield* Events.Events).subscribe
        const read = yield* Dataset.count(Dataset.text(input))
        const placed = yield* events.pipe(
          Stream.takeUntil((event) => event._tag === "JobEnded"),
          Stream.runCollect
        )
        return { placed, read }
      }).pipe(
        Effect.provide(engine(it.dataNodes.map(({ host }) => ({ id: host, host, slots: 2 }))), { local: true }),
        Effect.provideService(EngineConfig.EngineConfig, {
          ...EngineConfig.defaults,
          // One file per task.
          splitBytes: 64 * kibi,
          openCostBytes: 64 * kibi
        })
      )
      assert.strictEqual(read, files * lines)
      const started = placed.filter((event) => event._tag === "TaskStarted")
      assert.strictEqual(started.length, files)
      const near = started.filter((event) => event.locality === "node" || event.locality === "process")
      assert.isAtLeast(near.length / files, 0.95)

      const ended = placed.find((event) => event._tag === "JobEnded")
      const { hdfsLocalBytes = 0, hdfsRemoteBytes = 0 } = ended?.totals.counters ?? {}
      assert.strictEqual(hdfsLocalBytes + hdfsRemoteBytes, files * lines * line.length)
      assert.isAtLeast(hdfsLocalBytes / (hdfsLocalBytes + hdfsRemoteBytes), 0.95)

      // The DataNodes' own numbers: each has read what the tasks on its host asked for.
      const perFile = lines * line.length
      const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)
      // What /jmx says is a snapshot of the last second.
      const after = yield* Effect.repeat(bytesRead(it), {
        schedule: Schedule.spaced("200 millis"),
        until: (now) => sum(now) - sum(before) >= files * perFile
      })
      it.dataNodes.forEach(({ host }, i) => {
        const asked = started.filter((event) => event.executor === host).length * perFile
        const done = (after[i] ?? 0) - (before[i] ?? 0)
        assert.isAtLeast(done, asked * 0.95, host)
        assert.isAtMost(done, asked * 1.05 + perFile, host)
      })
    }).pipe(Effect.scoped, Effect.provide(anywhere))
  )
})
