import { Dataset, Engine } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { crc32 } from "node:zlib"

// Starting a process is expensive, so each writes several outputs at once, which a kill meets at as many moments.
// `SLUICE_KILLS` makes the loop longer.
const kills = Number(process.env["SLUICE_KILLS"] ?? 9)
const lanes = 7
const files = 4
const rows = 400
const writer = `${import.meta.dirname}/writer.ts`

/** A seeded generator of numbers in [0, 1). */
const uniform = (seed: number) => () => {
  seed = (Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
  return ((seed ^ (seed >>> 13)) >>> 0) / 2 ** 32
}

interface Lane {
  round: number
  busy: boolean
}

/** Runs the writer until every lane has ended a round, kills it some time later, and reports where each lane was. */
const runAndKill = (root: string, millis: number): Promise<ReadonlyArray<Lane>> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--conditions=@sluice/source", writer, root, String(lanes), String(rows)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const state = Array.from({ length: lanes }, (): Lane => ({ round: -1, busy: false }))
    let text = ""
    let timer: ReturnType<typeof setTimeout> | undefined
    child.on("error", reject)
    child.stdout.on("data", (piece: Buffer) => {
      text += piece.toString("utf8")
      for (let cut = text.indexOf("\n"); cut >= 0; cut = text.indexOf("\n")) {
        const [what, lane, round] = text.slice(0, cut).split(" ")
        text = text.slice(cut + 1)
        state[Number(lane)] = { round: Number(round), busy: what === "begin" }
        if (timer === undefined && state.every((lane) => lane.round > 0)) {
          timer = setTimeout(() => child.kill("SIGKILL"), millis)
        }
      }
    })
    child.on("close", (_code, signal) => {
      clearTimeout(timer)
      if (signal === "SIGKILL") resolve(state)
      else reject(new Error(`the writer ended by itself (${signal})`))
    })
  })

/** Whether there is an output; if so, it is whole: every file of the manifest is there with the right bytes, and no other. */
const isThere = (path: string): boolean => {
  if (!Fs.existsSync(path)) return false
  const manifest = JSON.parse(Fs.readFileSync(`${path}/_SUCCESS`, "utf8"))
  assert.strictEqual(manifest.files.length, files)
  assert.strictEqual(manifest.rows, rows)
  // A job that is about to replace it tries first whether files can be renamed into it.
  assert.strictEqual(Fs.readdirSync(path).filter((name) => name !== "_sluice").length, files + 1)
  for (const file of manifest.files) {
    const bytes = Fs.readFileSync(`${path}/${file.path}`)
    assert.strictEqual(file.checksum, `crc32:${crc32(bytes).toString(16).padStart(8, "0")}`)
    assert.strictEqual(file.bytes, bytes.length)
  }
  return true
}

describe("SIGKILL", () => {
  it.live(
    "at 50 moments and more leaves the whole output or none, and the next run succeeds and sweeps",
    () =>
      Effect.gen(function* () {
        const root = yield* Effect.acquireRelease(
          Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice kill-"))),
          (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
        )
        const random = uniform(20261122)
        const seen = { moments: 0, before: 0, after: 0, betweenRenames: 0, leftovers: 0 }
        const again = (output: string, mode: "error-if-exists" | "overwrite") =>
          Dataset.range(0, rows, { partitions: files }).pipe(Dataset.map(String), Dataset.writeText(output, { mode }))

        const one = Effect.fnUntraced(function* (index: number) {
          const directory = `${root}/${index}`
          Fs.mkdirSync(directory)
          const killed = yield* Effect.promise(() => runAndKill(directory, random() * 150))
          for (const [lane, { busy, round }] of killed.entries()) {
            const own = `${directory}/${lane}`
            if (busy) seen.moments++
            if (Fs.existsSync(`${own}/_sluice`)) seen.leftovers++
            if (lane % 2 === 0) {
              for (let before = 0; before < round; before++) assert.isTrue(isThere(`${own}/out-${before}`))
              const there = isThere(`${own}/out-${round}`)
              assert.isTrue(there || busy)
              if (busy) seen[there ? "after" : "before"]++
              yield* again(`${own}/out-${round}`, there ? "overwrite" : "error-if-exists")
              assert.isTrue(isThere(`${own}/out-${round}`))
            } else {
              if (!isThere(`${own}/out`)) {
                // The old output is aside; a run that may not replace it puts it back.
                seen.betweenRenames++
                yield* Effect.flip(again(`${own}/out`, "error-if-exists"))
                assert.isTrue(isThere(`${own}/out`))
              }
              yield* again(`${own}/out`, "overwrite")
              assert.isTrue(isThere(`${own}/out`))
            }
            // The lease of a process that is known to be gone delays nobody.
            assert.isFalse(Fs.existsSync(`${own}/_sluice`), `${own}/_sluice`)
            assert.isFalse(Fs.existsSync(`${own}/out${lane % 2 === 0 ? `-${round}` : ""}/_sluice`))
          }
        })
        yield* Effect.forEach(
          Array.from({ length: kills }, (_, index) => index),
          one,
          { concurrency: 2, discard: true }
        )
        assert.isAtLeast(seen.moments, 50, JSON.stringify(seen))
        assert.isAbove(seen.before, 0, JSON.stringify(seen))
        assert.isAbove(seen.leftovers, 0, JSON.stringify(seen))
      }).pipe(Effect.scoped, Effect.provide(Engine.layer)),
    60_000 + kills * 10_000
  )
})
