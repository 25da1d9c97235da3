import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const processes = 3
const rounds = 3

/** Starts processes that all begin at once, and yields what each prints. */
const together = (output: string, mode: string, rounds: number) =>
  Effect.promise(async () => {
    const children = Array.from({ length: processes }, (_, index) =>
      spawn(
        process.execPath,
        [
          "--conditions=@sluice/source",
          `${import.meta.dirname}/together.ts`,
          output,
          `p${index}`,
          mode,
          String(rounds)
        ],
        { stdio: ["pipe", "pipe", "inherit"] }
      )
    )
    let ready = 0
    return Promise.all(
      children.map(
        (child) =>
          new Promise<ReadonlyArray<string>>((resolve, reject) => {
            let text = ""
            child.on("error", reject)
            child.stdout.on("data", (piece: Buffer) => {
              if (text === "" && ++ready === processes) for (const each of children) each.stdin.write("go\n")
              text += piece.toString("utf8")
            })
            child.on("close", () => resolve(text.split("\n").slice(1, -1)))
          })
      )
    )
  })

/** The jobs whose rows are in an output, each whole, by its manifest and by its files alike. */
const jobsIn = (output: string): ReadonlyArray<string> => {
  const manifest: { readonly files: ReadonlyArray<{ readonly path: string }> } = JSON.parse(
    Fs.readFileSync(`${output}/_SUCCESS`, "utf8")
  )
  const listed = manifest.files.map((file) => file.path)
  assert.deepStrictEqual(Fs.readdirSync(output).toSorted(), ["_SUCCESS", ...listed].toSorted())
  const rows = new Map<string, Array<string>>()
  for (const path of listed) {
    for (const line of Fs.readFileSync(`${output}/${path}`, "utf8").split("\n").slice(0, -1)) {
      const [name = "", row = ""] = line.split(" ")
      rows.set(name, [...(rows.get(name) ?? []), row])
    }
  }
  for (const [name, own] of rows) assert.deepStrictEqual(own.toSorted(), ["0", "1", "2", "3", "4", "5"], name)
  return [...rows.keys()].toSorted()
}

describe("several processes that write one output at once", () => {
  const root = Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice together-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )

  it.live("append: all succeed, and the output has the rows of all, once", () =>
    Effect.gen(function* () {
      const folder = yield* root
      const words = yield* together(`${folder}/out`, "append", rounds)
      assert.deepStrictEqual(words, Array(processes).fill(Array(rounds).fill("done")))
      assert.deepStrictEqual(
        jobsIn(`${folder}/out`),
        Array.from({ length: processes * rounds }, (_, i) => `p${Math.floor(i / rounds)}-${i % rounds}`)
      )
      assert.deepStrictEqual(Fs.readdirSync(folder), ["out"])
    })
  )

  it.live("error-if-exists: one succeeds, the others say why not", () =>
    Effect.gen(function* () {
      const folder = yield* root
      const words = (yield* together(`${folder}/out`, "error-if-exists", 1)).map(([word = ""]) => word)
      assert.lengthOf(
        words.filter((word) => word === "done"),
        1,
        words.join()
      )
      for (const word of words) assert.include(["done", "OutputExists", "OutputLeased"], word)
      assert.deepStrictEqual(jobsIn(`${folder}/out`), [`p${words.indexOf("done")}-0`])
      assert.deepStrictEqual(Fs.readdirSync(folder), ["out"])
    })
  )

  it.live("overwrite: what is left is the whole output of one that succeeded", () =>
    Effect.gen(function* () {
      const folder = yield* root
      const words = yield* together(`${folder}/out`, "overwrite", rounds)
      for (const word of words.flat()) assert.include(["done", "OutputLeased"], word)
      const [job = ""] = jobsIn(`${folder}/out`)
      const [, process, round] = /^p(\d)-(\d)$/.exec(job) ?? []
      assert.strictEqual(words[Number(process)]?.[Number(round)], "done")
      assert.lengthOf(jobsIn(`${folder}/out`), 1)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["out"])
    })
  )
})
