import * as Storage from "@sluice/core/Storage"
import { FaultyStorage, StorageSuite } from "@sluice/core/testing"
import { NoSpace, StorageError, Unavailable } from "@sluice/core/StorageError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice storage-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

let roots = 0

StorageSuite.suite("local", Storage.layerLocal, {
  root: Effect.map(temporary, (path) => pathToFileURL(path).href),
  top: "file:///"
})

StorageSuite.suite("local by plain paths", Storage.layer, {
  root: temporary,
  top: "/",
  join: (directory, name) => `${directory}/${name}`,
  largeDirectory: 200
})

StorageSuite.suite("memory", Storage.layerMemory, {
  root: Effect.sync(() => `memory:///root ${++roots}`),
  top: "memory:///"
})

StorageSuite.suite("faulty without faults", FaultyStorage.layer(Storage.layerMemory), {
  root: Effect.sync(() => `memory:///root ${++roots}`),
  top: "memory:///",
  largeDirectory: 200
})

const text = (value: string) => Stream.succeed(new TextEncoder().encode(value))

const tagOf = <A, R>(effect: Effect.Effect<A, StorageError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason._tag)

describe("Storage.route", () => {
  const routed = Effect.gen(function* () {
    const shelves = { a: yield* Storage.makeMemory, b: yield* Storage.makeMemory }
    const asked: Array<string> = []
    const backend = Storage.route((operation, path) => {
      asked.push(operation)
      if (path.startsWith("memory:///a/")) return Effect.succeed(shelves.a)
      if (path.startsWith("memory:///b/")) return Effect.succeed(shelves.b)
      return Effect.fail(new StorageError({ operation, path, reason: new Unavailable({ detail: "no such shelf" }) }))
    }, "shelf")
    return { asked, backend, shelves }
  })

  it.effect("sends each path to its backend, and renames only within one", () =>
    Effect.gen(function* () {
      const { backend, shelves } = yield* routed
      yield* backend.write("memory:///a/x", text("hello"))
      assert.strictEqual((yield* shelves.a.stat("memory:///a/x")).length, 5)
      assert.strictEqual(yield* tagOf(shelves.b.stat("memory:///a/x")), "NotFound")

      yield* backend.rename("memory:///a/x", "memory:///a/y")
      const error = yield* Effect.flip(backend.rename("memory:///a/y", "memory:///b/y"))
      assert.strictEqual(error.reason._tag, "Unsupported")
      assert.include(error.message, "cannot be renamed to another shelf (memory:///b/y)")
      assert.strictEqual((yield* backend.stat("memory:///a/y")).length, 5)
    })
  )

  it.effect("asks for a backend by the operation's own name, and fails as the choice does", () =>
    Effect.gen(function* () {
      const { asked, backend } = yield* routed
      const path = "memory:///c/x"
      const operations = {
        list: Stream.runDrain(backend.list(path)),
        stat: backend.stat(path),
        read: Stream.runDrain(backend.read(path)),
        readRange: backend.readRange(path, 0, 1),
        write: backend.write(path, text("")),
        rename: backend.rename(path, path),
        delete: backend.delete(path),
        mkdirs: backend.mkdirs(path),
        realPath: backend.realPath(path),
        blocks: backend.blocks(path)
      }
      for (const [name, operation] of Object.entries(operations)) {
        const error = yield* Effect.flip(operation)
        assert.deepInclude(error, { operation: name, path })
        assert.strictEqual(error.reason._tag, "Unavailable")
      }
      assert.deepStrictEqual(asked, Object.keys(operations))
    })
  )
})

describe("Storage.layerSchemes", () => {
  it.effect("names the schemes there are when one is unknown", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const error = yield* Effect.flip(storage.stat("s3://bucket/key"))
      assert.strictEqual(error.reason._tag, "InvalidPath")
      assert.include(error.message, "this storage has file:, memory:")
    }).pipe(Effect.provide(Storage.layer))
  )

  it.effect("refuses a path without a scheme where there is no file backend", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      assert.strictEqual(yield* tagOf(storage.stat("/x")), "InvalidPath")
      assert.strictEqual(yield* tagOf(storage.stat("memory:x")), "InvalidPath")
      assert.strictEqual(yield* tagOf(storage.stat("memory://host/x")), "InvalidPath")
    }).pipe(Effect.provide(Storage.layerMemory))
  )

  it.effect("does not rename from one scheme to another", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      yield* storage.write("memory:///x", text("x"))
      assert.strictEqual(yield* tagOf(storage.rename("memory:///x", "/y")), "Unsupported")
    }).pipe(Effect.provide(Storage.layer))
  )

  it.effect("gives every build of the memory layer a store of its own", () =>
    Effect.gen(function* () {
      const write = Effect.flatMap(Storage.Storage, (storage) => storage.write("memory:///x", text("x")))
      assert.strictEqual(yield* Effect.provide(write, Storage.layerMemory, { local: true }), 1)
      assert.strictEqual(yield* Effect.provide(write, Storage.layerMemory, { local: true }), 1)
    })
  )
})

