/** The mutants of a source file, and the probes that tell which of its functions a test runs. */
import { createHash } from "node:crypto"
import { parseSync, visitorKeys } from "oxc-parser"

/** One small change of a file that usually makes it wrong. */
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

/** The parts of a syntax tree that are used here. */
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

/** Whether a node matters only to the type checker, or names an import. */
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

/** Replaces a piece of text by another. */
interface Edit {
  readonly start: number
  readonly end: number
  readonly by: string
}

/** A node and its surroundings, as the rules see it. */
interface Site {
  readonly code: string
  readonly node: Node
  readonly parent: Node | undefined
  /** Whether it is the key of a property. */
  readonly isKey: boolean
}

const inner = (node: unknown): Node | undefined => {
  if (!isNode(node)) return undefined
  return node.type === "ParenthesizedExpression" ? inner(node["expression"]) : node
}

const textOf = (code: string, node: Node): string => code.slice(node.start, node.end)

const replace = ({ end, start }: Node, by: string): Edit => ({ start, end, by })

/** Other operators between two operands, whatever surrounds them. */
const otherOperators = (code: string, left: Node, right: Node, own: string): ReadonlyArray<Edit> => {
  const start = left.end + code.slice(left.end, right.start).indexOf(own)
  return (operators[own] ?? []).map((by) => ({ start, end: start + own.length, by }))
}

const ofBinary = ({ code, node }: Site): ReadonlyArray<Edit> => {
  const { left, operator, right } = node
  if (!isNode(left) || !isNode(right) || typeof operator !== "string") return []
  if (operator === "??") return [replace(node, textOf(code, left))]
  const words = [left, right].some(({ type, value }) => type === "TemplateLiteral" || typeof value === "string")
  return operator === "+" && words ? [] : otherOperators(code, left, right, operator)
}

const ofUnary = ({ code, node }: Site): ReadonlyArray<Edit> => {
  const { argument, operator } = node
  return isNode(argument) && ["!", "-", "~"].includes(String(operator)) ? [replace(node, textOf(code, argument))] : []
}

const ofUpdate = ({ code, node, parent }: Site): ReadonlyArray<Edit> => {
  // A changed update in the head of a loop would run forever.
  if (parent?.type === "ForStatement") return []
  const own = String(node["operator"])
  return [replace(node, textOf(code, node).replace(own, own === "++" ? "--" : "++"))]
}

const ofLiteral = ({ isKey, node }: Site): ReadonlyArray<Edit> => {
  const value = node["value"]
  if (typeof value === "bigint") return [replace(node, `${value + 1n}n`)]
  if (typeof value === "boolean") return [replace(node, String(!value))]
  if (typeof value !== "number" || isKey) return []
  return [replace(node, String(value + 1)), ...(value === 0 ? [] : [replace(node, String(value - 1))])]
}

const ofArray = ({ node }: Site): ReadonlyArray<Edit> => (childrenOf(node).length > 0 ? [replace(node, "[]")] : [])

const negated = (code: string, test: Node): Edit => replace(test, `!(${textOf(code, test)})`)

const ofConditional = ({ code, node }: Site): ReadonlyArray<Edit> => {
  const { alternate, consequent } = node
  const test = inner(node["test"])
  return [
    ...(test === undefined ? [] : [negated(code, test)]),
    ...(isNode(consequent) && isNode(alternate)
      ? [replace(node, `(${textOf(code, consequent)})`), replace(node, `(${textOf(code, alternate)})`)]
      : [])
  ]
}

const ofIf = ({ code, node }: Site): ReadonlyArray<Edit> => {
  const test = inner(node["test"])
  return test === undefined ? [] : [negated(code, test), replace(test, "true"), replace(test, "false")]
}

const ofWhile = ({ node }: Site): ReadonlyArray<Edit> => {
  const test = inner(node["test"])
  return test === undefined ? [] : [replace(test, "false")]
}

const ofFor = (site: Site): ReadonlyArray<Edit> =>
  inner(site.node["test"])?.type === "Identifier" ? [] : ofWhile(site)

/** Leaves a statement out. If a statement is required, an empty block replaces it. */
const without =
  (...free: ReadonlyArray<string>) =>
  ({ node, parent }: Site): ReadonlyArray<Edit> => [replace(node, free.includes(parent?.type ?? "") ? "" : "{}")]

