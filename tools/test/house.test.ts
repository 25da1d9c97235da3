import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { compare, countsOf, settle } from "../house/baseline.ts"
import { check, summary } from "../house/report.ts"
import { readFiles } from "../house/sources.ts"
import type { Finding } from "../house/sources.ts"
import { categories, flat, floors, limits } from "../house/table.ts"
import type { LongOne } from "../house/table.ts"

const core = "packages/core/src"
const manifest = (pkg: string): readonly [string, string] => [
  `packages/${pkg}/package.json`,
  JSON.stringify({
    name: `@sluice/${pkg}`,
    exports: {
      ".": { "@sluice/source": "./src/index.ts" },
      "./Storage": { "@sluice/source": "./src/storage/Storage.ts" },
      "./formats/*": { "@sluice/source": "./src/formats/*.ts" },
      "./internal/*": null
    }
  })
]

/** What the rules find in these files, as `file:line rule: message`. */
const found = (files: Record<string, string>, reasons: ReadonlyArray<LongOne> = []): ReadonlyArray<string> =>
  check(new Map([manifest("core"), manifest("hdfs"), ...Object.entries(files)]), reasons).findings.map(
    ({ file, line, message, rule }) => `${file}:${line} ${rule}: ${message}`
  )

const moduleDoc = "/**\n * A module.\n *\n * @since 0.1.0\n */\n"
const documented = (declaration: string): string =>
  `/**\n * It is there.\n *\n * @category models\n * @since 0.1.0\n */\n${declaration}\n`

