import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { basename, join, resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const root = resolve(import.meta.dirname, "../..")
const source = "--conditions=@sluice/source"
const counting = ["--import", join(root, "bench/support/modules.ts")]

/** What a program prints, run by Node with these arguments. */
const node = async (args: ReadonlyArray<string>, cwd: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, [source, ...args], { cwd })
  return stdout
}

const modules = (stdout: string): number => Number(/^modules: (\d+)$/m.exec(stdout)?.[1])

const examples = Fs.readdirSync(join(root, "examples")).filter((name) => /^0[1-9]_.*\.ts$/.test(name))

describe("an example that is started as npm does", () => {
  const preload = ["--import", join(root, "scripts/start.ts")]
  let folder: string

  beforeAll(() => {
    folder = Fs.mkdtempSync(join(tmpdir(), "sluice-start-"))
  })
  afterAll(() => Fs.rmSync(folder, { recursive: true }))

  for (const name of examples) {
    it(`${name} says in its help what its sources say, and loads a tenth of the modules`, async () => {
      const program = [join(root, "examples", name), "--help"]
      const bundled = await node([...preload, ...counting, ...program], folder)
      const plain = await node([...counting, ...program], folder)
      assert.include(plain, "USAGE")
      assert.strictEqual(bundled.replaceAll(/^modules.*/gm, ""), plain.replaceAll(/^modules.*/gm, ""))
      assert.isAbove(modules(plain), 200)
      assert.isBelow(modules(bundled), modules(plain) / 10)
    })
  }

  it("writes the same text as from its sources", async () => {
    const program = [join(root, "examples/05_word-count.ts"), "--output"]
    await node([...preload, ...program, "bundled"], folder)
    await node([...program, "plain"], folder)
    const text = (output: string) =>
      Fs.readdirSync(join(folder, output))
        .filter((name) => name.startsWith("part-"))
        .map((name) => Fs.readFileSync(join(folder, output, name), "utf8"))
        .join("")
    assert.isAbove(text("plain").length, 100_000)
    assert.strictEqual(text("bundled"), text("plain"))
  })

  it("starts a model service, and reads and writes Parquet, all of which it loads when it needs them", async () => {
    const stdout = await node([...preload, join(root, "examples/02_classify.ts")], folder)
    assert.match(stdout, /^accuracy +95\.\d\d % of 40,067 held-out rows$/m)
  }, 90_000)
})

/** A checkout of one example, one module it imports, and a package. */
const checkout = (parent: string) => {
  const folder = Fs.mkdtempSync(join(parent, "checkout-"))
  const write = (path: string, text: string) => {
    Fs.mkdirSync(resolve(folder, path, ".."), { recursive: true })
    Fs.writeFileSync(join(folder, path), text)
  }
  write("package.json", JSON.stringify({ type: "module" }))
  write(
    "examples/hello.ts",
    'import { name } from "./support/name.ts"\nimport { version } from "dependency"\nconsole.log(name, version, import.meta.main)\n'
  )
  write("examples/support/name.ts", 'export const name: string = import.meta.main ? "wrong" : "one"\n')
  write("node_modules/dependency/package.json", JSON.stringify({ type: "module", exports: "./first.js" }))
  write("node_modules/dependency/first.js", "export const version = 1\n")
  write("node_modules/dependency/second.js", "export const version = 2\n")
  Fs.cpSync(join(root, "scripts/start"), join(folder, "scripts/start"), { recursive: true })
  Fs.cpSync(join(root, "scripts/start.ts"), join(folder, "scripts/start.ts"))
  for (const name of ["rolldown", "@rolldown", "@oxc-project"]) {
    Fs.symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name))
  }
  const cache = join(folder, ".cache/start")
  return {
    folder,
    write,
    cached: (ending: string) =>
      (Fs.existsSync(cache) ? Fs.readdirSync(cache) : [])
        .filter((name) => name.endsWith(ending))
        .map((name) => join(cache, name)),
    start: (at = folder) =>
      node(["--import", join(at, "scripts/start.ts"), ...counting, join(at, "examples/hello.ts")], at)
  }
}