const ofReturn = ({ node }: Site): ReadonlyArray<Edit> => {
  const value = inner(node["argument"])
  return value !== undefined && ["BinaryExpression", "LogicalExpression", "UnaryExpression"].includes(value.type)
    ? [replace(value, "true"), replace(value, "false")]
    : []
}

/** Swaps two arguments. */
const swapped = (code: string, call: Node, first: Node, second: Node | undefined): ReadonlyArray<Edit> => {
  // The compiler would refuse arguments of two types, and `Math.max` takes them in any order.
  if (first.type !== second?.type || textOf(code, call).startsWith("Math.")) return []
  const by = `${textOf(code, second)}${code.slice(first.end, second.start)}${textOf(code, first)}`
  return [{ start: first.start, end: second.end, by }]
}

const cuts = new Set(["slice", "subarray"])
const steps = new Set([...cuts, "filter", "toSorted", "sort", "reverse", "toReversed", "trim", "trimEnd"])

const ofCall = ({ code, node }: Site): ReadonlyArray<Edit> => {
  const { arguments: given, callee } = node
  const [first, second] = Array.isArray(given) ? given.filter(isNode) : []
  const edits = first === undefined ? [] : [...swapped(code, node, first, second)]
  if (!isNode(callee) || callee.type !== "MemberExpression") return edits
  const { object, property } = callee
  if (!isNode(object) || !isNode(property)) return edits
  const name = textOf(code, property)
  if (methods[name] !== undefined) edits.push(replace(property, methods[name]))
  if (cuts.has(name) && first !== undefined) {
    if (second !== undefined) edits.push({ start: first.end, end: second.end, by: "" })
    if (textOf(code, first) !== "0") edits.push(replace(first, "0"))
  }
  if (steps.has(name)) edits.push(replace(node, textOf(code, object)))
  return edits
}

/** The changes for each type of node. */
const rules: Readonly<Record<string, (site: Site) => ReadonlyArray<Edit>>> = {
  BinaryExpression: ofBinary,
  LogicalExpression: ofBinary,
  AssignmentExpression: ofBinary,
  UnaryExpression: ofUnary,
  UpdateExpression: ofUpdate,
  Literal: ofLiteral,
  ArrayExpression: ofArray,
  ConditionalExpression: ofConditional,
  IfStatement: ofIf,
  WhileStatement: ofWhile,
  ForStatement: ofFor,
  ExpressionStatement: without("Program", "BlockStatement"),
  ContinueStatement: without("BlockStatement", "SwitchCase"),
  BreakStatement: without("BlockStatement", "SwitchCase"),
  ReturnStatement: ofReturn,
  CallExpression: ofCall,
  SpreadElement: ({ node, parent }) => (parent?.type === "ObjectExpression" ? [replace(node, "...{}")] : [])
}

/** The lines that an edit changes, before and after. */
const linesOf = (code: string, { by, end, start }: Edit) => {
  const from = code.lastIndexOf("\n", start - 1) + 1
  const to = code.indexOf("\n", end)
  const tail = code.slice(end, to < 0 ? code.length : to)
  return { before: squeeze(code.slice(from, end) + tail), after: squeeze(code.slice(from, start) + by + tail) }
}

/** All mutants of a file's text. */
export const mutantsOf = (code: string): ReadonlyArray<Mutant> => {
  const mutants: Array<Mutant> = []
  let functions = 0
  const visit = (node: Node, parent: Node | undefined, outside: number, isKey: boolean): void => {
    if (saysNothing(node)) return
    const inside = isFunction(node) ? ++functions : outside
    for (const edit of rules[node.type]?.({ code, node, parent, isKey }) ?? []) {
      const lines = linesOf(code, edit)
      if (lines.before === lines.after) continue
      mutants.push({ ...edit, line: code.slice(0, edit.start).split("\n").length, ...lines, inside })
    }
    for (const child of childrenOf(node)) {
      visit(child, node, inside, node.type === "Property" && node["key"] === child && node["computed"] !== true)
    }
  }
  visit(parse(code), undefined, 0, false)
  return mutants
}

/**
 * Chooses mutants by a seed, at most one per place. The hash of each decides, so that the choice stays the same when
 * the rest of the file changes.
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