describe("imports", () => {
  it.each([
    ["a value", `import { a } from "../../dataset/internal/top.ts"\nexport const b = a\n`],
    ["a type", `import type { A } from "../../dataset/internal/top.ts"\nexport type B = A\n`],
    ["a re-export", `export { a } from "../../dataset/internal/top.ts"\n`],
    ["everything", `export * from "../../dataset/internal/top.ts"\n`],
    ["import()", `export const b = () => import("../../dataset/internal/top.ts")\n`],
    ["the type of import()", `export type B = import("../../dataset/internal/top.ts").A\n`]
  ])("upward is a breach: %s", (_, text) => {
    expect(
      found({
        [`${core}/storage/internal/low.ts`]: text,
        [`${core}/dataset/internal/top.ts`]: "export const a = 1\nexport type A = 1\n"
      })
    ).toEqual([expect.stringMatching(/low\.ts:1 floors: imports .*top\.ts, but core\/dataset is above core\/storage/)])
  })

  it("downward is none, internal files included", () => {
    expect(
      found({
        [`${core}/storage/internal/low.ts`]: "export const a = 1\n",
        [`${core}/dataset/internal/top.ts`]: `import { a } from "../../storage/internal/low.ts"\nexport const b = a\n`
      })
    ).toEqual([])
  })

  it("between folders of one floor is a breach", () => {
    expect(
      found({
        [`${core}/plan/internal/a.ts`]: `import { b } from "../../formats/internal/b.ts"\nexport const a = b\n`,
        [`${core}/formats/internal/b.ts`]: "export const b = 1\n"
      })
    ).toEqual([expect.stringContaining("core/formats is on the same floor as core/plan")])
  })

  it("from another package's folder count by its floor", () => {
    const [breach, ...others] = found({
      [`${core}/storage/internal/a.ts`]: `import { b } from "@sluice/hdfs/Storage"\nexport const a = b\n`,
      "packages/hdfs/src/storage/Storage.ts": `${moduleDoc}\n${documented("export const b = 1")}`
    })
    expect(others).toEqual([])
    expect(breach).toContain("hdfs is above core/storage")
  })

  it("a folder without a floor is a breach", () => {
    expect(found({ [`${core}/cellar/internal/a.ts`]: "export const a = 1\n" })).toEqual([
      expect.stringContaining("floors: core/cellar has no floor")
    ])
    expect(found({ [`${core}/loose.ts`]: "export const a = 1\n" })).toEqual([
      expect.stringContaining("floors: core/loose.ts has no floor")
    ])
  })

  it("of tests and programs may go anywhere", () => {
    expect(
      found({
        "packages/core/test/a.test.ts": `import { a } from "../src/dataset/internal/top.ts"\nexport const b = a\n`,
        [`${core}/dataset/internal/top.ts`]: "export const a = 1\n"
      })
    ).toEqual([])
  })

  it("in a circle are a breach, of types too", () => {
    const files = {
      [`${core}/task/internal/a.ts`]: `import { b } from "./b.ts"\nexport const a = () => b\nexport type A = 1\n`,
      [`${core}/task/internal/b.ts`]: `import type { A } from "./c.ts"\nexport const b: A = 1\n`,
      [`${core}/task/internal/c.ts`]: `export type { A } from "./a.ts"\n`,
      [`${core}/task/internal/d.ts`]: `import { a } from "./a.ts"\nexport const d = a\n`
    }
    expect(found(files).map((line) => line.replaceAll(`${core}/task/internal/`, ""))).toEqual([
      "a.ts:1 circles: imports itself by way of b.ts, c.ts",
      "b.ts:1 circles: imports itself by way of c.ts, a.ts",
      "c.ts:1 circles: imports itself by way of a.ts, b.ts"
    ])
  })

  it("in a large circle are told by their shortest way round, the shortest of all first", () => {
    const type = (from: string) => `export type { T } from "./${from}.ts"\n`
    const files = { a: type("b"), b: type("c") + type("d"), c: type("a"), d: type("b") }
    const paths = Object.entries(files).map(([name, text]) => [`${core}/task/internal/${name}.ts`, text])
    expect(found(Object.fromEntries(paths)).map((line) => line.replaceAll(`${core}/task/internal/`, ""))).toEqual([
      "b.ts:1 circles: imports itself by way of d.ts",
      "d.ts:1 circles: imports itself by way of b.ts",
      "a.ts:1 circles: imports itself by way of b.ts, c.ts",
      "c.ts:1 circles: imports itself by way of a.ts, b.ts"
    ])
  })

  it("two circles that share no file are two in the report", () => {
    const pair = (a: string, b: string) => ({
      [`${core}/task/internal/${a}.ts`]: `export type { T } from "./${b}.ts"\n`,
      [`${core}/task/internal/${b}.ts`]: `export type { T } from "./${a}.ts"\n`
    })
    const { findings } = check(new Map(Object.entries({ ...pair("a", "b"), ...pair("c", "d") })), [])
    expect(summary(findings, [])[0]).toBe("circles: 2 of files, 0 of folders")
  })

  it("in a circle of folders are a breach though no file is in one", () => {
    expect(
      found({
        [`${core}/task/internal/a.ts`]: `import { b } from "../../shuffle/internal/b.ts"\nexport const a = b\n`,
        [`${core}/shuffle/internal/b.ts`]: "export const b = 1\n",
        [`${core}/shuffle/internal/c.ts`]: `import { d } from "../../task/internal/d.ts"\nexport const c = d\n`,
        [`${core}/task/internal/d.ts`]: "export const d = 1\n"
      }).filter((line) => line.includes("circles"))
    ).toEqual([
      "core/shuffle:1 folder circles: imports itself by way of core/task",
      "core/task:1 folder circles: imports itself by way of core/shuffle"
    ])
  })

  it.each([
    ["test", "@sluice/core/internal/a", "is private to its package"],
    ["src", "@sluice/core/Storage", "is this package itself"],
    ["src", "../../../../hdfs/src/internal/a.ts", "leaves the package"],
    ["src", "../../index.ts", "the barrel is for users"]
  ])("across a border are a breach: %s, %s", (where, specifier, message) => {
    const file = where === "test" ? "packages/core/test/a.test.ts" : `${core}/dataset/internal/a.ts`
    expect(
      found({
        [file]: `import * as A from "${specifier}"\nexport const a = A\n`,
        "packages/hdfs/src/internal/a.ts": "export const a = 1\n",
        [`${core}/index.ts`]: "export const a = 1\n"
      }).filter((line) => line.includes(" borders: "))
    ).toEqual([expect.stringContaining(message)])
  })
})

