/**
 * The docs of what public modules offer, what they re-export from `internal/` included.
 */
import type { Comment, Directive, Node, Statement } from "oxc-parser"
import { locate } from "./sources.ts"
import type { Finding, Module } from "./sources.ts"

/** A module that users import: a file in PascalCase outside of every `internal/`. */
const isPublic = (path: string): boolean => {
  const place = locate(path)
  return place !== undefined && /(?:^|\/)[A-Z]\w*\.ts$/.test(place.file) && !place.file.includes("internal/")
}

/** One declaration of a name: an overload, or the type beside a value of the same name, is another one. */
interface Declared {
  readonly module: Module
  readonly at: Node
  readonly doc: Comment | undefined
}

/** The doc right before an offset. The first comment of a file is about the module, unless it has a category. */
const docBefore = (module: Module, start: number): Comment | undefined =>
  module.comments.findLast(
    (comment, index) =>
      comment.type === "Block" &&
      comment.value.startsWith("*") &&
      comment.end <= start &&
      (index > 0 || comment.value.includes("@category")) &&
      module.text.slice(comment.end, start).trim() === ""
  )

const namesOf = (declaration: Node): ReadonlyArray<string> => {
  switch (declaration.type) {
    case "VariableDeclaration":
      return declaration.declarations.flatMap(({ id }) => (id.type === "Identifier" ? [id.name] : []))
    case "FunctionDeclaration":
    case "TSDeclareFunction":
    case "ClassDeclaration":
    case "TSInterfaceDeclaration":
    case "TSTypeAliasDeclaration":
    case "TSEnumDeclaration":
    case "TSModuleDeclaration":
      return declaration.id?.type === "Identifier" ? [declaration.id.name] : []
    default:
      return []
  }
}

/** The names that a statement declares at the top of a module, exported or not. */
const declaredBy = (statement: Directive | Statement): ReadonlyArray<string> => {
  if (statement.type !== "ExportNamedDeclaration") return namesOf(statement)
  return statement.declaration === null ? [] : namesOf(statement.declaration)
}

const textOf = (name: Node): string => {
  if (name.type === "Identifier") return name.name
  return name.type === "Literal" ? String(name.value) : ""
}

type Exports = ReadonlyMap<string, ReadonlyArray<Declared>>

/** What every module exports, each name with its declarations, wherever they are. */
const exportsOf = (modules: ReadonlyMap<string, Module>): ((module: Module) => Exports) => {
  const done = new Map<Module, Exports>()
  const none: Exports = new Map()

  const targetOf = (module: Module, specifier: string): Exports => {
    const path = module.imports.find((one) => one.specifier === specifier)?.target
    const target = path === undefined ? undefined : modules.get(path)
    return target === undefined ? none : visit(target)
  }

  /** The declarations of a name that a module declares, or imports to export it again. */
  const local = (module: Module, name: string): ReadonlyArray<Declared> =>
    module.program.body.flatMap((statement): ReadonlyArray<Declared> => {
      if (declaredBy(statement).includes(name)) {
        return [{ module, at: statement, doc: docBefore(module, statement.start) }]
      }
      if (statement.type !== "ImportDeclaration") return []
      return statement.specifiers.flatMap((one) => {
        if (one.local.name !== name || one.type !== "ImportSpecifier") return []
        return targetOf(module, statement.source.value).get(textOf(one.imported)) ?? []
      })
    })

  const visit = (module: Module): Exports => {
    const known = done.get(module)
    if (known !== undefined) return known
    const exports = new Map<string, ReadonlyArray<Declared>>()
    done.set(module, exports)
    const add = (name: string, declared: ReadonlyArray<Declared>) =>
      exports.set(name, [...(exports.get(name) ?? []), ...declared])
    for (const statement of module.program.body) {
      if (statement.type === "ExportAllDeclaration") {
        const doc = docBefore(module, statement.start)
        if (statement.exported !== null) add(textOf(statement.exported), [{ module, at: statement, doc }])
        else for (const [name, declared] of targetOf(module, statement.source.value)) add(name, declared)
      }
      if (statement.type !== "ExportNamedDeclaration") continue
      for (const name of declaredBy(statement)) {
        add(name, [{ module, at: statement, doc: docBefore(module, statement.start) }])
      }
      for (const one of statement.specifiers) {
        const doc = docBefore(module, one.start)
        const name = textOf(one.local)
        const declared =
          statement.source === null ? local(module, name) : (targetOf(module, statement.source.value).get(name) ?? [])
        // A name that comes from elsewhere is documented there.
        if (doc !== undefined || declared.length > 0) {
          add(textOf(one.exported), doc === undefined ? declared : [{ module, at: one, doc }])
        }
      }
    }
    return exports
  }
  return visit
}

/** What is wrong with the shape of a doc: a first sentence, `@category`, `@since`, in this order. */
const faultsOf = (doc: Comment, categories: ReadonlyArray<string> | undefined): ReadonlyArray<string> => {
  const lines = doc.value.split("\n").map((line) => line.replace(/^\s*\*+ ?/, "").trim())
  const tagsAt = lines.findIndex((line) => /^@(?!link)\w/.test(line))
  const text = lines
    .slice(0, tagsAt < 0 ? lines.length : tagsAt)
    .join(" ")
    .trim()
  const faults: Array<string> = []
  if (!/^\S.*?[.:!?`](?:\s|$)/s.test(text)) faults.push("a first sentence with a full stop")
  const since = lines.findIndex((line) => /^@since \d+\.\d+\.\d+$/.test(line))
  if (since < 0) faults.push("@since x.y.z")
  if (categories === undefined) return faults
  const category = lines.findIndex((line) => line.startsWith("@category "))
  const named = lines[category]?.slice("@category ".length).trim()
  if (named === undefined) faults.push("@category")
  else if (!categories.includes(named)) faults.push(`a category of tools/house/table.ts in place of "${named}"`)
  else if (since >= 0 && since < category) faults.push("@since after @category")
  return faults
}

/** Public modules and their exports without docs of the fixed shape. */
export const docRule = (
  modules: ReadonlyMap<string, Module>,
  categories: ReadonlyArray<string>
): ReadonlyArray<Finding> => {
  const findings = new Map<string, Finding>()
  const report = (module: Module, offset: number, message: string): void => {
    const line = module.lineAt(offset)
    // What several modules re-export is missing once.
    findings.set(`${module.path}:${line}:${message}`, { rule: "docs", file: module.path, line, message })
  }
  const visit = exportsOf(modules)
  for (const module of modules.values()) {
    if (!isPublic(module.path)) continue
    const [first] = module.comments
    if (first === undefined || module.text.slice(0, first.start).replace(/^#!.*/, "").trim() !== "") {
      report(module, 0, "the file needs a JSDoc at its beginning")
    } else {
      for (const fault of faultsOf(first, undefined))
        report(module, first.start, `the docs of the module need ${fault}`)
    }
    for (const [name, declared] of visit(module)) {
      const docs = declared.filter(({ doc }) => doc !== undefined)
      const [one] = declared
      if (docs.length === 0 && one !== undefined) {
        report(one.module, one.at.start, `${name} is offered by ${module.path} and needs a JSDoc`)
      }
      for (const { at, doc, module: where } of docs) {
        if (doc === undefined || doc.value.includes("@internal")) continue
        for (const fault of faultsOf(doc, categories)) report(where, at.start, `the docs of ${name} need ${fault}`)
      }
    }
  }
  return [...findings.values()]
}
