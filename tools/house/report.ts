/**
 * Every rule over one set of files.
 */
import { borderRule, circleRule, floorRule } from "./imports.ts"
import { docRule } from "./docs.ts"
import { proseRule } from "./prose.ts"
import { castRule, sizeRule } from "./sizes.ts"
import { parse } from "./sources.ts"
import type { Files, Finding } from "./sources.ts"
import { categories, limits } from "./table.ts"
import type { LongOne } from "./table.ts"
import { phrases } from "./words.ts"

/** What every rule found, and the long functions and files that have a reason. */
export const check = (
  files: Files,
  reasons: ReadonlyArray<LongOne>
): { readonly findings: ReadonlyArray<Finding>; readonly allowed: ReadonlyArray<Finding> } => {
  const modules = parse(files)
  const { allowed, findings } = sizeRule(modules, reasons)
  return {
    findings: [
      ...circleRule(modules),
      ...floorRule(modules),
      ...borderRule(modules),
      ...docRule(modules, categories),
      ...findings,
      ...castRule(modules),
      ...proseRule(files, modules, phrases)
    ],
    allowed
  }
}

/** The lines at the end: what is left of each kind, reasons or not. */
export const summary = (findings: ReadonlyArray<Finding>, allowed: ReadonlyArray<Finding>): ReadonlyArray<string> => {
  const count = (...rules: ReadonlyArray<string>): string => {
    const found = findings.filter(({ rule }) => rules.includes(rule))
    const single = found.filter(({ unit }) => unit === undefined).length
    const units = new Set(found.flatMap(({ unit }) => unit ?? [])).size
    const excused = allowed.filter(({ rule }) => rules.includes(rule)).length
    return excused === 0 ? `${single + units}` : `${single + units + excused} (${excused} with a reason)`
  }
  return [
    `circles: ${count("circles")} of files, ${count("folder circles")} of folders`,
    `upward imports: ${count("floors")}`,
    `imports across a package's border: ${count("borders")}`,
    `public docs not of the fixed shape: ${count("docs")}`,
    `files over ${limits.fileLines} lines: ${count("long files")}`,
    `functions over ${limits.functionLines} lines: ${count("long functions")}`,
    `casts: ${count("casts")}`,
    `prose words: ${count("prose")}`
  ]
}
