import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

describe("README", () => {
  it("shows the program that is type checked", () => {
    assert.include(read("README.md"), `\`\`\`ts\n${read("examples/00_readme.ts")}\`\`\``)
  })

  it("names only scripts that there are", () => {
    const { scripts } = JSON.parse(read("package.json"))
    const named = [...read("README.md").matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(([, name]) => name)
    assert.isNotEmpty(named)
    for (const name of named) assert.property(scripts, name ?? "")
  })

  it("links only to files that there are", () => {
    const links = [...read("README.md").matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path]) => path ?? "")
    for (const path of links) {
      assert.doesNotThrow(
        () => {
          try {
            read(path)
          } catch (error) {
            // A folder is there too.
            if (!(error instanceof Error && "code" in error && error.code === "EISDIR")) throw error
          }
        },
        undefined,
        path
      )
    }
  })
})
