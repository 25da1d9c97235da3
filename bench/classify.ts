/**
 * The main job as whole processes, side by side: 400,000 rows of 100 floats in Parquet, 1,000 rows per request, to a
 * real nginx and uwsgi with a scikit-learn-sized logistic regression, and back to Parquet. Against Spark (`local[2]`,
 * Java `mapPartitions`) and a script of pyarrow and urllib3 threads. The scores of all are compared before a time
 * counts. Once with all columns written back, and once with `id` and the score alone.
 *
 * Needs `bench/rivals/setup.sh` once (python3, JDK 17) and nginx, uwsgi, Flask. `--rounds N` (default 3), `--no-spark`. Ends with 3 if the
 * machine was not idle.
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
import { alone } from "./support/idle.ts"

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
  const sluice = (output: string, ...more: ReadonlyArray<string>) =>
    example("02_classify.ts", [
      ...["--input", input, "--output", output, "--endpoint", endpoint],
      ...["--vector", "features", "--batch-rows", "1000", "--concurrency", "8", ...more]
    ])
  const script = (output: string, ...more: ReadonlyArray<string>) =>
    run(python, [rivals("script/classify.py"), input, output, endpoint, ...more])
  const contenders: Array<readonly [name: string, run: (output: string) => Promise<Process>]> = [
    ["sluice", sluice],
    ["script", script],
    ["sluice, id", (output) => sluice(output, "--columns", "id")],
    ["script, id", (output) => script(output, "--columns", "id")]
  ]
  if (!process.argv.includes("--no-spark")) {
    contenders.push(["spark", (output) => run(rivals("spark/run.sh"), ["Classify", input, output, endpoint])])
  }
  const times = new Map<string, Array<Process>>()
  const answers = new Set<string>()
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contender] of contenders) {
      const output = join(folder, `${name.replace(", ", "-")}-${round}`)
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
  const measured = await alone(() => Effect.runPromise(Effect.scoped(Effect.provide(main, NodeServices.layer))))
  const { answers, times } = measured.result
  if (answers.size !== 1) throw new Error(`the answers differ: ${[...answers].join(" | ")}`)
  const wall = ({ seconds }: Process) => seconds
  const cpu = ({ cpuSeconds }: Process) => cpuSeconds
  const ratio = (of: (process: Process) => number, name: string, rival: string) =>
    median(
      (times.get(name) ?? []).map(
        (process, i) =>
          of(process) /
          (times.get(rival) ?? [])
            .map(of)
            .slice(i, i + 1)
            .reduce((_, x) => x, NaN)
      )
    )
  const number = (value: number, width: number, digits = 2) => value.toFixed(digits).padStart(width)
  publish("classify", [
    `${rows.toLocaleString("en-US")} rows x ${features} floats, 1,000 per request, nginx + uwsgi (2 processes) on the same machine`,
    `whole processes, ${rounds} rounds in turn after one that warms up; answers equal: ${[...answers].join("")}`,
    "those with `id` write only that column and the score, the others all columns",
    measured.load,
    "",
    `${"".padEnd(12)}${"median s".padStart(10)}${"min".padStart(8)}${"max".padStart(8)}${"CPU s".padStart(8)}${"peak MB".padStart(10)}`,
    ...Array.from(times, ([name, processes]) => {
      const all = processes.map(wall)
      const peak = Math.max(...processes.map(({ peakBytes }) => peakBytes)) / 1e6
      return (
        name.padEnd(12) +
        number(median(all), 10) +
        number(Math.min(...all), 8) +
        number(Math.max(...all), 8) +
        number(median(processes.map(cpu)), 8) +
        number(peak, 10, 0)
      )
    }),
    "",
    ...(times.has("spark")
      ? [`sluice / spark:                   ${verdict(ratio(wall, "sluice", "spark"), 0.15, "at most")}`]
      : []),
    `sluice / script:                  ${verdict(ratio(wall, "sluice", "script"), 1, "at most")}`,
    `sluice / script, CPU:             ${verdict(ratio(cpu, "sluice", "script"), 1, "at most")}`,
    `sluice, id / script, id:          ${verdict(ratio(wall, "sluice, id", "script, id"), 1, "at most")}`,
    `sluice, id / script, id, CPU:     ${verdict(ratio(cpu, "sluice, id", "script, id"), 1, "at most")}`
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
