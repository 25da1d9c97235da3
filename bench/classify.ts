/**
 * The main job as whole processes, side by side: 400,000 rows of 100 floats in Parquet, 1,000 rows per request, to a
 * real nginx and uwsgi with a scikit-learn-sized logistic regression, and back to Parquet. Against Spark (`local[2]`,
 * Java `mapPartitions`) and a script of pyarrow and urllib3 threads. The scores of all three are compared before a time
 * counts.
 *
 * Needs `bench/rivals/setup.sh` once (python3, JDK 17) and nginx, uwsgi, Flask. `--rounds N` (default 3), `--no-spark`.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { synthetic } from "../examples/model-service/Model.ts"
import * as RealStack from "../examples/model-service/RealStack.ts"
import { example, median, type Process, publish, run, verdict } from "./support/bench.ts"

const rivals = (path: string) => fileURLToPath(new URL(`rivals/${path}`, import.meta.url))
const python = fileURLToPath(new URL(".venv/bin/python", import.meta.url))
const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const rounds = option("--rounds", 3)
const rows = option("--rows", 400_000)
const features = 100

if (!existsSync(python)) throw new Error("run bench/rivals/setup.sh first")

const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
const input = join(folder, "vectors")
const model = join(folder, "model.json")

// Rows and the sum of `id * score`, which a lost, doubled or swapped row changes.
const check = async (output: string): Promise<string> => {
  const code = [
    "import sys, pyarrow.dataset as d, numpy as np",
    "t = d.dataset(sys.argv[1], format='parquet').to_table(columns=['id', 'score'])",
    "s = np.asarray(t['score'], dtype=np.float64); i = np.asarray(t['id'], dtype=np.float64)",
    "print(t.num_rows, len(np.unique(i)), round(float((i * s).sum()) / t.num_rows, 1))"
  ].join("\n")
  return (await run(python, ["-c", code, output])).stdout.trim()
}

const main = Effect.gen(function* () {
  const { endpoint } = yield* RealStack.make({ model, processes: 2 })
  const contenders: Array<readonly [name: string, run: (output: string) => Promise<Process>]> = [
    [
      "sluice",
      (output) =>
        example("02_classify.ts", [
          ...["--input", input, "--output", output, "--endpoint", endpoint],
          ...["--vector", "features", "--batch-rows", "1000", "--concurrency", "8"]
        ])
    ],
    ["script", (output) => run(python, [rivals("script/classify.py"), input, output, endpoint])]
  ]
  if (!process.argv.includes("--no-spark")) {
    contenders.push(["spark", (output) => run(rivals("spark/run.sh"), ["Classify", input, output, endpoint])])
  }
  const times = new Map<string, Array<Process>>()
  const answers = new Set<string>()
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contender] of contenders) {
      const output = join(folder, `${name}-${round}`)
      const process = yield* Effect.promise(() => contender(output))
      // The first round fills the caches of files and code.
      if (round > 0) times.set(name, [...(times.get(name) ?? []), process])
      else answers.add(yield* Effect.promise(() => check(output)))
      rmSync(output, { recursive: true, force: true })
    }
  }
  return { times, answers }
})

try {
  writeFileSync(model, JSON.stringify(synthetic(features)))
  await run(python, [rivals("make-vectors.py"), input, "--rows", String(rows), "--features", String(features)])
  const { answers, times } = await Effect.runPromise(Effect.scoped(Effect.provide(main, NodeServices.layer)))
  if (answers.size !== 1) throw new Error(`the answers differ: ${[...answers].join(" | ")}`)
  const seconds = (name: string) => (times.get(name) ?? []).map((process) => process.seconds)
  const ratio = (name: string) => median(seconds("sluice").map((value, i) => value / (seconds(name)[i] ?? Number.NaN)))
  publish("classify", [
    `${rows.toLocaleString("en-US")} rows x ${features} floats, 1,000 a request, nginx + uwsgi (2 processes) on the same machine`,
    `whole processes, ${rounds} rounds in turn after one that warms up; answers equal: ${[...answers].join("")}`,
    "",
    `${"".padEnd(10)}${"median s".padStart(10)}${"min".padStart(8)}${"max".padStart(8)}${"peak MB".padStart(10)}`,
    ...Array.from(times, ([name, processes]) => {
      const all = processes.map((process) => process.seconds)
      const peak = Math.max(...processes.map((process) => process.peakBytes)) / 1e6
      return (
        name.padEnd(10) +
        median(all).toFixed(2).padStart(10) +
        Math.min(...all)
          .toFixed(2)
          .padStart(8) +
        Math.max(...all)
          .toFixed(2)
          .padStart(8) +
        peak.toFixed(0).padStart(10)
      )
    }),
    "",
    ...(times.has("spark") ? [`sluice / spark:  ${verdict(ratio("spark"), 0.25, "at most")}`] : []),
    `sluice / script: ${verdict(ratio("script"), 2, "at most")}`
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
