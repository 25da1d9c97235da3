/**
 * The lint rules that are particular to this repository; `.oxlintrc.json` switches them on.
 */
import * as Path from "node:path"

/** The folders of `packages/core/src` and their floors. A module imports from its own folder and from the floors below. */
const floors: Readonly<Record<string, number>> = {
  testing: 10,
  dataset: 9,
  commit: 8,
  engine: 7,
  plan: 6,
  formats: 6,
  task: 5,
  shuffle: 4,
  observe: 3,
  storage: 2,
  codec: 1
}

interface Node {
  readonly type: string
  readonly range: readonly [number, number]
  readonly source?: (Node & { readonly value: unknown }) | null
  readonly declaration?: (Node & Named & { readonly declarations?: ReadonlyArray<Named> }) | null
  readonly body?: ReadonlyArray<Node>
}

interface Named {
  readonly id?: { readonly name?: string } | null
}

interface Comment {
  readonly type: string
  readonly value: string
  readonly range: readonly [number, number]
}

interface Context {
  readonly filename: string
  readonly sourceCode: { readonly text: string; readonly getAllComments: () => ReadonlyArray<Comment> }
  readonly report: (problem: { readonly node: unknown; readonly message: string }) => void
}

type Visitor = Record<string, (node: Node) => void>

/** Where a file lies: `packages/<pkg>/src/<file>`, the last without its extension. */
const locate = (filename: string): { readonly pkg: string; readonly file: string } | undefined => {
  const match = /(?:^|\/)packages\/([^/]+)\/src\/(.+?)(?:\.d)?\.[cm]?ts$/.exec(filename.split(Path.sep).join("/"))
  const [, pkg, file] = match ?? []
  return pkg === undefined || file === undefined ? undefined : { pkg, file }
}

const folderOf = (file: string): string => file.split("/")[0] ?? ""

/** Calls `visit` for every module named by a static import or re-export. */
const onImports = (visit: (source: string, node: Node) => void): Visitor => {
  const check = (node: Node): void => {
    if (typeof node.source?.value === "string") visit(node.source.value, node)
  }
  return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check }
}

const downward = {
  create: (context: Context): Visitor => {
    const here = locate(context.filename)
    if (here?.pkg !== "core" || here.file === "index") return {}
    const folder = folderOf(here.file)
    const from = floors[folder]
    if (from === undefined) {
      return {
        Program: (node) => context.report({ node, message: `Give ${folder} its floor in tools/oxlint-plugin.ts.` })
      }
    }
    return onImports((source, node) => {
      if (!source.startsWith(".")) return
      const target = locate(Path.resolve(Path.dirname(context.filename), source))
      const to = target === undefined ? undefined : floors[folderOf(target.file)]
      if (target === undefined || to === undefined || to < from || folderOf(target.file) === folder) return
      context.report({
        node,
        message: `${here.file} must not import ${target.file}: it lies no lower (the floors are in tools/oxlint-plugin.ts).`
      })
    })
  }
}

const noInternalImport = {
  create: (context: Context): Visitor => {
    const here = locate(context.filename)
    return onImports((source, node) => {
      if (/^@sluice\/[^/]+\/(?:.*\/)?internal(?:\/|$)/.test(source)) {
        context.report({ node, message: `${source} is private to its package; import a public module.` })
      } else if (
        here !== undefined &&
        (source === `@sluice/${here.pkg}` || source.startsWith(`@sluice/${here.pkg}/`))
      ) {
        context.report({ node, message: "Inside its own package a module is imported by its relative path." })
      } else if (here !== undefined && here.file !== "index" && source.startsWith(".")) {
        const target = locate(Path.resolve(Path.dirname(context.filename), source))
        if (target?.pkg !== here.pkg) {
          context.report({ node, message: `${source} leaves the package; import @sluice/<package>/<Module>.` })
        } else if (target.file === "index") {
          context.report({ node, message: "The barrel is for users; import the module itself." })
        }
      }
    })
  }
}

const jsdoc = {
  create: (context: Context): Visitor => {
    const here = locate(context.filename)
    if (here === undefined || /(?:^|\/)internal\//.test(here.file)) return {}
    const comments = context.sourceCode.getAllComments().filter((c) => c.type === "Block" && c.value.startsWith("*"))
    const { text } = context.sourceCode
    const docOf = (node: Node): Comment | undefined =>
      comments.find((c) => c.range[1] <= node.range[0] && text.slice(c.range[1], node.range[0]).trim() === "")
    const documented = new Set<string>()
    return {
      Program: (node) => {
        const [first] = comments
        if (
          first === undefined ||
          text.slice(0, first.range[0]).replace(/^#!.*/, "").trim() !== "" ||
          !first.value.includes("@since")
        ) {
          context.report({
            node: node.body?.[0] ?? node,
            message: "The file must begin with a module JSDoc with @since."
          })
        }
      },
      ExportNamedDeclaration: (node) => {
        const { declaration } = node
        if (declaration === null || declaration === undefined) return
        // The overloads of a function, and a type named like a value above it, share one doc.
        const id = declaration.id ?? declaration.declarations?.[0]?.id
        const name = id?.name
        const doc = docOf(node)
        if (doc === undefined && name !== undefined && documented.has(name)) return
        if (name !== undefined) documented.add(name)
        // A declaration in a namespace is documented with it.
        const missing = ["@category", "@since"].filter((tag) => doc === undefined || !doc.value.includes(tag))
        if (doc?.value.includes("@internal") === true || missing.length === 0) return
        if (/^ +/.test(text.slice(text.lastIndexOf("\n", node.range[0]) + 1, node.range[0]))) return
        context.report({
          node: id ?? declaration,
          message: `A public export needs a JSDoc with ${missing.join(" and ")}.`
        })
      }
    }
  }
}

export default {
  meta: { name: "sluice" },
  rules: { downward, jsdoc, "no-internal-import": noInternalImport }
}
