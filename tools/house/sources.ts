/**
 * The sources as the rules see them: each file with its path from the root, parsed once.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseSync, visitorKeys } from "oxc-parser"
import type { Comment, Node, Program } from "oxc-parser"

/** The text of each file by its path from the root, with `/` between its parts. */
export type Files = ReadonlyMap<string, string>

/** One module that another names: in an import, a re-export, `import()` or an `import("...")` type. */
interface Import {
  readonly specifier: string
  readonly line: number
  /** The path of the file, when it is one of ours. */
  readonly target: string | undefined
}

/** A TypeScript file. */
export interface Module {
  readonly path: string
  readonly text: string
  readonly program: Program
  readonly comments: ReadonlyArray<Comment>
  readonly imports: ReadonlyArray<Import>
  readonly lineAt: (offset: number) => number
}

/** A breach of a rule. Breaches of one `unit`, a circle of files say, are counted as one in the report. */
export interface Finding {
  readonly rule: string
  readonly file: string
  readonly line: number
  readonly message: string
  readonly unit?: string
}

const skipped = new Set(["node_modules", "dist", "data", "CHANGELOG.md"])

/** Reads what the rules look at below `root`. */
export const readFiles = (root: string): Files => {
  const files = new Map<string, string>()
  const visit = (folder: string): void => {
    for (const entry of Fs.readdirSync(Path.join(root, folder), { withFileTypes: true })) {
      if (skipped.has(entry.name) || (entry.name.startsWith(".") && entry.name !== ".changeset")) continue
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) visit(path)
      else if (/\.(?:ts|md)$/.test(path) || entry.name === "package.json") {
        files.set(path, Fs.readFileSync(Path.join(root, path), "utf8"))
      }
    }
  }
  visit("")
  return files
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

const childrenOf = (node: Node): ReadonlyArray<Node> => {
  const record: Readonly<Record<string, unknown>> = { ...node }
  return (visitorKeys[node.type] ?? []).flatMap((key) => {
    const value = record[key]
    return Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : []
  })
}

/** Calls `visit` with every node and those around it, the innermost last. */
export const walk = (program: Program, visit: (node: Node, around: ReadonlyArray<Node>) => void): void => {
  const around: Array<Node> = []
  const enter = (node: Node): void => {
    visit(node, around)
    around.push(node)
    for (const child of childrenOf(node)) enter(child)
    around.pop()
  }
  enter(program)
}

/** The package and the path below `src` of a source file of a package. */
export const locate = (path: string): { readonly pkg: string; readonly file: string } | undefined => {
  const [, pkg, file] = /^packages\/([^/]+)\/src\/(.+)$/.exec(path) ?? []
  return pkg === undefined || file === undefined ? undefined : { pkg, file }
}

/** Where the packages' own import paths lead: `@sluice/core/Dataset` to its source. */
const packagePaths = (files: Files): ((specifier: string) => string | undefined) => {
  const entries: Array<{ readonly pattern: string; readonly path: string }> = []
  for (const [path, text] of files) {
    const [, folder] = /^(packages\/[^/]+)\/package\.json$/.exec(path) ?? []
    if (folder === undefined) continue
    const manifest: {
      readonly name: string
      readonly exports?: Readonly<Record<string, string | null | { readonly "@sluice/source"?: string }>>
    } = JSON.parse(text)
    for (const [key, value] of Object.entries(manifest.exports ?? {})) {
      const source = typeof value === "object" ? value?.["@sluice/source"] : undefined
      if (source === undefined) continue
      entries.push({ pattern: Path.posix.join(manifest.name, key), path: Path.posix.join(folder, source) })
    }
  }
  return (specifier) => {
    const exact = entries.find(({ pattern }) => pattern === specifier)
    if (exact !== undefined) return exact.path
    for (const { pattern, path } of entries) {
      const [before = "", after] = pattern.split("*")
      if (after === undefined || !specifier.startsWith(before) || !specifier.endsWith(after)) continue
      return path.replace("*", specifier.slice(before.length, specifier.length - after.length))
    }
    return undefined
  }
}

const lineCounter = (text: string): ((offset: number) => number) => {
  const starts = [0, ...Array.from(text.matchAll(/\n/g), (match) => match.index + 1)]
  return (offset) => {
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((starts[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
}

const specifierOf = (node: Node): string | undefined => {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
    case "TSImportType":
      return node.source?.value
    case "ImportExpression":
      return node.source.type === "Literal" && typeof node.source.value === "string" ? node.source.value : undefined
    default:
      return undefined
  }
}

/** Parses every TypeScript file. */
export const parse = (files: Files): ReadonlyMap<string, Module> => {
  const ofPackage = packagePaths(files)
  const modules = new Map<string, Module>()
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue
    const { comments, errors, program } = parseSync(path, text)
    const [error] = errors
    if (error !== undefined) throw new Error(`${path}: ${error.message}`)
    const lineAt = lineCounter(text)
    const imports: Array<Import> = []
    walk(program, (node) => {
      const specifier = specifierOf(node)
      if (specifier === undefined) return
      const target = specifier.startsWith(".")
        ? Path.posix.join(Path.posix.dirname(path), specifier)
        : ofPackage(specifier)
      imports.push({
        specifier,
        line: lineAt(node.start),
        target: target !== undefined && files.has(target) ? target : undefined
      })
    })
    modules.set(path, { path, text, program, comments, imports, lineAt })
  }
  return modules
}
