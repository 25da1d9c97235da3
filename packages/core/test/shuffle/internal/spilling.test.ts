import { Codec, type Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { Writer } from "../../../src/codec/internal/bytes.ts"
import { BoundedTable, takeAll } from "../../../src/shuffle/internal/spilling.ts"
import { Table } from "../../../src/shuffle/internal/table.ts"
import { NoSpace } from "../../../src/shuffle/ShuffleError.ts"

describe("the loop of whatever spills", () => {
  it("takes every item once, in order, and spills right after each that made it full", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 40 }), (full) => {
        const did: Array<number | "spill"> = []
        const items = takeAll({
          count: full.length,
          item: (i) => i,
          take: (i) => {
            did.push(i)
            return full[i]!
          },
          spill: Effect.sync(() => {
            did.push("spill")
          })
        })
        Effect.runSync(items)
        assert.deepStrictEqual(
          did,
          full.flatMap((isFull, i) => (isFull ? [i, "spill" as const] : [i]))
        )
      })
    )
  })

  it("ends with the first spill that fails: nothing is taken after it", () => {
    fc.assert(
      fc.property(fc.nat({ max: 20 }), fc.nat({ max: 20 }), (at, more) => {
        const taken: Array<number> = []
        const items = takeAll({
          count: at + 1 + more,
          item: (i) => i,
          take: (i) => {
            taken.push(i)
            return i === at
          },
          spill: Effect.fail(new NoSpace({ file: "run-1", detail: "the disk is full" }))
        })
        assert.strictEqual(Effect.runSync(Effect.flip(items))._tag, "NoSpace")
        assert.deepStrictEqual(
          taken,
          Array.from({ length: at + 1 }, (_, i) => i)
        )
      })
    )
  })

  it.effect("spills after every one of many items without a deeper stack", () =>
    Effect.gen(function* () {
      let spills = 0
      yield* takeAll({
        count: 100_000,
        item: (i) => i,
        take: () => true,
        spill: Effect.sync(() => {
          spills++
        })
      })
      assert.strictEqual(spills, 100_000)
    })
  )

  it("names the place in the item that its codec refused, also after a spill", () => {
    fc.assert(
      fc.property(fc.nat({ max: 10 }), fc.nat({ max: 10 }), fc.nat({ max: 3 }), (before, after, every) => {
        const rows: ReadonlyArray<unknown> = [
          ...Array.from({ length: before }, (_, id) => ({ id, user: { name: "a" } })),
          { id: before, user: { name: () => {} } },
          ...Array.from({ length: after }, (_, id) => ({ id, other: { name: () => {} } }))
        ]
        const items = takeAll({
          count: rows.length,
          item: (i) => rows[i],
          take: (i) => {
            Codec.plain.write(rows[i], new Writer(16))
            return i % (every + 1) === 0
          },
          spill: Effect.void
        })
        const error = Effect.runSync(Effect.flip(items))
        assert.strictEqual(error.message, "row.user.name: a function cannot be encoded")
      })
    )
  })

  it("does not take what is thrown otherwise for a refused row", () => {
    const thrown = new Error("of the program")
    const items = takeAll({
      count: 1,
      item: (i) => i,
      take: () => {
        throw thrown
      },
      spill: Effect.void
    })
    assert.throws(() => Effect.runSync(items), "of the program")
  })
})