describe("Storage.layerLocal", () => {
  it.layer(Storage.layerLocal)((it) => {
    it.effect("takes plain paths literally and decodes file URIs", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const root = yield* temporary
        Fs.writeFileSync(Path.join(root, "a b%20.txt"), "plain")
        assert.strictEqual((yield* storage.stat(`${root}/a b%20.txt`)).length, 5)
        const status = yield* storage.stat(`file://${encodeURI(root)}/a%20b%2520.txt`)
        assert.isTrue(status.path.endsWith("/a%20b%2520.txt"))
        assert.strictEqual((yield* storage.stat(status.path)).length, 5)
        for (const path of [
          "file:relative",
          "file://host/x",
          "file:///50%",
          "file:///a%2Fb",
          "file:///a%00",
          "",
          "a\0"
        ]) {
          assert.strictEqual(yield* tagOf(storage.stat(path)), "InvalidPath", path)
        }
      })
    )

    it.effect("resolves a path without a scheme against the working directory", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const status = yield* storage.stat("packages/../package.json")
        assert.strictEqual(status.path, pathToFileURL(Path.resolve("package.json")).href)
        const found = yield* Stream.runCollect(storage.list("packag?.json"))
        assert.deepStrictEqual(
          found.map((entry) => entry.path),
          [status.path]
        )
      })
    )

    it.effect("follows links, lists none that lead nowhere, and ends in a cycle of them", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const root = yield* temporary
        yield* storage.write(`${root}/d/file`, text("x"))
        Fs.symlinkSync(Path.join(root, "d"), Path.join(root, "link"))
        Fs.symlinkSync(Path.join(root, "none"), Path.join(root, "dangling"))
        Fs.symlinkSync(root, Path.join(root, "d", "up"))
        assert.strictEqual((yield* storage.stat(`${root}/link/file`)).length, 1)
        const names = (path: string) =>
          Effect.map(Stream.runCollect(storage.list(path)), (found) => found.map((entry) => Path.basename(entry.path)))
        assert.deepStrictEqual(yield* names(root), ["d", "link"])
        assert.deepStrictEqual(yield* names(`${root}/*/file`), ["file", "file"])
        assert.deepStrictEqual(yield* names(`${root}/**/file`), ["file"])
        assert.isTrue(yield* storage.delete(`${root}/link`, { recursive: true }))
        assert.strictEqual((yield* storage.stat(`${root}/d/file`)).length, 1)
      })
    )

    it.effect("a slow consumer stops the reader", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const root = yield* temporary
        // A sparse file: 64 GiB could not be read here by mistake.
        Fs.writeFileSync(Path.join(root, "huge"), "")
        Fs.truncateSync(Path.join(root, "huge"), 64 * 1024 ** 3)
        const pieces = yield* Stream.runCollect(Stream.take(storage.read(`${root}/huge`), 3))
        assert.deepStrictEqual(
          pieces.map((piece) => piece.length),
          [1024 * 1024, 1024 * 1024, 1024 * 1024]
        )
        const descriptors = Fs.readdirSync("/proc/self/fd").map((fd) => {
          try {
            return Fs.readlinkSync(`/proc/self/fd/${fd}`)
          } catch {
            return ""
          }
        })
        assert.notInclude(descriptors, Path.join(root, "huge"))
      })
    )

    it.effect("a file cut short while it is read is an error", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const root = yield* temporary
        const path = Path.join(root, "file")
        yield* storage.write(path, Stream.succeed(new Uint8Array(3 * 1024 * 1024)))
        const read = storage.read(path).pipe(Stream.tap(() => Effect.sync(() => Fs.truncateSync(path, 10))))
        assert.strictEqual(yield* tagOf(Stream.runDrain(read)), "EndOfFile")
      })
    )

    it.effect("reads what has no size, such as the files of /proc", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        assert.isAbove(Buffer.concat(yield* Stream.runCollect(storage.read("/proc/self/status"))).length, 0)
      })
    )

    it.effect("a name that is too long", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const root = yield* temporary
        assert.strictEqual(yield* tagOf(storage.write(`${root}/${"a".repeat(256)}`, text("x"))), "InvalidPath")
        assert.strictEqual(yield* storage.write(`${root}/${"\u4e16".repeat(85)}`, text("x")), 1)
        assert.strictEqual(Fs.readdirSync(root).length, 1)
      })
    )

    it.effect("a full disk is NoSpace and leaves nothing, a place not writable is PermissionDenied", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const root = yield* temporary
        // The limit on the size of a file stands for the full disk: it needs no rights.
        const script = `
          import { Storage } from "@sluice/core/Storage"
          import * as S from "@sluice/core/Storage"
          import { Effect, Stream } from "effect"
          process.on("SIGXFSZ", () => {})
          const program = Effect.gen(function*() {
            const storage = yield* Storage
            const error = yield* Effect.flip(
              storage.write(process.argv[1] + "/big", Stream.succeed(new Uint8Array(4 * 1024 * 1024)))
            )
            console.log(error.reason._tag)
          })
          await Effect.runPromise(Effect.provide(program, S.layerLocal))`
        const child = spawnSync(
          "bash",
          [
            "-c",
            'ulimit -f 1024; exec "$@"',
            "bash",
            process.execPath,
            "--conditions=@sluice/source",
            "--input-type=module-typescript",
            "-e",
            script,
            root
          ],
          { encoding: "utf8", cwd: import.meta.dirname }
        )
        assert.strictEqual(child.stdout.trim(), "NoSpace", child.stderr)
        assert.deepStrictEqual(Fs.readdirSync(root), [])
        // Root may write anywhere but here.
        assert.include(["PermissionDenied", "NotFound"], yield* tagOf(storage.write("/proc/sluice", text("x"))))
        // Below a parent that cannot be created, for which Node's own recursive mkdir never returns.
        assert.include(["PermissionDenied", "NotFound"], yield* tagOf(storage.write("/proc/sluice/a/b", text("x"))))
        assert.include(["PermissionDenied", "NotFound"], yield* tagOf(storage.mkdirs("/proc/sluice/a/b")))
      })
    )
  })
})