describe("docs", () => {
  const file = `${core}/dataset/Thing.ts`
  const docs = (text: string, others: Record<string, string> = {}) =>
    found({ [file]: `${moduleDoc}\n${text}`, ...others }).map((line) => line.slice(core.length + 1))

  it("of the fixed shape are no breach, and one doc serves overloads and the type of the same name", () => {
    expect(
      docs(
        `${documented("export function f(a: 1): 1\nexport function f(a: 2): 2\nexport function f(a: any) { return a }")}
         ${documented("export const A = 1")}
         export type A = 1`
      )
    ).toEqual([])
  })

  it("missing are a breach", () => {
    expect(docs("export const a = 1\n")).toEqual([
      expect.stringMatching(/^dataset\/Thing\.ts:7 docs: a is offered by .* and needs a JSDoc$/)
    ])
  })

  it.each([
    ["/**\n * @category models\n * @since 0.1.0\n */", "a first sentence with a full stop"],
    ["/**\n * Is\n *\n * @category models\n * @since 0.1.0\n */", "a first sentence with a full stop"],
    ["/**\n * It is.\n *\n * @since 0.1.0\n */", "@category"],
    ["/**\n * It is.\n *\n * @category things\n * @since 0.1.0\n */", "a category of tools/house/table.ts"],
    ["/**\n * It is.\n *\n * @category models\n */", "@since x.y.z"],
    ["/**\n * It is.\n *\n * @since 0.1.0\n * @category models\n */", "@since after @category"]
  ])("of another shape are a breach: %j", (doc, fault) => {
    expect(docs(`${doc}\nexport const a = 1\n`)).toEqual([expect.stringContaining(`the docs of a need ${fault}`)])
  })

  it.each([
    ["a name", `export { a } from "./internal/a.ts"`],
    ["another name", `export { a as b } from "./internal/a.ts"`],
    ["all names", `export * from "./internal/a.ts"`],
    ["an imported name", `import { a } from "./internal/a.ts"\nexport { a }`],
    ["by way of another file", `export * from "./internal/way.ts"`]
  ])("of what is re-exported from internal/ are missing there: %s", (_, text) => {
    expect(
      docs(text, {
        [`${core}/dataset/internal/a.ts`]: "export const a = 1\n",
        [`${core}/dataset/internal/way.ts`]: `export { a } from "./a.ts"\n`
      })
    ).toEqual([expect.stringMatching(/^dataset\/internal\/a\.ts:1 docs: [ab] is offered by .*Thing\.ts/)])
  })

  it("may stand at the re-export, and what stays internal needs none", () => {
    expect(
      docs(`export {\n${documented("a")}}\nfrom "./internal/a.ts"`, {
        [`${core}/dataset/internal/a.ts`]: "export const a = 1\nexport const other = 2\n"
      })
    ).toEqual([])
  })

  it("must begin a module", () => {
    expect(
      found({ [file]: documented("export const a = 1").replace("@category models", "@category  models") })
    ).toEqual([])
    expect(found({ [file]: `import "effect"\n${documented("export const a = 1")}` })).toEqual([
      expect.stringContaining("the file needs a JSDoc at its beginning")
    ])
  })
})

