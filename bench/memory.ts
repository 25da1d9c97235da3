/**
 * Memory of the main job on much more data than fits into memory: 4 GB of vectors (10 million rows of 100 floats)
 * through `classify` with a service that is slower than the reader. Resident memory of the process, a sample every
 * quarter of a second.
 *
 * Needs `bench/rivals/setup.sh` once. `--rows N` for less.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { synthetic } from "../examples/model-service/Model.ts"
import * as ModelService from "../examples/model-service/ModelService.ts"
import { example, median, publish, run, verdict } from "./support/bench.ts"

const at = process.argv.indexOf("--rows")
const rows = at < 0 ? 10_000_000 : Number(process.argv[at + 1])
const features = 100
const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
const python = fileURLToPath(new URL(".venv/bin/python", import.meta.url))

const main = Effect.gen(function* () {
  const service = yield* ModelService.spawn({ model: join(folder, "model.json"), delay: "20 millis", capacity: 8 })
  const process = yield* Effect.promise(() =>
    example("02_classify.ts", [
      ...["--input", join(folder, "vectors"), "--output", join(folder, "scored"), "--endpoint", service.endpoint],
      ...["--vector", "features", "--batch-rows", "1000", "--concurrency", "8"]
    ])
  )
  const stats = yield* service.stats
  if (stats.rows !== rows) return yield* Effect.die(new Error(`${stats.rows} of ${rows} rows were scored`))
  return { process, stats }
})

try {
  writeFileSync(join(folder, "model.json"), JSON.stringify(synthetic(features)))
  await run(python, [
    fileURLToPath(new URL("rivals/make-vectors.py", import.meta.url)),
    join(folder, "vectors"),
    ...[
      "--rows",
      String(rows),
      "--features",
      String(features),
      "--files",
      String(Math.max(4, Math.round(rows / 250_000)))
    ]
  ])
  const { process, stats } = await Effect.runPromise(Effect.scoped(Effect.provide(main, NodeServices.layer)))
  const quarter = (index: number) => {
    const { samples } = process
    return (
      median(samples.slice(Math.floor((samples.length * index) / 4), Math.floor((samples.length * (index + 1)) / 4))) /
      1e6
    )
  }
  publish("memory", [
    `${rows.toLocaleString("en-US")} rows x ${features} floats (${((rows * features * 4) / 1e9).toFixed(1)} GB), 20 ms per request, 8 at once`,
    "",
    `seconds                        ${process.seconds.toFixed(1)} (service busy ${(stats.utilisation * 100).toFixed(0)} %)`,
    `resident memory by quarter     ${[0, 1, 2, 3].map((index) => quarter(index).toFixed(0)).join(", ")} MB (medians)`,
    `growth, last / second quarter  ${(quarter(3) / quarter(1)).toFixed(2)}`,
    `peak MB                        ${verdict(process.peakBytes / 1e6, 700, "at most")}`
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
