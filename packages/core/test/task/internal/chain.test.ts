import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { compile, fuse } from "../../../src/task/internal/chain.ts"
import { Failed, unguarded } from "../../../src/task/internal/failed.ts"
import type { Operator } from "../../../src/task/Operator.ts"
import * as Origin from "../../../src/task/Origin.ts"
import { taskOf } from "../../support/runtime.ts"

const double: Operator = { _tag: "Map", f: (n) => Number(n) * 2 }
const thrice: Operator = { _tag: "FlatMap", f: (n) => [n, n, n] }
const even: Operator = { _tag: "Filter", f: (n) => Number(n) % 2 === 0 }
const tap: Operator = { _tag: "Tap", f: () => Effect.void }
const caught: Operator = { _tag: "Catch", tag: undefined, f: () => Effect.succeed(-1) }

/** The arrays that come out of a chain, and the task that ran it. */
const run = (operators: ReadonlyArray<Operator>, ...arrays: ReadonlyArray<readonly [unknown, ...Array<unknown>]>) => {
  const task = taskOf()
  const rows = compile(operators, unguarded).chain(Stream.fromArrays(...arrays), task, 0)
  return Effect.map(Stream.runCollect(Stream.chunks(rows as Stream.Stream<unknown>)), (chunks) => ({ chunks, task }))
}

const upTo = (length: number): readonly [number, ...Array<number>] => [
  0,
  ...Array.from({ length: length - 1 }, (_, n) => n + 1)
]

describe("a run of narrow steps", () => {
  it("is cut into passes: pure steps together, each other one alone", () => {
    const tags = (...operators: ReadonlyArray<Operator>) =>
      fuse(operators).map((group) => group.map(({ _tag }) => _tag).join(" "))
    assert.deepStrictEqual(tags(double, thrice, tap, tap, even, double), ["Map FlatMap", "Tap", "Tap", "Filter Map"])
    assert.deepStrictEqual(tags(), [])
  })

  it.effect("that makes more rows of each takes as many at once as make 256, and whole arrays otherwise", () =>
    Effect.gen(function* () {
      const arrays = [upTo(512), upTo(1200), upTo(1)]
      const lengths = (...operators: ReadonlyArray<Operator>) =>
        Effect.map(run(operators, ...arrays), ({ chunks }) => chunks.map((values) => values.length))
      assert.deepStrictEqual(yield* lengths(double), [512, 1200, 1])
      // 16 rows, twice as many, until 85 make 255; each array ends with what is left of it.
      const first = [48, 96, 192, 255, 255, 255, 255, 180]
      assert.deepStrictEqual(yield* lengths(double, thrice), [...first, ...Array<number>(14).fill(255), 30, 3])
      const { chunks } = yield* run([double, thrice], ...arrays)
      assert.deepStrictEqual(
        chunks.flat(),
        arrays.flat().flatMap((n) => [2 * n, 2 * n, 2 * n])
      )
      // One row may make more, or all of them nothing.
      const many: Operator = { _tag: "FlatMap", f: (n) => (n === 700 ? upTo(5000) : []) }
      assert.deepStrictEqual(yield* lengths(many), [5000])
      const few: Operator = { _tag: "FlatMap", f: (n) => (Number(n) % 64 === 0 ? [n] : []) }
      const rare = yield* run([few], ...arrays)
      assert.deepStrictEqual(
        rare.chunks.flat(),
        arrays.flat().filter((n) => n % 64 === 0)
      )
      assert.strictEqual(rare.task.metrics.rowsFiltered, 1713 - 28)
    })
  )

  it.effect("names the row of the input that a function threw at, in whichever piece of an array it is", () =>
    Effect.gen(function* () {
      const kept = Int32Array.from({ length: 1200 }, (_, n) => 3 * n)
      for (const [at, origin, row] of [
        [0, undefined, 10],
        [15, undefined, 25],
        [16, undefined, 26],
        [1199, undefined, 1209],
        [0, kept, 10],
        [700, kept, 10 + 2100],
        [1199, kept, 10 + 3597]
      ] as const) {
        const rows = Origin.attach(upTo(1200), { path: "a.txt", rowGroup: undefined, firstRow: 10, kept: origin })
        const thrown = new Error("thrown")
        const fail: Operator = {
          _tag: "FlatMap",
          f: (n) => {
            if (n === at) throw thrown
            return [n, n]
          }
        }
        yield* Effect.exit(run([fail], rows))
        assert.deepStrictEqual(Origin.ofDefect(thrown), { path: "a.txt", rowGroup: undefined, row })
      }
    })
  )

  it.effect("says what it dropped less what it added", () =>
    Effect.gen(function* () {
      for (const [operators, filtered] of [
        [[double], 0],
        [[even], 50],
        [[thrice], -200],
        [[thrice, even], 100 - 150],
        [[tap, even, tap], 50]
      ] as const) {
        const { task } = yield* run(operators, upTo(60), upTo(40))
        assert.strictEqual(task.metrics.rowsFiltered, filtered)
      }
    })
  )

  it.effect("hands an element that failed to the next that catches it, in its place", () =>
    Effect.gen(function* () {
      const fail: Operator = {
        _tag: "MapEffect",
        f: (n) => (n === 3 ? Effect.fail("three") : Effect.succeed(n)),
        concurrency: 1,
        unordered: false
      }
      for (const between of [[], [double], [thrice], [even], [double, tap, even]]) {
        const { chunks } = yield* run([fail, ...between, caught], upTo(6))
        const rest = yield* run(between, [0, 1, 2, 4, 5])
        const values = chunks.flat()
        assert.deepStrictEqual(
          values.filter((value) => value !== -1),
          rest.chunks.flat()
        )
        assert.strictEqual(values.length, rest.chunks.flat().length + 1)
        assert.isFalse(values.some((value) => value instanceof Failed))
      }
      assert.strictEqual(yield* Effect.flip(run([fail, double], upTo(6))), "three")
      // It bypasses a step that cannot see it, although that step yields nothing more.
      const past: Operator = {
        _tag: "MapPartitions",
        name: "past",
        oneToOne: true,
        elementwise: true,
        f: (rows) => rows
      }
      for (const [arrays, values] of [
        [
          [upTo(3), [3]],
          [0, 1, 2, -1]
        ],
        [[[3]], [-1]],
        [
          [[3], [4]],
          [4, -1]
        ]
      ] as const) {
        assert.deepStrictEqual((yield* run([fail, past, caught], ...arrays)).chunks.flat(), [...values])
      }
    })
  )
})
