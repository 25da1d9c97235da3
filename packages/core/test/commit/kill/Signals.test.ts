import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

/** Runs the program, sends signals when it prints `at`, and reports how it ended. */
const run = (output: string, phase: string, at: string, ...signals: ReadonlyArray<NodeJS.Signals>) =>
  Effect.promise(
    () =>
      new Promise<{ readonly code: number | null; readonly said: string; readonly errors: string }>(
        (resolve, reject) => {
          const program = Path.join(import.meta.dirname, "signalled.ts")
          const child = spawn(process.execPath, ["--conditions=@sluice/source", program, output, phase], {
            stdio: ["ignore", "pipe", "pipe"]
          })
          let said = ""
          let errors = ""
          let left = [...signals]
          const next = () => {
            const [signal, ...rest] = left
            left = rest
            if (signal !== undefined) child.kill(signal)
          }
          child.stdout.on("data", (piece: Buffer) => {
            said += piece.toString("utf8")
            if (said.endsWith(`${at}\n`)) next()
          })
          child.stderr.on("data", (piece: Buffer) => {
            errors += piece.toString("utf8")
            // Waits until the first has arrived. Another within 300 ms counts as the same.
            if (left.length > 0) setTimeout(next, 400)
          })
          child.on("error", reject)
          child.on("close", (code) => resolve({ code, said, errors }))
        }
      )
  )

const test = (name: string, body: (root: string) => Effect.Effect<void>) =>
  it.live(name, () =>
    Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice signals-"))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
    ).pipe(Effect.flatMap(body), Effect.scoped)
  )

const codes = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129]
] as const

describe("Program.runMain", () => {
  for (const [signal, code] of codes) {
    test(
      `${signal} while rows are written cleans up and ends with ${code}`,
      Effect.fnUntraced(function* (root) {
        const ended = yield* run(`${root}/out`, "rows", "rows", signal)
        assert.deepStrictEqual(ended, { code, said: "rows\n", errors: "" })
        assert.deepStrictEqual(Fs.readdirSync(root), [])
      })
    )
  }

  test(
    "a signal in the commit leaves a success: what is committed is not called interrupted",
    Effect.fnUntraced(function* (root) {
      const ended = yield* Effect.forEach(codes, ([signal]) => run(`${root}/${signal}`, "commit", "commit", signal), {
        concurrency: 3
      })
      for (const { code, errors, said } of ended) {
        assert.deepStrictEqual({ code, said }, { code: 0, said: "commit\nwritten\n" })
        assert.include(errors, "finishing the commit")
      }
      assert.deepStrictEqual(Fs.readdirSync(root).toSorted(), codes.map(([signal]) => signal).toSorted())
      for (const [signal] of codes) assert.include(Fs.readdirSync(`${root}/${signal}`), "_SUCCESS")
    })
  )

  test(
    "what comes after the commit is interrupted",
    Effect.fnUntraced(function* (root) {
      const { code, said } = yield* run(`${root}/out`, "more", "commit", "SIGINT")
      assert.deepStrictEqual({ code, said }, { code: 130, said: "commit\nwritten\n" })
      assert.deepStrictEqual(Fs.readdirSync(root), ["out"])
    })
  )

  test(
    "a second signal ends it at once, in a commit that does not end too",
    Effect.fnUntraced(function* (root) {
      const { code, said } = yield* run(`${root}/out`, "stuck", "commit", "SIGINT", "SIGTERM")
      assert.deepStrictEqual({ code, said }, { code: 143, said: "commit\n" })
      // The lease of a dead process delays nobody.
      const next = yield* run(`${root}/out`, "commit", "nothing")
      assert.strictEqual(next.code, 0)
      assert.deepStrictEqual(Fs.readdirSync(root), ["out"])
    })
  )
})