describe("sizes", () => {
  const lines = (count: number) => "  0\n".repeat(count)
  const file = `${core}/task/internal/a.ts`

  it("a function above the limit is a breach, one at it is none", () => {
    const body = (count: number) => `export const f = () => {\n${lines(count - 2)}}\n`
    expect(found({ [file]: body(limits.functionLines) })).toEqual([])
    expect(found({ [file]: `\n${body(limits.functionLines + 1)}` })).toEqual([
      `${file}:2 long functions: f has ${limits.functionLines + 1} lines`
    ])
  })

  it.each([
    ["a generator in a call", (inner: string) => `const f = make(function* () {\n${inner}})\n`, "f"],
    ["a function of a function", (inner: string) => `const f = (a) => make(() => {\n${inner}})\n`, "f"],
    ["a method", (inner: string) => `class A {\n  m() {\n${inner}}\n}\n`, "m"],
    ["a property", (inner: string) => `make({ p: () => {\n${inner}} })\n`, "p"],
    ["a declaration", (inner: string) => `function f() {\n${inner}}\n`, "f"],
    ["one without a name", (inner: string) => `make(() => {\n${inner}})\n`, "(the module)"]
  ])("counts once and has the name it is bound to: %s", (_, text, name) => {
    expect(found({ [file]: text(lines(limits.functionLines)) })).toEqual([
      expect.stringContaining(` long functions: ${name} has `)
    ])
  })

  it("what describe and it are given may be long, a helper of a test may not", () => {
    const path = "packages/core/test/a.test.ts"
    expect(found({ [path]: `describe("a", () => {\n${lines(200)}})\n` })).toEqual([])
    expect(found({ [path]: `const help = () => {\n${lines(200)}}\n` })).toHaveLength(1)
  })

  it("a file above the limit is a breach, one at it is none", () => {
    expect(found({ [file]: lines(limits.fileLines) })).toEqual([])
    expect(found({ [file]: lines(limits.fileLines + 1) })).toEqual([
      `${file}:1 long files: has ${limits.fileLines + 1} lines`
    ])
  })

  it("a reason excuses one function or file and is printed; one that excuses nothing is a breach", () => {
    const text = `export const f = () => {\n${lines(limits.fileLines)}}\n`
    const reason = "a table"
    const files = new Map([[file, text]])
    const { allowed, findings } = check(files, [{ file, name: "f", reason }])
    expect(findings.map(({ rule }) => rule)).toEqual(["long files"])
    expect(allowed).toEqual([expect.objectContaining({ rule: "long functions", message: "f has 702 lines: a table" })])
    expect(summary(findings, allowed)).toContain("functions over 80 lines: 1 (1 with a reason)")
    expect(found({ [file]: "" }, [{ file, name: "f", reason }])).toEqual([
      expect.stringContaining("reasons: f is not long any more")
    ])
  })

  it("casts count in sources, but neither as const nor new names of imports", () => {
    expect(
      found({
        [file]: `import { a as b } from "./b.ts"\nconst c = [b] as const\nexport const d = c as\n  unknown\nexport const e = <number>d\n`,
        "packages/core/test/a.test.ts": "export const a = 1 as unknown\n"
      })
    ).toEqual([`${file}:3 casts: as unknown`, `${file}:5 casts: as number`])
  })
})

