/**
 * Ends a job that writes an output at each of its system calls that change a file system, by SIGKILL or by an error of
 * the call, in every mode. After each: a reader of the manifest sees the old rows, the new ones or no output; the next
 * job succeeds at once; nothing is left.
 *
 * `--every N` takes every Nth call of each case (default all), `--case NAME` one case, `--seconds N` stops after a time, `--error CODE` fails the calls with a code
 * (`ENOSPC`, `EIO`) in place of the kill. Needs strace, and for the mount point root. Prints what it counted.
 */
import { Commit, Dataset, Engine, JobError } from "@sluice/core"
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import { crc32 } from "node:zlib"

const { values } = parseArgs({
  options: {
    every: { type: "string", default: "1" },
    case: { type: "string", default: "" },
    seconds: { type: "string", default: "3600" },
    error: { type: "string" }
  }
})
const every = Number(values.every)
const end = Date.now() + 1000 * Number(values.seconds)
const action = values.error === undefined ? "signal=KILL" : `error=${values.error}`

// All that changes names, and what makes bytes last. Calls that only look change nothing a kill could leave.
const calls = ["link", "unlink", "rename", "mkdir", "rmdir", "fsync"] as const
const once = Path.join(import.meta.dirname, "once.ts")

/** Runs the writer, whose `at`th call of a kind is hit. There is one thread for files. */
const write = (
  output: string,
  mode: Commit.WriteMode,
  call: (typeof calls)[number],
  at: number
): Promise<{ readonly hit: boolean; readonly said: string; readonly code: number | null }> =>
  new Promise((resolve, reject) => {
    const log = `${Path.dirname(output)}.strace`
    const child = spawn(
      "strace",
      // oxfmt-ignore
      ["-f", "-o", log, "-e", `trace=${call}`, "-e", `inject=${call}:${action}:when=${at}`, "--",
        process.execPath, "--conditions=@sluice/source", once, output, "new", mode],
      { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, UV_THREADPOOL_SIZE: "1" } }
    )
    let said = ""
    child.stdout.on("data", (piece: Buffer) => (said += piece.toString("utf8")))
    child.on("error", reject)
    child.on("close", (code) => {
      const text = Fs.readFileSync(log, "utf8")
      Fs.rmSync(log)
      // Warnings of what could not be removed come before.
      resolve({
        hit: text.includes(values.error === undefined ? "SIGKILL" : "(INJECTED)"),
        said: said.trim().split("\n").at(-1) ?? "",
        code
      })
    })
  })

const modes = ["error-if-exists", "overwrite", "append"] as const

const canMount = (() => {
  try {
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-mount-"))
    execFileSync("mount", ["-t", "tmpfs", "none", directory], { stdio: "ignore" })
    execFileSync("umount", [directory])
    Fs.rmdirSync(directory)
    return true
  } catch {
    return false
  }
})()

const cases = modes.flatMap((mode) =>
  (canMount ? [false, true] : [false]).flatMap((isMount) =>
    (mode === "error-if-exists" ? [false] : [false, true]).map((isThere) => ({ mode, isMount, isThere }))
  )
)

const job = (output: string, name: string, mode: Commit.WriteMode) =>
  Dataset.range(0, 6, { partitions: 2 }).pipe(
    Dataset.map((n) => `${name} ${n}`),
    Dataset.writeText(output, { mode })
  )

/** The jobs whose rows the manifest names, whose files are all there. */
const rowsIn = Effect.fnUntraced(function* (output: string) {
  if (!Fs.existsSync(`${output}/_SUCCESS`)) return ""
  const manifest = yield* Commit.readManifest(output)
  const names = manifest.files.flatMap((file) => {
    const bytes = Fs.readFileSync(`${output}/${file.path}`)
    assert.equal(file.checksum, `crc32:${crc32(bytes).toString(16).padStart(8, "0")}`)
    return bytes.toString("utf8").split("\n").slice(0, -1)
  })
  assert.equal(names.length % 6, 0)
  return Array.from({ length: names.length / 6 }, (_, i) => names[i * 6]?.split(" ")[0]).join(" ")
})

