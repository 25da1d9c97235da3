import { assert, describe, it } from "@effect/vitest"
import { cut, pack } from "../../src/formats/internal/splits.ts"
import { heaviestHosts } from "../../src/storage/internal/hosts.ts"
import type { FileStatus } from "../../src/storage/Storage.ts"

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

  it("fills a split to its bytes and no further, where a file is opened once", () => {
    assert.deepStrictEqual(shape(plan(file("a", 40), file("b", 50))), [["a@0+40", "b@0+50"]])
    assert.deepStrictEqual(shape(plan(file("a", 40), file("b", 51))), [["a@0+40"], ["b@0+51"]])
    const group = (rowGroup: number, length: number) => ({
      file: p,
      offset: 4 + rowGroup * 30,
      length,
      rowGroup,
      rows: rowGroup,
      blocks: []
    })
    const p = file("p", 200)
    assert.deepStrictEqual(shape(pack([group(0, 30), group(1, 30), group(2, 30)], options)), [["p@4+90"]])
    assert.deepStrictEqual(shape(pack([group(0, 30), group(1, 30), group(2, 31)], options)), [["p@4+60"], ["p@64+31"]])
  })

  it("puts row groups together that lie in one file, and knows their rows and what they are called", () => {
    const unit = (name: string, rowGroup: number, rows?: number) => ({
      file: files.get(name)!,
      offset: 10 * rowGroup,
      length: 8,
      rowGroup,
      rows,
      blocks: []
    })
    const files = new Map(["d/p", "d/q"].map((name) => [name, file(name, 100)]))
    const only = (...units: ReadonlyArray<ReturnType<typeof unit>>) => {
      const [split, more] = pack(units, { splitBytes: 1000, openCostBytes: 0 })
      assert.isUndefined(more)
      return {
        parts: split?.parts.map(({ length, offset, path, rowGroups }) => [path, offset, length, rowGroups]),
        files: split?.files.map(({ path }) => path),
        bytes: split?.bytes,
        rows: split?.rows,
        label: split?.label
      }
    }
    assert.deepStrictEqual(only(unit("d/p", 1, 5), unit("d/p", 2, 6), unit("d/q", 0, 7), unit("d/p", 4, 8)), {
      parts: [
        ["d/p", 10, 18, [1, 2]],
        ["d/q", 0, 8, [0]],
        ["d/p", 40, 8, [4]]
      ],
      files: ["d/p", "d/q", "d/p"],
      bytes: 32,
      rows: 26,
      label: "p[1..2] and 2 more"
    })
    assert.deepStrictEqual(only(unit("d/p", 3, 0)).label, "p[3]")
    // If one does not say how many rows it has, the total is unknown.
    assert.isUndefined(only(unit("d/p", 1), unit("d/p", 2, 6)).rows)
    assert.isUndefined(only(unit("d/p", 1, 5), unit("d/p", 2)).rows)
  })

  it("is named by its first file, and by the bytes where it has not all of them", () => {
    const labels = plan(file("d/a", 150), file("b", 20), file("c", 0)).map(({ label }) => label)
    assert.deepStrictEqual(labels, ["a[0..100]", "a[100..150] and 2 more"])
    assert.deepStrictEqual(
      plan(file("d/a", 100)).map(({ label, parts }) => [label, parts.length]),
      [["a", 1]]
    )
  })

  it("does not cut a unit that cannot be cut", () => {
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
    assert.deepStrictEqual(hostsOf({ splitBytes: 31, openCostBytes: 0 })[0], ["y", "x", "z"], "one byte of the second")
    // The second half touches only the second block.
    assert.deepStrictEqual(hostsOf({ splitBytes: 50, openCostBytes: 0 }), [
      ["y", "x", "z"],
      ["y", "z"]
    ])
  })

  it("of twenty hosts names three, by bytes and not by how often they are named", () => {
    // Nineteen small files, each on its own host, and two large ones; every file has its second copy on `all`.
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
