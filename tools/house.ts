/**
 * Checks the house rules of `tools/house/`: imports, docs, sizes, casts, prose. A report comes last.
 *
 *     npm run -s house                    fails on a breach that tools/house/baseline.json does not count
 *     npm run -s house -- --all           prints every breach, the counted ones too
 *     npm run -s house -- --all prose     those of one rule
 *     npm run -s house -- --settle        writes the counts as they are now, unless the total of a rule rose
 */
import * as Fs from "node:fs"
import { compare, settle } from "./house/baseline.ts"
import type { Baseline } from "./house/baseline.ts"
import { check, summary } from "./house/report.ts"
import { readFiles } from "./house/sources.ts"
import type { Finding } from "./house/sources.ts"
import { long } from "./house/table.ts"

const baselineFile = "tools/house/baseline.json"
const [option, only] = process.argv.slice(2)
if (option !== undefined && option !== "--all" && option !== "--settle") {
  console.error(`unknown option ${option}: --all, --all RULE or --settle`)
  process.exit(2)
}

const files = readFiles(".")
if (!files.has("packages/core/package.json")) {
  console.error("run it in the root of the repository")
  process.exit(2)
}
const { allowed, findings } = check(files, long)
const baseline: Baseline = Fs.existsSync(baselineFile) ? JSON.parse(Fs.readFileSync(baselineFile, "utf8")) : {}
const { fresh, stale } = compare(findings, baseline)
const print = ({ file, line, message, rule }: Finding) => console.log(`${file}:${line}: ${rule}: ${message}`)

let failed = false
if (option === "--all") for (const finding of findings) if (only === undefined || finding.rule === only) print(finding)
if (option === "--settle") {
  const { next, risen } = settle(findings, baseline)
  failed = risen.length > 0
  if (failed) console.log(`not settled, more than before: ${risen.join(", ")}`)
  else Fs.writeFileSync(baselineFile, `${JSON.stringify(next, null, 2)}\n`)
} else {
  failed = fresh.length + stale.length > 0
}
if (failed && option !== "--all") {
  // Every file of a circle has a finding; the first one has the shortest way round.
  const printed = new Set<string>()
  for (const finding of fresh) {
    if (finding.unit !== undefined && printed.has(finding.unit)) continue
    if (finding.unit !== undefined) printed.add(finding.unit)
    print(finding)
  }
}
if (failed && stale.length > 0 && option === undefined) {
  for (const line of stale) console.log(line)
  console.log("There are fewer breaches than counted, or files have moved: npm run -s house -- --settle")
}
for (const finding of allowed) print(finding)
for (const line of summary(findings, allowed)) console.log(line)
process.exitCode = failed ? 1 : 0
