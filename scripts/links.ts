/**
 * Checks that every relative link in the project's Markdown files leads to a file or folder and, where it names one, to a heading.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")

const documents = Fs.globSync(["*.md", "docs/**/*.md", "{packages,examples,bench}/**/README.md"], {
  cwd: root,
  exclude: (path) => Path.basename(path) === "node_modules"
}).toSorted()

/** The text outside of fenced code. */
const proseOf = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, "")

/** The names that a page gives its headings: in lower case, with hyphens for spaces, without punctuation. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...proseOf(text).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-")
    )
  )

let links = 0
for (const document of documents) {
  const file = Path.join(root, document)
  for (const [, target = ""] of proseOf(Fs.readFileSync(file, "utf8")).matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)) {
    links += 1
    const [path = "", anchor] = target.split("#")
    const there = path === "" ? file : Path.resolve(Path.dirname(file), decodeURI(path))
    const problem = !Fs.existsSync(there)
      ? "there is no such file"
      : anchor !== undefined && !anchorsOf(Fs.readFileSync(there, "utf8")).has(anchor)
        ? "the page has no such heading"
        : undefined
    if (problem === undefined) continue
    console.error(`${document}: ${target}: ${problem}`)
    process.exitCode = 1
  }
}
console.log(`${links} links in ${documents.length} documents`)
if (links === 0) process.exitCode = 1