describe("prose", () => {
  const file = `${core}/task/internal/a.ts`
  it.each([
    "It writes a file a partition.",
    "50 ms a request, whatever comes.",
    "x is no URL",
    "the files that are there",
    "mend the row",
    "a dear call",
    "begins anew",
    "after so many rows it ends",
    "as far as one can say",
    "a column that is not there",
    "an option that is none",
    "an order that is another each time",
    "hangs on the order",
    "read by who asks",
    "Of these, one is left.",
    "it would wait for ever",
    "what a task came to",
    "files read one after the other",
    "for whoever reads it",
    "the line behind the first",
    "it is read all the same",
    "a file, else a folder",
    "no login could be had",
    "as few reads as can be",
    "what is known of it",
    "a warning tells of it",
    "a stage that yields other rows",
    "the output exists already"
  ])("%j is a breach in comments, messages and documents", (text) => {
    const where = (files: Record<string, string>) => found(files).map((line) => line.slice(0, line.indexOf(" prose:")))
    expect(where({ [file]: `// ${text}\n` })).toContain(`${file}:1`)
    expect(where({ [file]: `\n/** ${text} */\n` })).toContain(`${file}:2`)
    expect(where({ [file]: `const a = "${text}"\n` })).toContain(`${file}:1`)
    expect(where({ [file]: `const a = \`\${b}\n${text}\${b}\`\n` })).toContain(`${file}:2`)
    expect(where({ "docs/a.md": `# A\n\n${text}\n` })).toContain("docs/a.md:3")
  })

  it.each([
    ["lines of a doc", "/**\n * One file\n * a partition.\n */\n"],
    ["lines of comments", "// One file\n// a partition.\n"]
  ])("a phrase is found across %s", (_, text) => {
    expect(found({ [file]: text })).toEqual([expect.stringContaining(`prose: "One file a partition"`)])
  })

  it.each([
    "There is no file, where there are no rows.",
    "It is no longer read, and no more than 3 a second.",
    "It has so many rows that it spills.",
    "Two in a row of a task.",
    "5 MB a second",
    "a list of a task",
    "they are all the same",
    "or else it fails for every row",
    "the way a reader comes to a decision"
  ])("%j is English", (text) => {
    expect(found({ [file]: `// ${text}\n` })).toEqual([])
  })

  it("names and code are no prose", () => {
    expect(found({ [file]: `const mend = "mend"\nexport const dear = mend + "dear"\n` })).toEqual([])
  })
})

describe("the baseline", () => {
  const finding = (rule: string, file: string): Finding => ({ rule, file, line: 1, message: "" })
  const two = [finding("prose", "b.md"), finding("casts", "a.ts"), finding("casts", "a.ts")]

  it("lets what it counts pass, and nothing else", () => {
    expect(compare(two, countsOf(two))).toEqual({ fresh: [], stale: [] })
    expect(compare([...two, finding("casts", "a.ts")], countsOf(two)).fresh).toHaveLength(3)
    expect(compare([...two, finding("docs", "a.ts")], countsOf(two)).fresh).toEqual([finding("docs", "a.ts")])
  })

  it("fails when it counts more than there is", () => {
    expect(compare(two.slice(1), countsOf(two)).stale).toEqual(["prose: b.md: 0, the baseline says 1"])
    expect(compare(two.slice(0, 2), countsOf(two)).stale).toEqual(["casts: a.ts: 1, the baseline says 2"])
  })

  it("may be settled for files that moved and counts that fell, not for a rule that rose", () => {
    const moved = two.map(({ rule, file }) => finding(rule, `new/${file}`))
    expect(settle(moved, countsOf(two))).toEqual({ next: countsOf(moved), risen: [] })
    expect(settle(two.slice(1), countsOf(two)).risen).toEqual([])
    expect(settle([...two.slice(1), finding("casts", "c.ts")], countsOf(two)).risen).toEqual(["casts"])
    expect(settle([...two, finding("docs", "a.ts")], countsOf(two)).risen).toEqual(["docs"])
  })
})

describe("the table", () => {
  it("has at most 15 categories and names each folder once", () => {
    expect(categories.length).toBeLessThanOrEqual(15)
    expect(new Set(floors.flat()).size).toBe(floors.flat().length)
    for (const folder of flat) expect(floors.flat()).toContain(folder)
  })

  it("names no folder that is gone", () => {
    const files = readFiles(Path.join(import.meta.dirname, "../.."))
    const places = [...files.keys()].flatMap((path) => /^packages\/([^/]+)\/src\/(.+)$/.exec(path)?.slice(1, 3) ?? [])
    expect(places.length).toBeGreaterThan(100)
    for (const folder of floors.flat()) {
      const [pkg = "", name] = folder.split("/")
      const at = name === undefined ? `packages/${pkg}/src/` : `packages/${pkg}/src/${name}`
      expect(
        [...files.keys()].some((path) => path.startsWith(at)),
        folder
      ).toBe(true)
    }
  })
})