const seen = { moments: 0, before: 0, after: 0, absent: 0, failed: 0, unharmed: 0 }

const one = Effect.fnUntraced(function* (
  { isMount, isThere, mode }: (typeof cases)[number],
  call: (typeof calls)[number],
  at: number
): Effect.fn.Return<boolean, unknown, Effect.Services<ReturnType<typeof rowsIn>> | Engine.Engine> {
  const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-syscalls-"))
  const output = `${root}/d/out`
  const what = `${mode}${isMount ? ", a mount point" : ""}${isThere ? ", with rows" : ""}, ${call} ${at}`
  try {
    Fs.mkdirSync(isMount ? output : Path.dirname(output), { recursive: true })
    if (isMount) execFileSync("mount", ["-t", "tmpfs", "none", output])
    if (isThere) yield* job(output, "old", "append")
    const old = isThere ? "old" : ""
    const all = mode === "append" && isThere ? "old new" : "new"
    const { code, hit, said } = yield* Effect.promise(() => write(output, mode, call, at))
    const rows = yield* rowsIn(output)
    if (!hit) {
      assert.equal(said, "done", what)
      assert.equal(rows, all, what)
      return false
    }
    seen.moments++
    assert.ok(rows === old || rows === all || rows === "", `${what}: ${rows}`)
    if (values.error !== undefined) {
      assert.ok(said === "done" || (code === 1 && !said.startsWith("untyped")), `${what}: ${code} ${said}`)
      assert.equal(rows, said === "done" ? all : old, `${what}: ${said}`)
      seen[said === "done" ? "unharmed" : "failed"]++
    } else if (rows === all) seen.after++
    else if (rows === old) seen.before++
    else seen.absent++
    // What is there once the next job has cleaned up: all of one or all of the other.
    const next = yield* Effect.result(job(output, "next", "error-if-exists"))
    const settled = yield* rowsIn(output)
    if (Result.isFailure(next)) {
      assert.ok(
        next.failure instanceof JobError.JobError && next.failure.reason._tag === "OutputExists",
        String(next.failure)
      )
      assert.equal(settled, rows === "" ? old : rows, what)
      yield* job(output, "more", "append")
      assert.equal(yield* rowsIn(output), `${settled} more`, what)
    } else {
      assert.equal(rows, "", what)
      assert.equal(settled, "next", what)
    }
    assert.deepEqual(Fs.readdirSync(Path.dirname(output)), ["out"], what)
    const manifest = yield* Commit.readManifest(output)
    const names = ["_SUCCESS", ...manifest.files.map((file) => file.path)].toSorted()
    assert.deepEqual(Fs.readdirSync(output).toSorted(), names, what)
    return true
  } finally {
    if (isMount) execFileSync("umount", [output])
    Fs.rmSync(root, { recursive: true, force: true })
  }
})

const perCase: Record<string, number> = {}

await Effect.forEach(
  cases,
  Effect.fnUntraced(function* (item, index) {
    const name = `${item.mode}${item.isMount ? " (mount point)" : ""}${item.isThere ? " with rows" : ""}`
    if (values.case !== "" && values.case !== name) return
    for (const [kind, call] of calls.entries()) {
      // Another of every few in each case and for each kind, so that together they are spread.
      let at = 1 + ((index + 2 * kind) % every)
      const told = () => Effect.sync(() => console.error(`at ${name}, ${call} ${at}`))
      while (Date.now() < end && (yield* Effect.tapCause(one(item, call, at), told))) {
        at += every
        perCase[name] = (perCase[name] ?? 0) + 1
      }
    }
  }),
  { concurrency: 2, discard: true }
).pipe(Effect.provide(Engine.layer), Effect.runPromise)

console.log(
  `${action}: ${seen.moments} moments in ${cases.length} cases${canMount ? "" : " (no mount points: not allowed here)"}`
)
console.log(JSON.stringify({ ...seen, perCase }))
assert.ok(seen.moments > 0, "no call was seen: does strace work here?")