describe("a bounded table", () => {
  const sum = {
    create: (n: number) => n,
    mergeValue: (a: number, b: number) => a + b,
    mergeCombiners: (a: number, b: number) => a + b,
    codec: Codec.plain as Codec.Codec<number>
  }

  it("gives each entry once, spills what is left, and is empty with its memory given back", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 30 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        (keys, capacity) => {
          let held = 0
          const claim: Shuffle.Claim = {
            resize: (bytes) => {
              held = bytes
              return true
            },
            release: () => {}
          }
          const memory = { total: 1024 * 1024, blockBytes: 1024, claim: () => claim }
          const entries = new Table<number, number, number>(Codec.plain as Codec.Codec<number>, sum)
          const table = new BoundedTable(entries, memory, claim)
          for (const [turn, key] of keys.entries()) entries.mergeValue(key, 1, turn)
          assert.isFalse(table.full(2048))
          assert.strictEqual(held > 0, keys.length > 0)
          const spilled: Array<ReadonlyArray<readonly [number, number]>> = []
          let block: Array<readonly [number, number]> = []
          Effect.runSync(
            table.drain(
              (key, count) => block.push([key, count]) === capacity,
              Effect.sync(() => {
                if (block.length > 0) spilled.push(block)
                block = []
              })
            )
          )
          const counts = new Map<number, number>()
          for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
          assert.deepStrictEqual(new Map(spilled.flat()), counts)
          assert.strictEqual(spilled.flat().length, counts.size)
          for (const full of spilled.slice(0, -1)) assert.lengthOf(full, capacity)
          assert.strictEqual(entries.size, 0)
          assert.strictEqual(held, 0)
        }
      )
    )
  })

  it("merges every row once and drains at each measurement that finds it too large, however its rows are cut into arrays", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat({ max: 3 }), { maxLength: 700 }), { maxLength: 8 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(1024, 1024 * 1024),
        (arrays, answers, total) => {
          // Merges row by row, or an array at a time; says how many rows there were before each drain, and what it drained.
          const run = (byArray: boolean) => {
            let merged = 0
            let measured = 0
            const claim: Shuffle.Claim = {
              resize: (bytes) => bytes === 0 || answers[measured++ % answers.length] === true,
              release: () => {}
            }
            const table = new BoundedTable(
              new Table<number, number, number>(Codec.plain as Codec.Codec<number>, sum),
              { total, blockBytes: 1024, claim: () => claim },
              claim
            )
            const drained: Array<readonly [number, Record<number, number>]> = []
            const drain = Effect.suspend(() => {
              const counts: Record<number, number> = {}
              const put = (key: number, count: number) => {
                counts[key] = count
                return false
              }
              drained.push([merged, counts])
              return table.drain(put, Effect.void)
            })
            const one = (row: readonly [number]) => {
              merged++
              return row[0]
            }
            for (const keys of arrays) {
              const rows = keys.map((key) => [key] as const)
              if (byArray) Effect.runSync(table.mergeAll(rows, one, () => 1, drain))
              else
                Effect.runSync(
                  takeAll({
                    count: rows.length,
                    item: (i) => rows[i],
                    take: (i) => {
                      table.entries.mergeValue(one(rows[i]!), 1, i)
                      return table.full(1)
                    },
                    spill: drain
                  })
                )
            }
            Effect.runSync(drain)
            return { drained, merged, measured }
          }
          assert.deepStrictEqual(run(true), run(false))
        }
      )
    )
  })

  it("names the place in the row that the codec of its key refused, also after it was drained", () => {
    const claim: Shuffle.Claim = { resize: (bytes) => bytes === 0, release: () => {} }
    const memory = { total: 1024, blockBytes: 1024, claim: () => claim }
    const entries = new Table<unknown, number, number>(Codec.plain, sum)
    const table = new BoundedTable(entries, memory, claim)
    const rows = [[{ a: 1 }], [{ b: 2 }], [{ user: { name: () => {} } }], [{ c: 3 }]] as const
    let drained = 0
    const drain = Effect.suspend(() => {
      drained += entries.size
      return table.drain(() => false, Effect.void)
    })
    const error = Effect.runSync(
      Effect.flip(
        table.mergeAll(
          rows,
          ([key]): unknown => key,
          () => 1,
          drain
        )
      )
    )
    assert.strictEqual(error.message, "row[0].user.name: a function cannot be encoded")
    assert.strictEqual(drained, 2)
  })

  it("is measured every 1024 rows, later each time it may have grown by a quarter; from the start again when it was emptied", () => {
    let rows = 0
    const measuredAt: Array<number> = []
    const claim: Shuffle.Claim = {
      resize: (bytes) => {
        if (bytes > 0) measuredAt.push(rows)
        return true
      },
      release: () => {}
    }
    const entries = new Table<number, number, number>(Codec.plain as Codec.Codec<number>, sum)
    const table = new BoundedTable(entries, { total: 1024 * 1024, blockBytes: 1024, claim: () => claim }, claim)
    const add = (count: number): void => {
      for (let i = 0; i < count; i++) {
        entries.mergeValue(1, 1, i)
        rows++
        assert.isFalse(table.full(1))
      }
    }
    add(6400)
    assert.deepStrictEqual(measuredAt.splice(0), [1024, 2048, 3072, 4096, 5120, 6400])
    Effect.runSync(table.drain(() => false, Effect.void))
    rows = 0
    add(2048)
    assert.deepStrictEqual(measuredAt, [1024, 2048])
  })
})
