import { Dataset, Engine, Events, Executor } from "@sluice/core"
import { Storage } from "@sluice/core/Storage"
import { StorageSuite } from "@sluice/core/testing"
import { HdfsClient, type HdfsError, HdfsStorage, Probe } from "@sluice/hdfs"
import type { HadoopCluster } from "@sluice/hdfs/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schedule, Stream } from "effect"
import * as ChildProcess from "node:child_process"
import { fileURLToPath } from "node:url"
import { clientAs, describeHadoop, reason, sample } from "./hadoop.ts"

const mebi = 1024 * 1024

describeHadoop("HDFS", { blockSize: mebi, replication: 2, httpfs: true }, (cluster) => {
  const as = (user: string) => Layer.unwrap(Effect.map(cluster, (it) => clientAs({ nameNodes: [it.url] }, user)))
  const admin = as("hdfs")
  const gateway = Layer.unwrap(
    Effect.map(cluster, (it) => clientAs({ nameNodes: [it.httpfs?.url ?? ""], gateway: true }, it.superUser))
  )
  const live = <E>(
    title: string,
    layer: Layer.Layer<HdfsClient.HdfsClient>,
    run: (hdfs: HdfsClient.HdfsClient["Service"], cluster: HadoopCluster.HadoopCluster) => Effect.Effect<unknown, E>
  ) =>
    it.live(
      title,
      () =>
        Effect.gen(function* () {
          yield* run(yield* HdfsClient.HdfsClient, yield* cluster)
        }).pipe(Effect.provide(layer)),
      150_000
    )

  const readAll = (hdfs: HdfsClient.HdfsClient["Service"], path: string, options?: HdfsClient.OpenOptions) =>
    Effect.map(Stream.runCollect(hdfs.open(path, options)), (chunks) => Buffer.concat(chunks))

  /** A DataNode's first call after the NameNode's restart meets its own dead connection. */
  const untilTaken = <A>(write: Effect.Effect<A, HdfsError.HdfsError>) =>
    Effect.retry(write, { while: ({ reason }) => reason._tag === "Retriable", times: 6 })

  let tests = 0
  StorageSuite.suite("hdfs", HdfsStorage.layer.pipe(Layer.provide(admin)), {
    root: Effect.acquireRelease(
      Effect.sync(() => `hdfs:///suite/${tests++}`),
      (root) => Effect.flatMap(Storage, (storage) => Effect.ignore(storage.delete(root, { recursive: true })))
    ),
    top: "hdfs:///",
    // More than the 1,000 of a page.
    largeDirectory: 2500
  })

  describe("operations", () => {
    for (const [name, layer] of [
      ["NameNode", admin],
      ["HttpFS", gateway]
    ] as const) {
      live(`${name}: files`, layer, (hdfs) =>
        Effect.gen(function* () {
          const root = `/${name}/files`
          const bytes = sample(2 * mebi + 5)
          const path = `${root}/a b%c+ü#?&=;é/1%20+.bin`
          assert.strictEqual(
            yield* hdfs.write(path, Stream.fromIterable([bytes.subarray(0, 10), bytes.subarray(10)])),
            bytes.length
          )
          assert.isTrue((yield* readAll(hdfs, path)).equals(bytes))
          assert.isTrue(
            (yield* readAll(hdfs, path, { offset: mebi - 3, length: 7 })).equals(bytes.subarray(mebi - 3, mebi + 4))
          )
          yield* reason(hdfs.write(path, Stream.empty), "FileAlreadyExists")
          assert.strictEqual(yield* hdfs.write(path, Stream.succeed(bytes.subarray(0, 3)), { overwrite: true }), 3)
          assert.strictEqual(yield* hdfs.append(path, Stream.succeed(bytes.subarray(3, 8))), 5)
          assert.isTrue((yield* readAll(hdfs, path)).equals(bytes.subarray(0, 8)))
          assert.isTrue(yield* hdfs.truncate(path, 0))
          assert.strictEqual((yield* readAll(hdfs, path)).length, 0)
          assert.deepStrictEqual(
            (yield* hdfs.listStatus(root)).map((each) => each.pathSuffix),
            ["a b%c+ü#?&=;é"]
          )
          assert.strictEqual((yield* Stream.runCollect(hdfs.listStatusBatch(root))).length, 1)
          yield* hdfs.setPermission(path, "600")
          yield* hdfs.setOwner(path, { owner: "ann", group: "people" })
          yield* hdfs.setTimes(path, { modificationTime: 12_345_000 })
          assert.isTrue(yield* hdfs.setReplication(path, 1))
          const status = yield* hdfs.getFileStatus(path)
          assert.deepStrictEqual(
            [status.permission, status.owner, status.group, status.modificationTime, status.replication],
            ["600", "ann", "people", 12_345_000, 1]
          )
          yield* hdfs.checkAccess(path, "rw-")
          yield* hdfs.write(`${root}/x`, Stream.succeed(bytes))
          assert.strictEqual((yield* hdfs.getFileChecksum(`${root}/x`)).length, 28)
          const summary = yield* hdfs.getContentSummary(root)
          assert.deepStrictEqual([summary.fileCount, summary.length], [2, bytes.length])
          assert.isTrue(yield* hdfs.exists(`${root}/x`))
          assert.isTrue(yield* hdfs.delete(root, { recursive: true }))
          assert.isFalse(yield* hdfs.delete(root, { recursive: true }))
        })
      )

      live(`${name}: access lists, attributes, policies, snapshots, quotas`, layer, (hdfs) =>
        Effect.gen(function* () {
          const root = `/${name}/more`
          yield* hdfs.mkdirs(root)
          yield* hdfs.modifyAclEntries(root, ["user:ann:rwx"])
          assert.include((yield* hdfs.getAclStatus(root)).entries, "user:ann:rwx")
          yield* hdfs.removeAclEntries(root, ["user:ann"])
          yield* hdfs.setAcl(root, ["user::rwx", "group::r-x", "other::---", "default:user:bob:r-x"])
          yield* hdfs.removeDefaultAcl(root)
          yield* hdfs.removeAcl(root)
          assert.deepStrictEqual((yield* hdfs.getAclStatus(root)).entries, [])

          yield* hdfs.setXAttr(root, "user.one", new Uint8Array([0, 1, 255]))
          yield* hdfs.setXAttr(root, "user.two", new Uint8Array([2]), "create")
          assert.deepStrictEqual((yield* hdfs.listXAttrs(root)).toSorted(), ["user.one", "user.two"])
          assert.deepStrictEqual((yield* hdfs.getXAttrs(root)).get("user.one"), new Uint8Array([0, 1, 255]))
          assert.strictEqual((yield* hdfs.getXAttrs(root, ["user.two"])).size, 1)
          yield* hdfs.removeXAttr(root, "user.one")
          assert.strictEqual((yield* hdfs.getXAttrs(root)).size, 1)

          yield* hdfs.setStoragePolicy(root, "COLD")
          assert.strictEqual((yield* hdfs.getStoragePolicy(root)).name, "COLD")
          yield* hdfs.unsetStoragePolicy(root)
          assert.strictEqual((yield* hdfs.getStoragePolicy(root)).name, "HOT")
          assert.isAbove((yield* hdfs.getAllStoragePolicies).length, 3)

          yield* hdfs.setErasureCodingPolicy(root, "RS-6-3-1024k")
          assert.strictEqual((yield* hdfs.getErasureCodingPolicy(root))?.name, "RS-6-3-1024k")
          yield* hdfs.unsetErasureCodingPolicy(root)
          assert.isUndefined(yield* hdfs.getErasureCodingPolicy(root))

          yield* hdfs.allowSnapshot(root)
          assert.strictEqual(yield* hdfs.createSnapshot(root, "one"), `${root}/.snapshot/one`)
          yield* hdfs.write(`${root}/new`, Stream.succeed(new Uint8Array(3)))
          yield* hdfs.createSnapshot(root, "two")
          const diff = yield* hdfs.getSnapshotDiff(root, "one", "two")
          assert.deepStrictEqual(
            diff.diffList.map(({ type }) => type),
            ["MODIFY", "CREATE"]
          )
          yield* hdfs.renameSnapshot(root, "two", "three")
          assert.strictEqual(
            (yield* hdfs.getSnapshottableDirectories).filter((each) => each.dirStatus.pathSuffix === "more").length,
            1
          )
          yield* hdfs.deleteSnapshot(root, "one")
          yield* hdfs.deleteSnapshot(root, "three")
          yield* hdfs.disallowSnapshot(root)

          if (name === "HttpFS") {
            assert.include((yield* reason(hdfs.setQuota(root, { namespace: 2 }), "Unsupported")).message, "HttpFS")
          } else {
            yield* hdfs.setQuota(root, { namespace: 2, space: -1 })
            assert.strictEqual((yield* hdfs.getQuotaUsage(root)).quota, 2)
            const full = yield* reason(
              hdfs.write(`${root}/another`, Stream.succeed(new Uint8Array(1))),
              "QuotaExceeded"
            )
            assert.include(full.message, "setQuota")
            yield* hdfs.setQuota(root, { namespace: -1, space: mebi })
            yield* reason(hdfs.write(`${root}/another`, Stream.succeed(new Uint8Array(1))), "QuotaExceeded")
            yield* hdfs.setQuota(root, { space: -1 })
            assert.deepStrictEqual(
              (yield* hdfs.listStatus(root)).map(({ pathSuffix }) => pathSuffix),
              ["new"]
            )
          }

          assert.strictEqual(yield* hdfs.getHomeDirectory, "/user/hdfs")
          assert.strictEqual((yield* hdfs.getServerDefaults).blockSize, mebi)
          const trashed = yield* hdfs.moveToTrash(`${root}/new`)
          assert.strictEqual(trashed, `/user/hdfs/.Trash/Current${root}/new`)
          assert.isTrue(yield* hdfs.exists(trashed))
          assert.isFalse(yield* hdfs.exists(`${root}/new`))
        })
      )
    }

    live("NameNode: what HttpFS does not know", admin, (hdfs) =>
      Effect.gen(function* () {
        const root = "/only"
        yield* hdfs.write(`${root}/a`, Stream.succeed(sample(mebi)))
        yield* hdfs.write(`${root}/b`, Stream.succeed(sample(10)))
        yield* hdfs.concat(`${root}/a`, [`${root}/b`])
        assert.strictEqual((yield* hdfs.getFileStatus(`${root}/a`)).length, mebi + 10)
        yield* hdfs.allowSnapshot(root)
        yield* hdfs.createSnapshot(root, "one")
        yield* hdfs.rename(`${root}/a`, `${root}/c`)
        yield* hdfs.createSnapshot(root, "two")
        const pages = yield* Stream.runCollect(hdfs.getSnapshotDiffListing(root, "one", "two"))
        assert.isAbove(pages[0]?.deleteList.length ?? 0, 0)
        assert.strictEqual((yield* hdfs.getSnapshots(root)).length, 2)
        assert.isAbove((yield* hdfs.getStatus).capacity, 0)
        assert.isAbove((yield* hdfs.getErasureCodingPolicies).length, 0)
        assert.property(yield* hdfs.getErasureCodingCodecs, "rs")
        yield* hdfs.enableErasureCodingPolicy("XOR-2-1-1024k")
        yield* hdfs.disableErasureCodingPolicy("XOR-2-1-1024k")
        assert.isArray(yield* hdfs.getTrashRoots())
        yield* hdfs.setQuotaByStorageType(root, "SSD", 1000)
        yield* hdfs.satisfyStoragePolicy(root).pipe(Effect.catch(() => Effect.void))
        assert.strictEqual((yield* hdfs.getFileLinkStatus(`${root}/c`)).type, "FILE")
        yield* reason(hdfs.createSymlink("/link", `${root}/c`), "Unsupported")
        yield* reason(hdfs.getLinkTarget(`${root}/c`), "Remote")
      })
    )

    live("a cluster without space for a block says so, and nothing is left", admin, (hdfs) =>
      Effect.gen(function* () {
        yield* hdfs.mkdirs("/full")
        const write = hdfs.write("/full/f", Stream.succeed(sample(10)), { blockSize: 2 ** 50 })
        const error = yield* reason(write, "NoSpace")
        assert.isFalse(error.isRetryable)
        assert.deepStrictEqual(yield* hdfs.listStatus("/full"), [])
      })
    )

    live("a file deleted while it is read gives its own bytes or a typed error", admin, (hdfs) =>
      Effect.gen(function* () {
        const bytes = sample(24 * mebi)
        yield* hdfs.write("/deleted/f", Stream.succeed(bytes))
        const parts: Array<Uint8Array> = []
        const result = yield* Stream.runForEach(hdfs.open("/deleted/f"), (part) => {
          parts.push(part)
          return parts.length === 1 ? hdfs.delete("/deleted/f") : Effect.void
        }).pipe(Effect.result)
        const read = Buffer.concat(parts)
        assert.isTrue(read.equals(bytes.subarray(0, read.length)))
        if (result._tag === "Success") assert.strictEqual(read.length, bytes.length)
        else assert.include(["FileNotFound", "BlockMissing"], result.failure.reason._tag)
      })
    )

    live("renames: refuse, replace, move into", admin, (hdfs) =>
      Effect.gen(function* () {
        for (const name of ["a", "b", "c"])
          yield* hdfs.write(`/names/${name}`, Stream.succeed(new TextEncoder().encode(name)))
        yield* hdfs.mkdirs("/names/d")
        yield* reason(hdfs.rename("/names/a", "/names/b"), "FileAlreadyExists")
        yield* hdfs.rename("/names/a", "/names/b", "overwrite")
        assert.strictEqual((yield* readAll(hdfs, "/names/b")).toString(), "a")
        yield* reason(hdfs.rename("/names/none", "/names/x"), "FileNotFound")
        assert.isTrue(yield* hdfs.rename("/names/c", "/names/d", "legacy"))
        assert.isTrue(yield* hdfs.exists("/names/d/c"))
        assert.isFalse(yield* hdfs.rename("/names/none", "/names/x", "legacy"))
      })
    )
  })

  describe("users and tokens", () => {
    live("no permission names the user and the path", as("eve"), (hdfs) =>
      Effect.gen(function* () {
        const error = yield* reason(hdfs.write("/eve/f", Stream.empty), "AccessControl")
        assert.include(error.message, "user=eve")
        assert.include(error.message, "/eve/")
      })
    )

    it.live("a proxy user acts as another", () =>
      Effect.gen(function* () {
        const { url } = yield* cluster
        const asAnn = clientAs({ nameNodes: [url] }, "hdfs", "ann")
        const home = yield* Effect.flatMap(HdfsClient.HdfsClient, (hdfs) => hdfs.getHomeDirectory).pipe(
          Effect.provide(asAnn)
        )
        assert.strictEqual(home, "/user/ann")
        const refused = clientAs({ nameNodes: [url] }, "eve", "ann")
        yield* reason(
          Effect.flatMap(HdfsClient.HdfsClient, (hdfs) => hdfs.getHomeDirectory).pipe(Effect.provide(refused)),
          "AccessControl",
          "Authentication"
        )
      })
    )

    // An unsecured NameNode gives tokens but does not look at those it is shown.
    live("a delegation token is got, renewed and cancelled", admin, (hdfs) =>
      Effect.gen(function* () {
        const token = yield* hdfs.getDelegationToken({ renewer: "hdfs" })
        assert.isAbove(yield* hdfs.renewDelegationToken(token), 0)
        yield* hdfs.cancelDelegationToken(token)
        const error = yield* reason(hdfs.renewDelegationToken(token), "InvalidToken")
        assert.notInclude(error.message, Redacted.value(token))
      })
    )
  })

  describe("when daemons fail", () => {
    live("reading goes on when the DataNode that serves it is killed", admin, (hdfs, { awaitLive, dataNodes }) =>
      Effect.gen(function* () {
        const bytes = sample(24 * mebi)
        yield* hdfs.write("/faults/read", Stream.succeed(bytes), { replication: 3 })
        // A write is done with one replica; the others may be late.
        yield* hdfs.getFileBlockLocations("/faults/read").pipe(
          Effect.repeat({
            until: (blocks) => blocks.every(({ hosts }) => hosts.length === 3),
            schedule: Schedule.spaced("100 millis")
          })
        )
        let killed: string | undefined
        const parts: Array<Uint8Array> = []
        yield* Stream.runForEach(hdfs.open("/faults/read"), (part) =>
          Effect.gen(function* () {
            parts.push(part)
            if (killed !== undefined) return
            // The first host of the locations serves the read.
            const [first] = yield* hdfs.getFileBlockLocations("/faults/read", { offset: 0, length: 1 })
            const victim = dataNodes.find((node) => node.host === first?.hosts[0])
            killed = victim?.name ?? "none"
            yield* Effect.forEach(dataNodes.slice(0, 2), (node) => node.kill, { discard: true })
          })
        )
        assert.isTrue(Buffer.concat(parts).equals(bytes))
        yield* Effect.forEach(dataNodes, (node) => node.start, { concurrency: 2, discard: true })
        yield* awaitLive(3)
      })
    )

    it.live(
      "a job goes on when the DataNode it uploads to is killed",
      () =>
        Effect.gen(function* () {
          const { dataNodes, url } = yield* cluster
          let uploadsTo: string | undefined
          const rewriteLocation = (location: URL) => {
            if (location.searchParams.get("op") === "CREATE") uploadsTo = location.hostname
            return location
          }
          const storage = HdfsStorage.layer.pipe(Layer.provide(clientAs({ nameNodes: [url], rewriteLocation }, "hdfs")))
          const engine = Engine.layerNoDeps.pipe(
            Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
            Layer.provideMerge(Layer.merge(storage, Events.layer))
          )
          const rows = 120
          const row = (id: number) => `${id} ${"x".repeat(50_000)}`
          let victim: HadoopCluster.Daemon | undefined
          yield* Effect.gen(function* () {
            const manifest = yield* Dataset.range(0, rows, { partitions: 3 }).pipe(
              Dataset.mapEffect((id) =>
                Effect.gen(function* () {
                  // In the middle of the second part.
                  if (id === 60 && victim === undefined) {
                    victim = dataNodes.find(({ host }) => host === uploadsTo)
                    yield* victim?.kill ?? Effect.void
                  }
                  return row(id)
                })
              ),
              Dataset.writeText("hdfs:///faults/job")
            )
            assert.isDefined(victim)
            assert.strictEqual(manifest.rows, rows)
            assert.deepStrictEqual(
              manifest.files.map(({ attempt }) => attempt),
              [0, 1, 0]
            )
            assert.deepStrictEqual(
              (yield* Dataset.collect(Dataset.text("hdfs:///faults/job"))).toSorted(),
              Array.from({ length: rows }, (_, id) => row(id)).toSorted()
            )
            const left = yield* Stream.runCollect((yield* Storage).list("hdfs:///faults/job/**"))
            assert.deepStrictEqual(
              left.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)).toSorted(),
              ["_SUCCESS", ...manifest.files.map(({ path }) => path)].toSorted()
            )
          }).pipe(
            Effect.provide(engine),
            Effect.ensuring(Effect.suspend(() => Effect.orDie(victim?.start ?? Effect.void)))
          )
        }),
      150_000
    )

    live("a frozen DataNode is given up after the read timeout", admin, (hdfs, { dataNodes, url }) =>
      Effect.gen(function* () {
        const bytes = sample(mebi)
        yield* hdfs.write("/faults/frozen", Stream.succeed(bytes), { replication: 3 })
        yield* dataNodes[0]?.freeze ?? Effect.void
        const read = yield* Effect.flatMap(HdfsClient.HdfsClient, (impatient) =>
          Effect.forEach([1, 2, 3], () => readAll(impatient, "/faults/frozen"))
        ).pipe(Effect.provide(clientAs({ nameNodes: [url], readTimeout: "1 second" }, "hdfs")), Effect.exit)
        yield* dataNodes[0]?.thaw ?? Effect.void
        assert.isTrue(read._tag === "Success" && read.value.every((each) => each.equals(bytes)), String(read))
      })
    )

    live("a NameNode that restarts is waited for, safe mode is said", admin, (hdfs, { awaitLive, nameNodes, run }) =>
      Effect.gen(function* () {
        yield* hdfs.write("/faults/restart", Stream.succeed(sample(10)))
        const master = nameNodes[0]
        yield* master?.stop ?? Effect.void
        const [status] = yield* Effect.all([hdfs.getFileStatus("/faults/restart"), master?.start ?? Effect.void], {
          concurrency: 2
        })
        assert.strictEqual(status.length, 10)
        yield* awaitLive(3)
        yield* run("org.apache.hadoop.hdfs.tools.DFSAdmin", ["-safemode", "enter"])
        // A DataNode's first call after the restart may meet its own dead connection to the NameNode.
        const error = yield* Effect.flip(hdfs.write("/faults/safe", Stream.empty)).pipe(
          Effect.repeat({ until: ({ reason }) => reason._tag !== "Retriable", times: 6 }),
          Effect.ensuring(Effect.orDie(run("org.apache.hadoop.hdfs.tools.DFSAdmin", ["-safemode", "leave"])))
        )
        assert.strictEqual(error.reason._tag, "SafeMode", error.message)
        assert.include(error.message, "-safemode leave")
        yield* untilTaken(hdfs.write("/faults/safe", Stream.empty))
      })
    )

    live(
      "a file whose only block is gone is BlockMissing, until it is back",
      Layer.unwrap(Effect.map(cluster, (it) => clientAs({ nameNodes: [it.url], maxRetries: 2 }, "hdfs"))),
      (hdfs, { dataNodes }) =>
        Effect.gen(function* () {
          yield* untilTaken(hdfs.write("/faults/single", Stream.succeed(sample(1000)), { replication: 1 }))
          const [block] = yield* hdfs.getFileBlockLocations("/faults/single")
          const holder = dataNodes.find((node) => node.host === block?.hosts[0])
          assert.isDefined(holder)
          yield* holder?.kill ?? Effect.void
          // Until its death is noticed the NameNode still sends readers there.
          const error = yield* reason(readAll(hdfs, "/faults/single"), "BlockMissing", "Connection")
          assert.isTrue(error.isRetryable)
          assert.isDefined(error.hint)
          yield* holder?.start ?? Effect.void
          const back = yield* readAll(hdfs, "/faults/single").pipe(
            Effect.retry({ schedule: Schedule.spaced("200 millis"), times: 100 })
          )
          assert.strictEqual(back.length, 1000)
        })
    )

    it.live("the probe passes, and says which step fails", () =>
      Effect.gen(function* () {
        const { url } = yield* cluster
        const steps = yield* Stream.runCollect(Probe.run()).pipe(Effect.provide(admin))
        assert.deepStrictEqual(
          steps.map(({ name, result }) => `${name} ${result}`),
          ["resolve passed", "connect passed", "status passed", "redirect passed"]
        )
        const port = Number(new URL(url).port)
        const wrong = yield* Stream.runCollect(Probe.run()).pipe(
          Effect.provide(clientAs({ nameNodes: ["http://127.0.0.1:1"] }, "hdfs"))
        )
        assert.isAbove(port, 1)
        assert.deepStrictEqual(
          wrong.map(({ name, result }) => `${name} ${result}`),
          ["resolve passed", "connect failed"]
        )
        assert.include(
          Probe.format(wrong[1] ?? { name: "connect", endpoint: "", result: "passed", detail: "" }),
          "9870"
        )
      })
    )

    it.live("the command puts, lists, reads and probes", () =>
      Effect.gen(function* () {
        const { confDir } = yield* cluster
        const cli = fileURLToPath(new URL("../src/cli.ts", import.meta.url))
        const run = (
          args: ReadonlyArray<string>,
          env: Record<string, string> = { HADOOP_CONF_DIR: confDir, HADOOP_USER_NAME: "hdfs" }
        ) =>
          Effect.callback<{ readonly code: number | null; readonly out: string }>((resume) => {
            const child = ChildProcess.spawn(process.execPath, ["--conditions=@sluice/source", cli, ...args], {
              env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"], ...env }
            })
            let out = ""
            child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()))
            child.stderr.on("data", (chunk: Buffer) => (out += chunk.toString()))
            child.on("close", (code) => resume(Effect.succeed({ code, out })))
            child.stdin.end("hello\n")
          })
        const put = yield* run(["put", "-", "/cli/hello.txt"])
        assert.deepStrictEqual(put, { code: 0, out: "6 bytes\n" })
        const [cat, ls, again, unknown] = yield* Effect.all(
          [
            run(["cat", "/cli/hello.txt"]),
            run(["ls", "/cli"]),
            run(["put", "-", "/cli/hello.txt"]),
            run(["ls", "/"], {})
          ],
          { concurrency: 2 }
        )
        assert.deepStrictEqual(cat, { code: 0, out: "hello\n" })
        assert.match(ls.out, /^-rw-r--r-- {3}2 hdfs hdfs +6 .* hello\.txt\n$/)
        assert.strictEqual(again.code, 1)
        assert.include(again.out, "already exists")
        assert.strictEqual(unknown.code, 1)
        assert.include(unknown.out, "HADOOP_CONF_DIR")
      })
    )
  })
})
