/**
 * Runs random pipelines against plain arrays, and reads random Parquet files of four writers with four readers.
 *
 *     node --conditions=@sluice/source scripts/oracles.ts pipelines [--seeds 10000] [--from 0] [--seconds 60]
 *         [--without 'a random key']   leaves out the pipelines with an operator, an action or a fault
 *     node --conditions=@sluice/source scripts/oracles.ts pipelines --seed 123
 *     node --conditions=@sluice/source scripts/oracles.ts pipelines --spec '<JSON>'
 *
 *     node --conditions=@sluice/source scripts/oracles.ts readers [--seeds 1000] [--from 0] [--seconds 60]
 *     node --conditions=@sluice/source scripts/oracles.ts readers --seed 123
 *
 * `readers` needs a Python with pyarrow and duckdb: `SLUICE_PYTHON`, or `.ci/venv`. A pipeline that differs is printed
 * with its seed, made smaller, and printed again as JSON; so is a file. The exit code is 1 if there was a difference.
 */
import { Effect, References } from "effect"
import { rm } from "node:fs/promises"
import { parseArgs } from "node:util"
import { print, run, shrink, specOf } from "../packages/core/test/oracles/pipelines.ts"
import type { Spec } from "../packages/core/test/oracles/spec.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "0" },
    seconds: { type: "string", default: "0" },
    seed: { type: "string" },
    spec: { type: "string" },
    without: { type: "string", multiple: true, default: [] },
    notes: { type: "boolean", default: false },
    failures: { type: "string", default: "20" },
    shrink: { type: "string", default: "3" }
  }
})

const quietly = <A>(effect: Effect.Effect<A>) =>
  Effect.runPromise(Effect.provideService(effect, References.MinimumLogLevel, "None"))

const report = async (spec: Spec, attempts: number) => {
  const smallest = await quietly(shrink(spec, attempts))
  let { wrong } = await quietly(run(smallest))
  for (let i = 0; wrong === undefined && i < 20; i++) wrong = (await quietly(run(smallest))).wrong
  console.log(`smaller:\n${print(smallest)}\n${wrong?.kind ?? "passes now"}: ${wrong?.detail ?? ""}`)
  console.log(`--spec '${JSON.stringify(smallest)}'\n`)
}

const pipelines = async () => {
  const attempts = Number(values.shrink)
  if (values.spec !== undefined || values.seed !== undefined) {
    const spec: Spec = values.spec === undefined ? specOf(Number(values.seed)) : JSON.parse(values.spec)
    console.log(print(spec))
    const { lost, wrong } = await quietly(run(spec))
    console.log(lost.length === 0 ? "" : `ended by faults: ${lost.join("; ")}`)
    console.log(wrong === undefined ? "as the arrays say" : `${wrong.kind}: ${wrong.detail}`)
    if (wrong !== undefined && attempts > 0) await report(spec, attempts)
    return wrong === undefined
  }
  const from = Number(values.from)
  const seeds = Number(values.seeds)
  const until = Number(values.seconds) > 0 ? performance.now() + Number(values.seconds) * 1000 : Infinity
  const started = performance.now()
  const failing: Array<number> = []
  const lost = new Map<string, number>()
  const kinds = new Map<string, number>()
  let runs = 0
  let seed = from
  for (; seed < from + seeds && performance.now() < until; seed++) {
    const spec = specOf(seed)
    if (values.without.some((name) => JSON.stringify(spec).includes(JSON.stringify(name)))) continue
    const outcome = await quietly(run(spec))
    runs += outcome.runs
    for (const what of outcome.lost) lost.set(what, (lost.get(what) ?? 0) + 1)
    if (outcome.wrong === undefined) continue
    kinds.set(outcome.wrong.kind, (kinds.get(outcome.wrong.kind) ?? 0) + 1)
    failing.push(seed)
    if (failing.length > Number(values.failures)) continue
    console.log(`seed ${seed}: ${outcome.wrong.kind}: ${outcome.wrong.detail.slice(0, 400)}`)
    if (attempts > 0) await report(spec, attempts)
  }
  const seconds = (performance.now() - started) / 1000
  for (const [what, times] of [...lost].toSorted()) console.log(`ended by a fault, ${times} times: ${what}`)
  console.log(
    `${seed - from} pipelines from seed ${from}, ${runs} actions in ${seconds.toFixed(1)} s: ` +
      `${failing.length} differ${failing.length === 0 ? "" : ` (${[...kinds].map(([kind, n]) => `${kind} ${n}`).join(", ")}): ${failing.slice(0, 100).join(" ")}`}`
  )
  return failing.length === 0
}

