/** The mutants of a source file, and the probes that tell which of its functions a test runs. */
import { createHash } from "node:crypto"
import { parseSync, visitorKeys } from "oxc-parser"

/** One small change of a file that makes it, as a rule, wrong. */
export interface Mutant {
  readonly start: number
  readonly end: number
  readonly by: string
  readonly line: number
  /** The lines it changes, before and after, with single spaces. */
  readonly before: string
  readonly after: string
  /** The innermost function it is in, counted in the order of their beginnings; 0 outside of all. */
  readonly inside: number
}

/** What of a syntax tree is looked at here. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [property: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && "start" in value

const childrenOf = (node: Node): ReadonlyArray<Node> =>
  (visitorKeys[node.type] ?? []).flatMap((key) => {
    const child = node[key]
    return Array.isArray(child) ? child.filter(isNode) : isNode(child) ? [child] : []
  })

const operators: Readonly<Record<string, ReadonlyArray<string>>> = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
  "==": ["!="],
  "!=": ["=="],
  "+": ["-"],
  "-": ["+"],
  "*": ["/"],
  "/": ["*"],
  "%": ["*"],
  "<<": [">>"],
  ">>": ["<<"],
  ">>>": ["<<"],
  "&": ["|"],
  "|": ["&"],
  "^": ["&"],
  "&&": ["||"],
  "||": ["&&"],
  "+=": ["-="],
  "-=": ["+="],
  "*=": ["/="],
  "/=": ["*="],
  "<<=": [">>="],
  ">>>=": ["<<="],
  "|=": ["&="],
  "&=": ["|="],
  "^=": ["&="],
  "??=": ["="]
}

const methods: Readonly<Record<string, string>> = {
  min: "max",
  max: "min",
  floor: "ceil",
  ceil: "floor",
  some: "every",
  every: "some",
  startsWith: "endsWith",
  endsWith: "startsWith",
  indexOf: "lastIndexOf",
  lastIndexOf: "indexOf",
  push: "unshift"
}

const isFunction = (node: Node): boolean =>
  node.type === "ArrowFunctionExpression" || node.type === "FunctionExpression" || node.type === "FunctionDeclaration"

/** Whether a node only says something to the type checker, or what an import is called. */
const saysNothing = (node: Node): boolean =>
  node.type.startsWith("TS")
    ? !["TSAsExpression", "TSSatisfiesExpression", "TSNonNullExpression", "TSInstantiationExpression"].includes(
        node.type
      )
    : node.type === "ImportDeclaration" || node.type === "ExportAllDeclaration"

const parse = (code: string): Node => {
  const { errors, program } = parseSync("module.ts", code, { sourceType: "module", lang: "ts" })
  const [error] = errors
  if (error !== undefined) throw new Error(error.message)
  const root: unknown = program
  if (!isNode(root)) throw new Error("no syntax tree")
  return root
}

const squeeze = (text: string): string => text.replace(/\s+/g, " ").trim()