describe("the bundle of an example", () => {
  let parent: string

  beforeAll(() => {
    parent = Fs.mkdtempSync(join(tmpdir(), "sluice-start-"))
  })
  afterAll(() => Fs.rmSync(parent, { recursive: true }))

  /** Starts until the bundle is kept: a start right after a change does not trust the clock. */
  const kept = async ({ cached, start }: ReturnType<typeof checkout>): Promise<string> => {
    let stdout = await start()
    for (let tries = 0; cached(".list").length === 0 && tries < 20; tries++) stdout = await start()
    assert.lengthOf(cached(".list"), 1)
    return stdout
  }

  it("is made once and used again", async () => {
    const own = checkout(parent)
    assert.match(await kept(own), /^one 1 true$/m)
    const [list = ""] = own.cached(".list")
    const { mtimeMs } = Fs.statSync(list)
    const again = await own.start()
    assert.match(again, /^one 1 true$/m)
    // Instead of the program and the two modules it imports.
    assert.strictEqual(modules(again), 1)
    assert.strictEqual(Fs.statSync(list).mtimeMs, mtimeMs)
  })

  it("follows a source that changed to a text of the same length and kept its time", async () => {
    const own = checkout(parent)
    await kept(own)
    const path = join(own.folder, "examples/support/name.ts")
    const { atime, mtime } = Fs.statSync(path)
    own.write("examples/support/name.ts", Fs.readFileSync(path, "utf8").replace('"one"', '"two"'))
    Fs.utimesSync(path, atime, mtime)
    assert.match(await own.start(), /^two 1 true$/m)
  })

  it("is used but not kept while a clock's tick could hide the next change", async () => {
    const own = checkout(parent)
    const later = new Date(Date.now() + 3_600_000)
    Fs.utimesSync(join(own.folder, "examples/support/name.ts"), later, later)
    const stdout = await own.start()
    assert.match(stdout, /^one 1 true$/m)
    assert.strictEqual(modules(stdout), 1)
    assert.isEmpty(own.cached(".list"))
  })

  it("follows what a package says of its modules, and an installation", async () => {
    const own = checkout(parent)
    await kept(own)
    own.write("node_modules/dependency/package.json", JSON.stringify({ type: "module", exports: "./second.js" }))
    assert.match(await own.start(), /^one 2 true$/m)
    own.write("node_modules/.package-lock.json", "{}")
    own.write("examples/node_modules/dependency/package.json", JSON.stringify({ type: "module", exports: "./own.js" }))
    own.write("examples/node_modules/dependency/own.js", "export const version = 3\n")
    assert.match(await own.start(), /^one 3 true$/m)
  })

  it("is made again if a part of it is missing or cut off", async () => {
    const own = checkout(parent)
    await kept(own)
    for (const part of own.cached(".js")) Fs.truncateSync(part)
    assert.match(await own.start(), /^one 1 true$/m)
    for (const part of own.cached(".js")) Fs.rmSync(part)
    assert.match(await own.start(), /^one 1 true$/m)
    for (const list of own.cached(".list")) Fs.truncateSync(list)
    assert.match(await own.start(), /^one 1 true$/m)
  })

  it("belongs to one place", async () => {
    const own = checkout(parent)
    own.write("examples/hello.ts", "console.log(import.meta.url, import.meta.dirname, import.meta.filename)\n")
    await kept(own)
    const moved = join(parent, "moved")
    Fs.renameSync(own.folder, moved)
    const stdout = await own.start(moved)
    assert.include(stdout, `${moved}/examples/hello.ts ${moved}/examples ${moved}/examples/hello.ts`)
    assert.notInclude(stdout, own.folder)
  })

  it("is never seen half made by starts that race with each other and with an editor", async () => {
    const own = checkout(parent)
    for (let round = 0; round < 3; round++) {
      own.write("examples/support/name.ts", `export const name = "round ${round}"\n`)
      const answers = await Promise.all(Array.from({ length: 4 }, () => own.start()))
      for (const answer of answers) assert.match(answer, new RegExp(`^round ${round} 1 true$`, "m"))
    }
    const before = [own.start(), own.start()]
    own.write("examples/support/name.ts", 'export const name = "last"\n')
    for (const answer of await Promise.all(before)) assert.match(answer, /^(?:round 2|last) 1 true$/m)
    assert.match(await own.start(), /^last 1 true$/m)
    // Nothing is left aside.
    assert.isEmpty(own.cached("").filter((path) => !/\.(?:js|map|list)$/.test(basename(path))))
  })

  it("is done without where there is no bundler, and where it cannot be written", async () => {
    const bare = checkout(parent)
    Fs.rmSync(join(bare.folder, "node_modules/rolldown"))
    assert.match(await bare.start(), /^one 1 true$/m)
    assert.isEmpty(bare.cached(""))
    const full = checkout(parent)
    full.write(".cache", "")
    assert.match(await full.start(), /^one 1 true$/m)
  })

  it("has a map back to the sources, which Node reads when asked", async () => {
    const own = checkout(parent)
    const thrower = 'type Gone = string\n\n\nexport const name = (): Gone => {\n  throw new Error("here")\n}\n'
    own.write("examples/support/name.ts", thrower)
    own.write("examples/hello.ts", 'import { name } from "./support/name.ts"\n\n\nconsole.log(name())\n')
    const preload = ["--enable-source-maps", "--import", join(own.folder, "scripts/start.ts")]
    const error = await node([...preload, join(own.folder, "examples/hello.ts")], parent).catch(
      (error: { readonly stderr: string }) => error
    )
    const stack = typeof error === "string" ? error : error.stderr
    assert.include(stack, `${own.folder}/examples/support/name.ts:5:`)
    assert.include(stack, `${own.folder}/examples/hello.ts:4:`)
    assert.lengthOf(own.cached(".map"), 1)
  })

  it("leaves an error in a source to Node", async () => {
    const own = checkout(parent)
    own.write("examples/support/name.ts", "export const other = 1\n")
    const error = await own.start().catch((error: { readonly stderr: string }) => error)
    assert.match(typeof error === "string" ? error : error.stderr, /SyntaxError.*'name'/)
  })

  it("removes parts that no list has named for a week, and no younger ones", async () => {
    const own = checkout(parent)
    await kept(own)
    const [first = ""] = own.cached(".js")
    const [list = ""] = own.cached(".list")
    own.write("examples/support/name.ts", 'export const name = "two"\n')
    Fs.rmSync(list)
    assert.match(await kept(own), /^two 1 true$/m)
    assert.isTrue(Fs.existsSync(first))
    const old = new Date(Date.now() - 8 * 24 * 3600 * 1000)
    Fs.utimesSync(first, old, old)
    own.write("examples/support/name.ts", 'export const name = "three"\n')
    assert.match(await own.start(), /^three 1 true$/m)
    assert.isFalse(Fs.existsSync(first))
  })
})
