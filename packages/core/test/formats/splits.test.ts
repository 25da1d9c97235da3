import { assert, describe, it } from "@effect/vitest"
import { cut, pack } from "../../src/internal/formats/splits.ts"
import { heaviestHosts } from "../../src/internal/hosts.ts"
import type { FileStatus } from "../../src/Storage.ts"

const file = (path: string, length: number): FileStatus => ({ path, type: "file", length, modified: 1 })
const options = { splitBytes: 100, openCostBytes: 10 }
const plan = (...files: ReadonlyArray<FileStatus>) =>
  pack(
    files.flatMap((file) => cut(file, [], { ...options, splittable: true })),
    options
  )
const shape = (splits: ReturnType<typeof plan>) =>
  splits.map((split) => split.parts.map((part) => `${part.path}@${part.offset}+${part.length}`))

describe("split planning", () => {
  it("cuts big files and packs what is left with the next, in input order", () => {
    assert.deepStrictEqual(shape(plan(file("a", 250), file("b", 20))), [
      ["a@0+100"],
      ["a@100+100"],
      ["a@200+50", "b@0+20"]
    ])
  })

  it("counts the opening of small files", () => {
    assert.deepStrictEqual(shape(plan(...["a", "b", "c", "d", "e", "f"].map((name) => file(name, 10)))), [
      ["a@0+10", "b@0+10", "c@0+10", "d@0+10", "e@0+10"],
      ["f@0+10"]
    ])
  })

  it("does not cut what cannot be cut", () => {
    assert.deepStrictEqual(shape(pack(cut(file("a.gz", 250), [], { ...options, splittable: false }), options)), [
      ["a.gz@0+250"]
    ])
  })

  it("names the three hosts with the most of the bytes that are read", () => {
    const blocks = [
      { offset: 0, length: 30, hosts: ["x", "y"] },
      { offset: 30, length: 70, hosts: ["z", "y"] }
    ]
    const hostsOf = (options: { readonly splitBytes: number; readonly openCostBytes: number }) =>
      pack(cut(file("a", 100), blocks, { ...options, splittable: true }), options).map((split) => split.hosts)
    assert.deepStrictEqual(hostsOf(options), [["y", "z", "x"]])
    // The second half touches only the second block.
    assert.deepStrictEqual(hostsOf({ splitBytes: 50, openCostBytes: 0 }), [
      ["y", "x", "z"],
      ["y", "z"]
    ])
  })

  it("of twenty hosts names three, by bytes and not by how often they are named", () => {
    // Nineteen small files on hosts of their own and two large ones; every file has its second copy on `all`.
    const files = Array.from({ length: 21 }, (_, i) => file(`f${i}`, i === 7 ? 60 : i === 8 ? 30 : i < 4 ? 0 : 1))
    const units = files.flatMap((file, i) =>
      cut(file, [{ offset: 0, length: file.length, hosts: [`h${i}`, "all"] }], { ...options, splittable: true })
    )
    const [split, more] = pack(units, { splitBytes: 1000, openCostBytes: 0 })
    assert.isUndefined(more)
    assert.deepStrictEqual(split?.hosts, ["all", "h7", "h8"])
  })

  it("does not count a block beside the row groups that are read", () => {
    const blocks = [
      { offset: 0, length: 100, hosts: ["one"] },
      { offset: 100, length: 100, hosts: ["other"] }
    ]
    const unit = (rowGroup: number, offset: number) => ({
      file: file("p", 200),
      offset,
      length: 40,
      rowGroup,
      rows: 1,
      blocks
    })
    assert.deepStrictEqual(pack([unit(0, 0), unit(1, 60)], options)[0]?.hosts, ["one"])
    assert.deepStrictEqual(pack([unit(1, 60), unit(2, 100)], options)[0]?.hosts, ["one", "other"])
    assert.deepStrictEqual(pack([unit(2, 100), unit(3, 150)], options)[0]?.hosts, ["other"])
  })

  it("merges hosts by the bytes of what is merged", () => {
    const part = (bytes: number, ...hosts: ReadonlyArray<string>) => ({ bytes, hosts })
    assert.deepStrictEqual(heaviestHosts([part(5, "a", "b"), part(7, "c"), part(1, "d"), part(1, "d"), part(4, "b")]), [
      "b",
      "c",
      "a"
    ])
    assert.deepStrictEqual(heaviestHosts([part(0, "b"), part(0, "a"), part(0, "b")]), ["b", "a"])
    assert.deepStrictEqual(heaviestHosts([]), [])
  })

  it("gives the same id to the same input only", () => {
    const id = (status: FileStatus) => plan(status)[0]?.id
    assert.strictEqual(id(file("a", 10)), id(file("a", 10)))
    assert.notStrictEqual(id(file("a", 10)), id({ ...file("a", 10), modified: 2 }))
    assert.notStrictEqual(id(file("a", 10)), id(file("a", 11)))
  })
})