describe("the bytes asked for", () => {
  // What a backend may do to a read: give fewer bytes, more, or these in odd pieces.
  const content = Uint8Array.from({ length: 64 }, (_, i) => i)
  const bent = (given: number, piece: number): Storage.Backend => {
    const unused = () => Effect.die("not read")
    const from = (offset: number) => Uint8Array.from({ length: given }, (_, i) => content[(offset + i) % 64] ?? 0)
    return {
      list: () => Stream.empty,
      stat: (path) => Effect.succeed({ path, type: "file", length: content.length, modified: 0 }),
      read: (_, range) => {
        const bytes = from(range?.offset ?? 0)
        const pieces = []
        for (let at = 0; at < bytes.length; at += piece) pieces.push(bytes.subarray(at, at + piece))
        return Stream.fromIterable(pieces)
      },
      readRange: (_, offset) => Effect.succeed(from(offset)),
      write: unused,
      rename: unused,
      delete: unused,
      mkdirs: unused,
      realPath: unused,
      blocks: () => Effect.succeed([])
    }
  }

  it("come, or the read fails: whatever a backend gives, of any range", () => {
    const cases = fc.record({
      offset: fc.nat(64),
      length: fc.option(fc.nat(64), { nil: undefined }),
      given: fc.nat(80),
      piece: fc.integer({ min: 1, max: 80 })
    })
    const holds = ({ given, length, offset, piece }: typeof cases extends fc.Arbitrary<infer Case> ? Case : never) =>
      Effect.gen(function* () {
        const storage = yield* Storage.makeSchemes({ fake: Effect.succeed(bent(given, piece)) })
        const wanted = length ?? 64 - offset
        const tag = given === wanted ? "Success" : given < wanted ? "EndOfFile" : "ExcessBytes"
        const whole = yield* Effect.result(Stream.runCollect(storage.read("fake:/f", { offset, length })))
        assert.strictEqual(whole._tag === "Success" ? "Success" : whole.failure.reason._tag, tag)
        const range = yield* Effect.result(storage.readRange("fake:/f", offset, wanted))
        assert.strictEqual(range._tag === "Success" ? "Success" : range.failure.reason._tag, tag)
        // A reader never sees a byte after the last one that it asked for.
        let seen = 0
        const look = (bytes: Uint8Array) => Effect.sync(() => (seen += bytes.length))
        yield* Effect.ignore(Stream.runForEach(storage.read("fake:/f", { offset, length }), look))
        assert.isAtMost(seen, wanted)
      })
    return fc.assert(fc.asyncProperty(cases, (each) => Effect.runPromise(holds(each))))
  })

  it.effect("are those of the file as it is when it is opened, replaced since it was looked at", () =>
    Effect.gen(function* () {
      for (const [before, after] of [
        ["old", "a longer new one"],
        ["a longer old one", "new"],
        ["old", ""]
      ] as const) {
        const memory = yield* Storage.makeMemory
        let replaced = false
        // Replaces it once it has been looked at.
        const stat: Storage.Backend["stat"] = (path) =>
          Effect.tap(memory.stat(path), () => {
            if (replaced) return Effect.void
            replaced = true
            return memory.write(path, text(after), { overwrite: true })
          })
        const storage = yield* Storage.makeSchemes({ memory: Effect.succeed({ ...memory, stat }) })
        yield* storage.write("memory:///f", text(before))
        const pieces = yield* Stream.runCollect(storage.read("memory:///f"))
        assert.strictEqual(Buffer.concat(pieces).toString(), after)
      }
    })
  )

  it.effect("come through a faulty storage, or an error", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* storage.write("memory:///f", Stream.succeed(content))
      const all = Stream.runDrain(storage.read("memory:///f"))
      const some = storage.readRange("memory:///f", 8, 16)
      for (const [fault, tag] of [
        [{ truncateTo: 15 }, "EndOfFile"],
        [{ excess: 1 }, "ExcessBytes"]
      ] as const) {
        yield* faulty.reset
        yield* faulty.inject({ operation: "read", ...fault })
        yield* faulty.inject({ operation: "readRange", ...fault })
        assert.strictEqual(yield* tagOf(all), tag)
        assert.strictEqual(yield* tagOf(some), tag)
      }
    }).pipe(Effect.provide(FaultyStorage.layer(Storage.layerMemory)))
  )
})

