/**
 * Turns the examples of the documentation into tests.
 *
 * Every fence opened by "```ts import.meta.vitest" in a doc comment of `packages/<pkg>/src` or in a README becomes a test
 * in `.doctest/`. A line `expression // => value` asserts that the two are equal; the same comment behind
 * `console.log(expression)` or `const name = …` asserts on what is printed or bound. `npm run doctest` then type
 * checks and runs the files.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseSync } from "oxc-parser"

const root = Path.resolve(import.meta.dirname, "..")
const out = Path.join(root, ".doctest")

interface Fence {
  readonly line: number
  readonly code: string
}

const fencesOf = (text: string): ReadonlyArray<Fence> => {
  const fences: Array<Fence> = []
  let open: { readonly line: number; readonly margin: string; readonly lines: Array<string> } | undefined
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (open === undefined) {
      const margin = /^(\s*(?:\* ?)?)```ts import\.meta\.vitest\s*$/.exec(line)?.[1]
      if (margin !== undefined) open = { line: index + 2, margin, lines: [] }
      continue
    }
    const inner = line.startsWith(open.margin) ? line.slice(open.margin.length) : line.replace(/^\s*\*?/, "")
    if (inner.startsWith("```")) {
      fences.push({ line: open.line, code: open.lines.join("\n") })
      open = undefined
    } else {
      open.lines.push(inner)
    }
  }
  if (open !== undefined) throw new Error(`line ${open.line - 1}: the fence is not closed`)
  return fences
}

/** One edit of the source text: the range is replaced by the text. */
type Edit = readonly [start: number, end: number, text: string]

const applyEdits = (code: string, edits: ReadonlyArray<Edit>): string =>
  edits
    .toSorted((a, b) => b[0] - a[0])
    .reduce((text, [start, end, by]) => text.slice(0, start) + by + text.slice(end), code)

const compile = (
  code: string
): { readonly imports: ReadonlyArray<string>; readonly body: string; readonly checks: number } => {
  const { comments, errors, program } = parseSync("example.ts", code, { sourceType: "module", lang: "ts" })
  const [error] = errors
  if (error !== undefined) throw new Error(`${error.message}\n${error.codeframe ?? ""}`)
  const imports: Array<string> = []
  const edits: Array<Edit> = []
  const expectations = new Map<number, string>()
  for (const comment of comments) {
    const value = /^\s*=>(.*)$/s.exec(comment.value)?.[1]
    if (value !== undefined) expectations.set(comment.start, value.trim())
  }
  let checks = 0
  for (const [index, node] of program.body.entries()) {
    if (node.type === "ImportDeclaration") {
      imports.push(code.slice(node.start, node.end))
      edits.push([node.start, node.end, ""])
      continue
    }
    if (node.type === "ExportNamedDeclaration" && node.declaration !== null) {
      edits.push([node.start, node.declaration.start, ""])
    }
    const next = program.body[index + 1]?.start ?? code.length
    const found = [...expectations].find(
      ([start]) => start >= node.end && start < next && !code.slice(node.end, start).includes("\n")
    )
    if (found === undefined) continue
    const [start, expected] = found
    const declared = node.type === "VariableDeclaration" ? node.declarations.at(-1)?.id : undefined
    if (node.type === "ExpressionStatement") {
      const call = node.expression.type === "CallExpression" ? node.expression : undefined
      const [printed] = call?.arguments ?? []
      const isLog = call !== undefined && code.slice(call.callee.start, call.callee.end) === "console.log"
      const subject = isLog && call.arguments.length === 1 && printed !== undefined ? printed : node.expression
      edits.push([node.start, node.end, `equal(${code.slice(subject.start, subject.end)}, ${expected})`])
    } else if (declared?.type === "Identifier") {
      edits.push([node.end, node.end, `\nequal(${declared.name}, ${expected})`])
    } else {
      continue
    }
    expectations.delete(start)
    checks += 1
  }
  for (const expected of expectations.values()) {
    throw new Error(`"// => ${expected}" does not stand behind a statement of the example's top level`)
  }
  return { imports, body: applyEdits(code, edits).trim(), checks }
}

/** `import { A } from "x"` of one example and `import { A, B } from "x"` of the next become one import. */
const mergeImports = (imports: Iterable<string>): string => {
  const named = new Map<string, Set<string>>()
  const others = new Set<string>()
  for (const text of imports) {
    const [, kind, names, from] = /^import (type )?\{([^}]*)\} from (["'][^"']+["']);?$/.exec(text) ?? []
    if (names === undefined || from === undefined) {
      others.add(text)
      continue
    }
    const known = named.get(from) ?? new Set()
    for (const name of names.split(",").map((n) => n.trim())) if (name !== "") known.add(`${kind ?? ""}${name}`)
    named.set(from, known)
  }
  const lines = [...named].map(([from, names]) => {
    const values = [...names].filter((name) => !(name.startsWith("type ") && names.has(name.slice("type ".length))))
    return `import { ${values.join(", ")} } from ${from}`
  })
  return [...others, ...lines].join("\n")
}

const prelude = `// Generated by scripts/doctest.ts.
import { assert as assertions, test as example } from "vitest"
import { Equal as Equality } from "effect"

const equal = (actual: unknown, expected: unknown): void => {
  if (!Equality.equals(actual, expected)) assertions.deepStrictEqual(actual, expected)
}
`

Fs.rmSync(out, { recursive: true, force: true })
Fs.mkdirSync(out)
const sources = Fs.globSync(
  ["README.md", "packages/*/README.md", "packages/*/src/README.md", "packages/*/src/**/*.ts"],
  {
    cwd: root
  }
)
let examples = 0
let checks = 0
for (const source of sources.toSorted()) {
  const fences = fencesOf(Fs.readFileSync(Path.join(root, source), "utf8"))
  if (fences.length === 0) continue
  const compiled = fences.map((fence) => {
    try {
      return { ...fence, ...compile(fence.code) }
    } catch (cause) {
      throw new Error(`${source}:${fence.line}: the example does not compile`, { cause })
    }
  })
  const tests = compiled.map(
    (c) => `example(${JSON.stringify(`${source}:${c.line}`)}, { timeout: 30_000 }, async () => {\n${c.body}\n})\n`
  )
  const name = source.replace(/\.(?:ts|md)$/, "").replaceAll(Path.sep, ".")
  const imports = mergeImports(compiled.flatMap((c) => c.imports))
  Fs.writeFileSync(Path.join(out, `${name}.test.ts`), [prelude, imports, "", ...tests].join("\n"))
  examples += compiled.length
  checks += compiled.reduce((sum, c) => sum + c.checks, 0)
}
console.log(`${examples} examples with ${checks} checked values`)
if (examples === 0) {
  console.error('no example found: mark one as "```ts import.meta.vitest" in a doc comment or a README')
  process.exitCode = 1
}
