/**
 * Checks that everything named in the project's Markdown files exists: files and headings behind relative links, and
 * source files in code spans.
 *
 * A path in a code span (`commit/internal/lease.ts`, `task/internal/chain`) is one from the root, from the document, or from the `src` or
 * `test` of the package that the document is in; outside of the packages that is core. A bare name (`Keys.test.ts`) may lie anywhere.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")
const exclude = (path: string): boolean => ["node_modules", "dist"].includes(Path.basename(path))

const documents = Fs.globSync(["*.md", "docs/**/*.md", "{packages,examples,bench}/**/README.md"], {
  cwd: root,
  exclude
}).toSorted()

const sources = new Set(
  Fs.globSync(["*.ts", "{packages,examples,bench,scripts,tools}/**/*.ts"], { cwd: root, exclude }).map((path) =>
    Path.basename(path)
  )
)

/** The text outside of fenced code. */
const proseOf = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, "")

/** The names of a page's headings: in lower case, with hyphens for spaces, without punctuation. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...proseOf(text).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-")
    )
  )

const linkProblem = (file: string, target: string): string | undefined => {
  const [path = "", anchor] = target.split("#")
  const there = path === "" ? file : Path.resolve(Path.dirname(file), decodeURI(path))
  if (!Fs.existsSync(there)) return "there is no such file"
  if (anchor === undefined || anchorsOf(Fs.readFileSync(there, "utf8")).has(anchor)) return undefined
  return "the page has no such heading"
}

/** Code spans that are paths of source files, and not placeholders, patterns or media types. */
const isPath = (span: string): boolean =>
  /^[\w.-]+\.ts$/.test(span) ||
  /^[\w./-]+\/[\w.-]+\.(?:ts|md|json|txt|sh|py)$/.test(span) ||
  /^(?:[a-z]+\/)?internal\/[\w/]+$/.test(span)

const pathProblem = (document: string, span: string): string | undefined => {
  if (!span.includes("/")) return sources.has(span) ? undefined : "no file has this name"
  const owner = /^packages\/\w+/.exec(document)?.[0] ?? "packages/core"
  const path = /\.\w+$/.test(span) ? span : `${span}.ts`
  const places = ["", Path.dirname(document), owner, `${owner}/src`, `${owner}/test`]
  return places.some((place) => Fs.existsSync(Path.join(root, place, path))) ? undefined : "there is no such file"
}

let checked = 0
for (const document of documents) {
  const file = Path.join(root, document)
  const prose = proseOf(Fs.readFileSync(file, "utf8"))
  const report = (name: string, problem: string | undefined): void => {
    checked += 1
    if (problem === undefined) return
    console.error(`${document}: ${name}: ${problem}`)
    process.exitCode = 1
  }
  for (const [, target = ""] of prose.matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)) report(target, linkProblem(file, target))
  for (const [, span = ""] of prose.matchAll(/`([^`\n]+)`/g))
    if (isPath(span)) report(span, pathProblem(document, span))
}
console.log(`${checked} links and paths in ${documents.length} documents`)
if (checked === 0) process.exitCode = 1
