/**
 * The breaches that existed when a rule was introduced: a count for each rule and file, which may only fall.
 */
import type { Finding } from "./sources.ts"

export type Baseline = Readonly<Record<string, Readonly<Record<string, number>>>>

/** The findings counted by rule and file, in the order of their names. */
export const countsOf = (findings: ReadonlyArray<Finding>): Baseline => {
  const counts: Record<string, Record<string, number>> = {}
  for (const { file, rule } of findings.toSorted((a, b) => (a.rule + a.file < b.rule + b.file ? -1 : 1))) {
    const ofRule = (counts[rule] ??= {})
    ofRule[file] = (ofRule[file] ?? 0) + 1
  }
  return counts
}

/** The findings of files that have more than the baseline says, and the entries that count too many. */
export const compare = (
  findings: ReadonlyArray<Finding>,
  baseline: Baseline
): { readonly fresh: ReadonlyArray<Finding>; readonly stale: ReadonlyArray<string> } => {
  const counts = countsOf(findings)
  const fresh = findings.filter(({ file, rule }) => (counts[rule]?.[file] ?? 0) > (baseline[rule]?.[file] ?? 0))
  const stale = Object.entries(baseline).flatMap(([rule, files]) =>
    Object.entries(files).flatMap(([file, count]) => {
      const now = counts[rule]?.[file] ?? 0
      return now < count ? [`${rule}: ${file}: ${now}, the baseline says ${count}`] : []
    })
  )
  return { fresh, stale }
}

const sum = (files: Readonly<Record<string, number>> | undefined): number =>
  Object.values(files ?? {}).reduce((total, count) => total + count, 0)

/**
 * The baseline for the present findings: files may have moved and rules may have fallen. A rule whose total rose since
 * is among `risen`, and then the baseline must stay as it is.
 */
export const settle = (
  findings: ReadonlyArray<Finding>,
  baseline: Baseline
): { readonly next: Baseline; readonly risen: ReadonlyArray<string> } => {
  const next = countsOf(findings)
  const risen = Object.keys(next).filter((rule) => sum(next[rule]) > sum(baseline[rule]))
  return { next, risen }
}