const readers = async () => {
  const { python } = await import("../packages/core/test/formats/support.ts")
  const { check, shrink, startPython, temporaryFolder } =
    await import("../packages/core/test/oracles/readers/readers.ts")
  const { fileOf } = await import("../packages/core/test/oracles/readers/files.ts")
  if (python === undefined) throw new Error("no Python with pyarrow and duckdb: set SLUICE_PYTHON")
  const process = startPython(python)
  const folder = temporaryFolder()
  const attempts = Number(values.shrink)
  const from = Number(values.seed ?? values.from)
  const seeds = values.seed === undefined ? Number(values.seeds) : 1
  const until = Number(values.seconds) > 0 ? performance.now() + Number(values.seconds) * 1000 : Infinity
  const started = performance.now()
  const wrong: Array<number> = []
  const refused = new Map<string, Array<number>>()
  const notes = new Map<string, number>()
  let seed = from
  for (; seed < from + seeds && performance.now() < until; seed++) {
    const file = fileOf(seed)
    const report = await check(file, process, folder)
    for (const note of report.notes) {
      const kind = note.replaceAll(/\d+/g, "N").slice(0, 160)
      notes.set(kind, (notes.get(kind) ?? 0) + 1)
    }
    const kind = report.refused
      ?.replaceAll(/\S*\.parquet/g, "file")
      .replaceAll(/\d+/g, "N")
      .slice(0, 200)
    const isNew = kind !== undefined && !refused.has(kind)
    if (kind !== undefined) refused.set(kind, [...(refused.get(kind) ?? []), seed])
    if (report.wrong.length > 0) wrong.push(seed)
    if (!isNew && (report.wrong.length === 0 || wrong.length > Number(values.failures))) continue
    console.log(`seed ${seed} of ${file.writer} ${JSON.stringify(file.options)}`)
    for (const line of report.wrong) console.log(`  ${line}`)
    if (report.refused !== undefined) console.log(`  refused: ${report.refused}`)
    if (attempts === 0) continue
    const smallest = await shrink(file, process, folder)
    const again = await check(smallest, process, folder)
    console.log(`  smaller: ${JSON.stringify(smallest).slice(0, 1500)}`)
    for (const line of [...again.wrong, again.refused ?? ""]) console.log(`  ${line}`)
  }
  process.close()
  await rm(folder, { recursive: true })
  if (values.notes)
    for (const [what, times] of [...notes].toSorted()) console.log(`among the others, ${times} times: ${what}`)
  for (const [what, where] of refused)
    console.log(`refused, ${where.length} times: ${what}: ${where.slice(0, 10).join(" ")}`)
  const seconds = (performance.now() - started) / 1000
  console.log(
    `${seed - from} files from seed ${from} in ${seconds.toFixed(1)} s: ` +
      `${wrong.length} differ${wrong.length === 0 ? "" : `: ${wrong.slice(0, 100).join(" ")}`}`
  )
  return wrong.length === 0
}

switch (positionals[0]) {
  case "readers":
    process.exitCode = (await readers()) ? 0 : 1
    break
  case "pipelines":
    process.exitCode = (await pipelines()) ? 0 : 1
    break
  default:
    console.error("what to run: pipelines or readers")
    process.exitCode = 2
}
