/**
 * Functions and files that are too long to be held in one's head, and casts.
 */
import type { Node } from "oxc-parser"
import { limits } from "./table.ts"
import type { LongOne } from "./table.ts"
import { walk } from "./sources.ts"
import type { Finding, Module } from "./sources.ts"

const isTest = (path: string): boolean => /(?:^|\/)test\//.test(path)

const nameOf = (node: Node): string | undefined => {
  switch (node.type) {
    case "VariableDeclarator":
    case "FunctionDeclaration":
    case "ClassDeclaration":
      return node.id?.type === "Identifier" ? node.id.name : undefined
    case "Property":
    case "MethodDefinition":
    case "PropertyDefinition":
      if (node.key.type === "Identifier" || node.key.type === "PrivateIdentifier") return node.key.name
      return node.key.type === "Literal" ? String(node.key.value) : undefined
    default:
      return undefined
  }
}

const isFunction = (node: Node): boolean =>
  node.type === "FunctionDeclaration" || node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression"

interface Long {
  readonly name: string
  readonly line: number
  readonly lines: number
}

/**
 * The functions above the limit by what they are bound to. A function without a name of its own, as the generator of
 * `const make = Effect.gen(function* () {})`, belongs to the binding around it, and each binding counts once.
 */
const longFunctions = (module: Module): ReadonlyArray<Long> => {
  const longest = new Map<Node | undefined, Long>()
  walk(module.program, (node, around) => {
    if (!isFunction(node)) return
    const line = module.lineAt(node.start)
    const lines = module.lineAt(node.end) - line + 1
    if (lines <= limits.functionLines) return
    const binding = [...around, node].findLast((outer) => nameOf(outer) !== undefined)
    // What `describe` and `it` are given is as long as its tests.
    if (binding === undefined && isTest(module.path)) return
    if ((longest.get(binding)?.lines ?? 0) >= lines) return
    longest.set(binding, { name: (binding && nameOf(binding)) ?? "(the module)", line, lines })
  })
  return [...longest.values()]
}

/** Functions and files above the limits of the table. An entry of `long` that is not needed is a breach too. */
export const sizeRule = (
  modules: ReadonlyMap<string, Module>,
  long: ReadonlyArray<LongOne>
): { readonly findings: ReadonlyArray<Finding>; readonly allowed: ReadonlyArray<Finding> } => {
  const findings: Array<Finding> = []
  const allowed: Array<Finding> = []
  const used = new Set<LongOne>()
  const report = (finding: Finding, name: string | undefined): void => {
    const reason = long.find((one) => one.file === finding.file && one.name === name)
    if (reason === undefined) findings.push(finding)
    else {
      used.add(reason)
      allowed.push({ ...finding, message: `${finding.message}: ${reason.reason}` })
    }
  }
  for (const module of modules.values()) {
    const lines = module.lineAt(Math.max(0, module.text.length - 1))
    if (lines > limits.fileLines) {
      report({ rule: "long files", file: module.path, line: 1, message: `has ${lines} lines` }, undefined)
    }
    for (const one of longFunctions(module)) {
      report(
        { rule: "long functions", file: module.path, line: one.line, message: `${one.name} has ${one.lines} lines` },
        one.name
      )
    }
  }
  for (const one of long) {
    if (used.has(one)) continue
    const message = `${one.name ?? "the file"} is not long any more: take it off the list in tools/house/table.ts`
    findings.push({ rule: "reasons", file: one.file, line: 1, message })
  }
  return { findings, allowed }
}

/** Every `as X` but `as const`, and every `<X>y`, in the sources of the packages. */
export const castRule = (modules: ReadonlyMap<string, Module>): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  for (const { lineAt, path, program, text } of modules.values()) {
    if (!/^packages\/[^/]+\/src\//.test(path)) continue
    walk(program, (node) => {
      if (node.type !== "TSAsExpression" && node.type !== "TSTypeAssertion") return
      const type = text.slice(node.typeAnnotation.start, node.typeAnnotation.end).replaceAll(/\s+/g, " ")
      if (type !== "const")
        findings.push({ rule: "casts", file: path, line: lineAt(node.start), message: `as ${type}` })
    })
  }
  return findings
}