describe("FaultyStorage", () => {
  it.layer(FaultyStorage.layer(Storage.layerMemory))((it) => {
    it.effect("fails the nth write after some bytes, and leaves nothing", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const faulty = yield* FaultyStorage.FaultyStorage
        yield* faulty.reset
        yield* faulty.inject({
          operation: "write",
          nth: 2,
          times: 1,
          afterBytes: 5,
          reason: new NoSpace({ detail: "injected" })
        })
        const pieces = Stream.make(new Uint8Array(4), new Uint8Array(4), new Uint8Array(4))
        assert.strictEqual(yield* storage.write("memory:///f/1", pieces), 12)
        assert.strictEqual(yield* tagOf(storage.write("memory:///f/2", pieces)), "NoSpace")
        assert.strictEqual(yield* storage.write("memory:///f/3", pieces), 12)
        const found = yield* Stream.runCollect(storage.list("memory:///f"))
        assert.deepStrictEqual(
          found.map((entry) => entry.path),
          ["memory:///f/1", "memory:///f/3"]
        )
        const counts = yield* faulty.counts
        assert.strictEqual(counts.operations.write, 3)
        assert.strictEqual(counts.open, 0)
      })
    )

    it.effect("truncates, fails and delays reads", () =>
      Effect.gen(function* () {
        const storage = yield* Storage.Storage
        const faulty = yield* FaultyStorage.FaultyStorage
        yield* storage.write("memory:///r", Stream.succeed(new Uint8Array(100)))
        const length = Stream.runFold(
          storage.read("memory:///r"),
          () => 0,
          (sum, piece) => sum + piece.length
        )
        yield* faulty.reset
        yield* faulty.inject({ operation: "read", times: 1, truncateTo: 30 })
        yield* faulty.inject({ operation: "read", nth: 2, times: 1, reason: new Unavailable({ detail: "injected" }) })
        yield* faulty.inject({ operation: "read", nth: 3, delay: "1 minute" })
        assert.strictEqual(yield* tagOf(length), "EndOfFile")
        assert.strictEqual(yield* tagOf(length), "Unavailable")
        const fiber = yield* Effect.forkChild(length)
        yield* TestClock.adjust("59 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(fiber), 100)
        assert.strictEqual((yield* faulty.counts).bytesRead, 130)
      })
    )
  })
})

describe("local storage", () => {
  it.effect("writes small and large pieces in their order", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const path = `${yield* temporary}/file`
      const sizes = [0, 1, 70_000, 10, 65_535, 65_536, 200_000, 0, 3, 65_537]
      const pieces = sizes.map((size, index) => new Uint8Array(size).fill(index))
      // All pieces in one array, then one by one.
      for (const chunk of [pieces.length, 1, 4]) {
        const written = yield* storage.write(path, Stream.rechunk(Stream.fromIterable(pieces), chunk), {
          overwrite: true
        })
        const bytes = Buffer.concat(pieces)
        assert.strictEqual(written, bytes.length)
        assert.isTrue(bytes.equals(Fs.readFileSync(path)))
      }
    }).pipe(Effect.scoped, Effect.provide(Storage.layer))
  )
})