/** All mutants of a file's text. */
export const mutantsOf = (code: string): ReadonlyArray<Mutant> => {
  const mutants: Array<Mutant> = []
  const text = (node: Node): string => code.slice(node.start, node.end)
  const inner = (node: unknown): Node | undefined =>
    isNode(node) && node.type === "ParenthesizedExpression"
      ? inner(node["expression"])
      : isNode(node)
        ? node
        : undefined
  let functions = 0

  const add = (inside: number, start: number, end: number, by: string): void => {
    const from = code.lastIndexOf("\n", start - 1) + 1
    const to = code.indexOf("\n", end)
    const tail = code.slice(end, to < 0 ? code.length : to)
    const before = squeeze(code.slice(from, end) + tail)
    const after = squeeze(code.slice(from, start) + by + tail)
    if (before !== after)
      mutants.push({ start, end, by, line: code.slice(0, start).split("\n").length, before, after, inside })
  }

  const visit = (node: Node, parent: Node | undefined, outside: number, place: string): void => {
    if (saysNothing(node)) return
    const inside = isFunction(node) ? ++functions : outside
    const replace = (by: string, of: Node = node): void => add(inside, of.start, of.end, by)
    // The operator between two operands, whatever stands around it.
    const operator = (left: Node, right: Node, own: string): void => {
      const at = left.end + code.slice(left.end, right.start).indexOf(own)
      for (const other of operators[own] ?? []) add(inside, at, at + own.length, other)
    }
    const test = inner(node["test"])
    switch (node.type) {
      case "BinaryExpression":
      case "LogicalExpression":
      case "AssignmentExpression": {
        const { left, operator: own, right } = node
        if (!isNode(left) || !isNode(right) || typeof own !== "string") break
        const words = [left, right].some(({ type, value }) => type === "TemplateLiteral" || typeof value === "string")
        if (own === "??") replace(text(left))
        else if (!(own === "+" && words)) operator(left, right, own)
        break
      }
      case "UnaryExpression": {
        const argument = node["argument"]
        if (isNode(argument) && ["!", "-", "~"].includes(String(node["operator"]))) replace(text(argument))
        break
      }
      case "UpdateExpression": {
        // That of a loop's head would run for ever.
        if (parent?.type === "ForStatement") break
        const other = node["operator"] === "++" ? "--" : "++"
        replace(text(node).replace(String(node["operator"]), other))
        break
      }
      case "Literal":
        if (typeof node["value"] === "number" && place !== "key") {
          replace(String(node["value"] + 1))
          if (node["value"] !== 0) replace(String(node["value"] - 1))
        }
        if (typeof node["value"] === "bigint") replace(`${node["value"] + 1n}n`)
        if (typeof node["value"] === "boolean") replace(String(!node["value"]))
        break
      case "ArrayExpression":
        if (childrenOf(node).length > 0) replace("[]")
        break
      case "ConditionalExpression": {
        const { alternate, consequent } = node
        if (test !== undefined) replace(`!(${text(test)})`, test)
        if (isNode(consequent) && isNode(alternate)) {
          replace(`(${text(consequent)})`)
          replace(`(${text(alternate)})`)
        }
        break
      }
      case "IfStatement":
        if (test === undefined) break
        replace(`!(${text(test)})`, test)
        replace("true", test)
        replace("false", test)
        break
      case "WhileStatement":
        if (test !== undefined) replace("false", test)
        break
      case "ForStatement":
        if (test !== undefined && test.type !== "Identifier") replace("false", test)
        break
      case "ExpressionStatement":
        replace(parent?.type === "Program" || parent?.type === "BlockStatement" ? "" : "{}")
        break
      case "ContinueStatement":
      case "BreakStatement":
        replace(parent?.type === "BlockStatement" || parent?.type === "SwitchCase" ? "" : "{}")
        break
      case "ReturnStatement": {
        const value = inner(node["argument"])
        if (value === undefined) break
        if (["BinaryExpression", "LogicalExpression", "UnaryExpression"].includes(value.type)) {
          replace("true", value)
          replace("false", value)
        }
        break
      }
      case "CallExpression": {
        const callee = node["callee"]
        const args = Array.isArray(node["arguments"]) ? node["arguments"].filter(isNode) : []
        const [first, second] = args
        // The compiler would refuse arguments of two types, and `Math.max` takes them in any order.
        if (first !== undefined && first.type === second?.type && !text(node).startsWith("Math."))
          add(inside, first.start, second.end, `${text(second)}${code.slice(first.end, second.start)}${text(first)}`)
        if (!isNode(callee) || callee.type !== "MemberExpression") break
        const { object, property } = callee
        if (!isNode(object) || !isNode(property)) break
        const name = text(property)
        if (methods[name] !== undefined) replace(methods[name], property)
        if (["slice", "subarray"].includes(name) && first !== undefined) {
          if (second !== undefined) add(inside, first.end, second.end, "")
          if (text(first) !== "0") replace("0", first)
        }
        if (
          ["slice", "subarray", "filter", "toSorted", "sort", "reverse", "toReversed", "trim", "trimEnd"].includes(name)
        )
          replace(text(object))
        break
      }
      case "SpreadElement":
        if (parent?.type === "ObjectExpression") replace("...{}")
        break
    }
    for (const child of childrenOf(node)) {
      const key = node.type === "Property" && node["key"] === child && node["computed"] !== true
      visit(child, node, inside, key ? "key" : "")
    }
  }
  visit(parse(code), undefined, 0, "")
  return mutants
}

/**
 * Chooses mutants by a seed, at most one of a place. The choice is by the hash of each, so that it stays where the rest of the file
 * changes.
 */
export const choose = (mutants: ReadonlyArray<Mutant>, count: number, seed: string): ReadonlyArray<Mutant> => {
  const seen = new Map<string, number>()
  const places = new Set<number>()
  return mutants
    .map((mutant) => {
      const text = `${seed}\n${mutant.before}\n${mutant.after}`
      const repeated = seen.get(text) ?? 0
      seen.set(text, repeated + 1)
      return { mutant, rank: createHash("sha256").update(`${text}\n${repeated}`).digest("hex") }
    })
    .toSorted((one, other) => (one.rank < other.rank ? -1 : 1))
    .flatMap(({ mutant }) => {
      if (places.has(mutant.start)) return []
      places.add(mutant.start)
      return [mutant]
    })
    .slice(0, count)
    .toSorted((one, other) => one.start - other.start)
}

export const apply = (code: string, { by, end, start }: Mutant): string => code.slice(0, start) + by + code.slice(end)

/** The file's text with a probe in each function: it leaves `name:number` in the set `globalThis.mutateHits`. */
export const instrument = (code: string, name: string): string => {
  const edits: Array<readonly [at: number, text: string]> = []
  let functions = 0
  const visit = (node: Node): void => {
    if (saysNothing(node)) return
    if (isFunction(node)) {
      const probe = `mutateProbe(${++functions})`
      const { body } = node
      if (isNode(body) && body.type === "BlockStatement") edits.push([body.start + 1, `${probe};`])
      else if (isNode(body)) edits.push([body.start, `(${probe}, `], [body.end, ")"])
    }
    for (const child of childrenOf(node)) visit(child)
  }
  visit(parse(code))
  const probed = edits
    .map((edit, index) => ({ edit, index }))
    .toSorted((one, other) => other.edit[0] - one.edit[0] || one.index - other.index)
    .reduce((text, { edit: [at, by] }) => text.slice(0, at) + by + text.slice(at), code)
  const hits = `((globalThis as { mutateHits?: Set<string> }).mutateHits ??= new Set())`
  const id = JSON.stringify(`${name}:`)
  return `function mutateProbe(n: number) { ${hits}.add(${id} + n) };mutateProbe(0);${probed}`
}
