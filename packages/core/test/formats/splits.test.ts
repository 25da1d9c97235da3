import { assert, describe, it } from "@effect/vitest"
import { cut, pack } from "../../src/internal/formats/splits.ts"
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

  it("names hosts by their bytes", () => {
    const blocks = [
      { offset: 0, length: 30, hosts: ["x", "y"] },
      { offset: 30, length: 70, hosts: ["z", "y"] }
    ]
    const [split] = pack(cut(file("a", 100), blocks, { ...options, splittable: true }), options)
    assert.deepStrictEqual(split?.hosts, ["y", "z", "x"])
  })

  it("names only hosts of blocks that a split has bytes of", () => {
    const blocks = [
      { offset: 0, length: 30, hosts: ["x"] },
      { offset: 30, length: 40, hosts: ["y"] },
      { offset: 70, length: 30, hosts: ["z"] }
    ]
    const hosts = (splitBytes: number) =>
      pack(cut(file("a", 100), blocks, { splitBytes, openCostBytes: 0, splittable: true }), {
        splitBytes,
        openCostBytes: 0
      }).map((split) => split.hosts)
    // Most bytes first; a block that ends where a split begins, or begins where it ends, is none of its own.
    assert.deepStrictEqual(hosts(50), [
      ["x", "y"],
      ["z", "y"]
    ])
    assert.deepStrictEqual(hosts(30), [["x"], ["y"], ["z", "y"], ["z"]])
    assert.deepStrictEqual(hosts(31), [["x", "y"], ["y"], ["z", "y"], ["z"]])
  })

  it("gives the same id to the same input only", () => {
    const id = (status: FileStatus) => plan(status)[0]?.id
    assert.strictEqual(id(file("a", 10)), id(file("a", 10)))
    assert.notStrictEqual(id(file("a", 10)), id({ ...file("a", 10), modified: 2 }))
    assert.notStrictEqual(id(file("a", 10)), id(file("a", 11)))
  })
})
