import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Fs from "node:fs"
import { isBuiltin } from "node:module"
import * as Path from "node:path"

const Manifest = Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  type: Schema.String,
  license: Schema.String,
  sideEffects: Schema.Boolean,
  engines: Schema.Struct({ node: Schema.String }),
  exports: Schema.Record(
    Schema.String,
    Schema.NullOr(Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.String)]))
  ),
  files: Schema.Array(Schema.String),
  dependencies: Schema.optional(Schema.Record(Schema.String, Schema.String)),
  peerDependencies: Schema.Record(Schema.String, Schema.String),
  peerDependenciesMeta: Schema.optional(Schema.Record(Schema.String, Schema.Struct({ optional: Schema.Boolean })))
})

const packages = Path.resolve(import.meta.dirname, "../..")

const readManifest = (name: string) =>
  Schema.decodeUnknownSync(Schema.fromJsonString(Manifest))(
    Fs.readFileSync(Path.join(packages, name, "package.json"), "utf8")
  )

/** The packages (not the files) a source file imports; lines of doc comments do not count. */
const importedPackages = (file: string): ReadonlyArray<string> => {
  const text = Fs.readFileSync(file, "utf8").replaceAll(/^\s*(?:\*|\/\/|\/\*).*$/gm, "")
  const patterns = [
    /^(?:import|export)\b[^"';]*?\bfrom "([^"]+)"/gm,
    /^import "([^"]+)"/gm,
    /\b(?:import|resolve)\("([^"]+)"\)/g
  ]
  return patterns
    .flatMap((pattern) => [...text.matchAll(pattern)].map(([, specifier = ""]) => specifier))
    .filter((specifier) => /^(?:@[a-z]|[a-z])/.test(specifier) && !isBuiltin(specifier))
    .map((specifier) =>
      specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/")
    )
}

const names = Fs.readdirSync(packages).filter((name) => Fs.existsSync(Path.join(packages, name, "package.json")))
const manifests = new Map(names.map((name) => [name, readManifest(name)]))

describe("package manifests", () => {
  it("has the packages on one version", () => {
    const versions = new Map([...manifests.values()].map((manifest) => [manifest.name, manifest.version]))
    assert.strictEqual(new Set(versions.values()).size, 1)
    for (const manifest of manifests.values()) {
      for (const [dependency, range] of Object.entries(manifest.dependencies ?? {})) {
        if (dependency.startsWith("@sluice/")) {
          assert.strictEqual(range, versions.get(dependency), `${manifest.name} -> ${dependency}`)
        }
      }
    }
  })

  for (const [name, manifest] of manifests) {
    const source = Path.join(packages, name, "src")
    const files = Fs.globSync("**/*.ts", { cwd: source })

    describe(manifest.name, () => {
      it("is an ES module under MIT that bundlers may shake", () => {
        assert.strictEqual(manifest.name, `@sluice/${name}`)
        assert.strictEqual(manifest.type, "module")
        assert.strictEqual(manifest.license, "MIT")
        assert.isFalse(manifest.sideEffects)
      })

      it("exports the sources to the workspace first, then types, then code, and nothing internal", () => {
        if ("./*" in manifest.exports) assert.strictEqual(manifest.exports["./internal/*"], null)
        assert.strictEqual(manifest.exports["./package.json"], "./package.json")
        for (const [subpath, target] of Object.entries(manifest.exports)) {
          if (target === null || typeof target === "string") continue
          const [, file = ""] = /^\.\/src\/(.+)\.ts$/.exec(target["@sluice/source"] ?? "") ?? []
          // The order counts: the first condition that holds wins.
          assert.deepStrictEqual(
            Object.entries(target),
            [
              ["@sluice/source", `./src/${file}.ts`],
              ["types", `./dist/${file}.d.ts`],
              ["default", `./dist/${file}.js`]
            ],
            subpath
          )
          assert.notInclude(file, "internal/", subpath)
          if (!file.includes("*")) assert.include(files, `${file}.ts`, subpath)
        }
      })

      it("ships what its exports name", () => {
        assert.includeMembers([...manifest.files], ["src/**/*.ts", "dist"])
      })

      it("names each module it exports, so that nothing internal can be imported", () => {
        assert.deepStrictEqual(
          Object.keys(manifest.exports).filter((subpath) => subpath.includes("*") || subpath.includes("internal")),
          []
        )
      })

      it("leaves the copy of effect to its user", () => {
        assert.property(manifest.peerDependencies, "effect")
        assert.notProperty(manifest.dependencies ?? {}, "effect")
      })

      it("declares what it imports and imports what it declares", () => {
        const imported = new Set(files.flatMap((file) => importedPackages(Path.join(source, file))))
        // An optional one may be loaded by a name that no bundler and no compiler looks for.
        const text = files.map((file) => Fs.readFileSync(Path.join(source, file), "utf8")).join("")
        for (const name of Object.keys(manifest.peerDependenciesMeta ?? {})) {
          if (text.includes(`const name: string = "${name}"`)) imported.add(name)
        }
        const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
        assert.deepStrictEqual([...imported].toSorted(), declared.toSorted())
      })

      // A module marked as unstable is importable only by its own name.
      it("exports every public module from its barrel as a namespace", () => {
        const barrel = Fs.readFileSync(Path.join(source, "index.ts"), "utf8")
        const exported = [...barrel.matchAll(/^export \* as (\w+) from "\.\/((?:[a-z]+\/)?(\w+))\.ts"$/gm)].map(
          ([, as, path, name]) => {
            assert.strictEqual(as, name)
            return `${path}.ts`
          }
        )
        const modules = files.filter(
          (file) =>
            /^(?:(?!testing\/)[a-z]+\/)?[A-Z]\w*\.ts$/.test(file) &&
            !/^ \* @stability unstable$/m.test(Fs.readFileSync(Path.join(source, file), "utf8"))
        )
        assert.isAbove(modules.length, 5)
        assert.deepStrictEqual(exported.toSorted(), modules.toSorted())
      })
    })
  }
})
