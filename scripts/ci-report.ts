/**
 * Sums up the JSON reports of vitest named on the command line and prints `N passed, N failed, N skipped` last.
 *
 * Exits 1 when a test or a whole file failed, when no test ran, and, with `SLUICE_REQUIRE_ALL=1`, when one was skipped.
 */
import * as Fs from "node:fs"

interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: ReadonlyArray<{ readonly status: string; readonly fullName: string }>
  }>
}

const problems: Array<string> = []
let passed = 0
let failed = 0
let skipped = 0

for (const file of process.argv.slice(2)) {
  if (!Fs.existsSync(file)) {
    problems.push(`${file} is missing: the run that writes it did not finish`)
    continue
  }
  const report: Report = JSON.parse(Fs.readFileSync(file, "utf8"))
  passed += report.numPassedTests
  failed += report.numFailedTests
  skipped += report.numPendingTests + report.numTodoTests
  for (const suite of report.testResults) {
    for (const test of suite.assertionResults) {
      if (test.status === "failed") problems.push(`failed: ${suite.name}: ${test.fullName}`)
      if (test.status !== "failed" && test.status !== "passed" && process.env["SLUICE_REQUIRE_ALL"] === "1") {
        problems.push(`skipped: ${suite.name}: ${test.fullName}`)
      }
    }
    // A file that throws while it is loaded has no tests to count: it counts as one.
    if (suite.status === "failed" && !suite.assertionResults.some((test) => test.status === "failed")) {
      failed += 1
      problems.push(`failed: ${suite.name}: ${suite.message}`)
    }
  }
  if (!report.success && report.numFailedTests === 0) problems.push(`${file}: the run itself reports a failure`)
}
if (passed + failed === 0) problems.push("no test ran")

for (const problem of problems) console.log(problem)
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = problems.length === 0 ? 0 : 1
