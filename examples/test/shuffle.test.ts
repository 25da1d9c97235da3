import { assert, describe, it } from "@effect/vitest"
import { Engine, Dataset } from "@sluice/core"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { wordCount } from "../05_word-count.ts"
import { group } from "../06_group.ts"
import { sort } from "../07_sort.ts"
import { join, joined } from "../08_join.ts"

const input = fileURLToPath(new URL("../data/devils-dictionary.txt", import.meta.url))
const lines = Fs.readFileSync(input, "utf8").split(/\r\n|\n|\r/)
if (lines.at(-1) === "") lines.pop()

const within = <A, E>(use: (folder: string) => Effect.Effect<A, E, Engine.Engine>) =>
  Effect.suspend(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-examples-"))
    return Effect.ensuring(
      Effect.provide(use(folder), Engine.layer),
      Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
    )
  })

const parts = (output: string) =>
  Fs.readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .toSorted()
    .map((name) => Fs.readFileSync(Path.join(output, name), "utf8").split("\n").slice(0, -1))

describe("examples that shuffle", () => {
  it.live("05 word count counts every word", () =>
    within((folder) =>
      Effect.gen(function* () {
        yield* wordCount.action({ input, output: `${folder}/out`, mode: "error-if-exists" })
        const counts = new Map<string, number>()
        for (const word of lines.flatMap((line) => line.split(" "))) {
          if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1)
        }
        assert.deepStrictEqual(
          parts(`${folder}/out`).flat().toSorted(),
          Array.from(counts, ([word, count]) => `${word}\t${count}`).toSorted()
        )
      })
    )
  )

  it.live("06 group finds the groups of the first six characters", () =>
    within(() =>
      Effect.gen(function* () {
        assert.strictEqual(yield* group.action({ input }), new Set(lines.map((line) => line.slice(0, 6))).size)
      })
    )
  )

  it.live("07 sort writes eight parts in order", () =>
    within((folder) =>
      Effect.gen(function* () {
        yield* sort.action({ input, output: `${folder}/out`, mode: "error-if-exists" })
        const written = parts(`${folder}/out`)
        assert.strictEqual(written.length, 8)
        assert.deepStrictEqual(written.flat(), lines.toSorted())
      })
    )
  )

  it.live("08 join finds the headwords used most, and moves nothing for the join", () =>
    within(() =>
      Effect.gen(function* () {
        const [first] = yield* join.action({ input })
        assert.deepStrictEqual(first, { word: "MAN", count: 156, part: "n" })
        assert.include(yield* Dataset.explain(joined(input)), "in place already and in place already")
      })
    )
  )
})
