import { Condition, Dataset, type Format, Plan } from "@sluice/core"
import * as Optimizer from "@sluice/core/Optimizer"
import { assert, describe, it } from "@effect/vitest"
import type { RecordBatch } from "apache-arrow"
import { Effect } from "effect"

interface Row {
  readonly a: number
  readonly b: number
  readonly c: number
}

/** A source that can read columns, and says which it reads. */
const columnar = (columns: ReadonlyArray<string> = ["a", "b", "c"]): Format.Source<Row> => ({
  name: "columnar",
  detail: columns.join("+"),
  partitions: 1,
  columns,
  resolve: () => Effect.succeed({ splits: [] }),
  project: (kept) => columnar(kept)
})

const optimised = <A, E, R>(self: Dataset.Dataset<A, E, R>) => Plan.print(Optimizer.optimize(self.plan))

const rows = Dataset.fromSource(columnar())

describe("Optimizer", () => {
  it("pruneColumns: a select above a source is the source's", () => {
    assert.strictEqual(optimised(Dataset.select<Row, "a">("a")(rows)), "Read columnar a")
  })

  it("pruneColumns: a source directly below a step that says what it reads has no other columns", () => {
    const reading = (self: Dataset.Dataset<Row>, reads?: ReadonlyArray<string>) =>
      optimised(Dataset.mapPartitionsWithFailures(self, (stream) => stream, { name: "Step", reads }))
    assert.strictEqual(reading(rows, ["c", "a"]), "Step\n  Read columnar c+a")
    assert.strictEqual(reading(rows), "Step\n  Read columnar a+b+c")
    // A source never reads more because of a step, nor another column than it was asked to.
    const two = Dataset.fromSource(columnar(["a", "b"]))
    assert.strictEqual(reading(two, ["a", "c"]), "Step\n  Read columnar a+b")
    assert.strictEqual(reading(two, ["b", "a"]), "Step\n  Read columnar a+b")
    // What lies between may look at others.
    assert.strictEqual(
      reading(
        Dataset.filter(rows, (row) => row.b > 1),
        ["a"]
      ),
      "Step\n  Filter\n    Read columnar a+b+c"
    )
  })

  it("mergeSelects: the later of two selects counts", () => {
    assert.strictEqual(optimised(rows.pipe(Dataset.select("a", "b"), Dataset.select("b"))), "Read columnar b")
  })

  it("pushSelectDown: through sample, union and coalesce", () => {
    const sample = Dataset.sample(rows, { fraction: 0.5, seed: 1 })
    assert.strictEqual(
      optimised(Dataset.union(sample, rows).pipe(Dataset.coalesce(1), Dataset.select("c"))),
      ["Coalesce to 1", "  Union of 2", "    Sample 0.5 seed 1", "      Read columnar c", "    Read columnar c"].join(
        "\n"
      )
    )
  })

  it("a select stays above a step that may look at other columns", () => {
    assert.strictEqual(
      optimised(
        rows.pipe(
          Dataset.filter((row) => row.b > 1),
          Dataset.select("a")
        )
      ),
      ["Select a", "  Filter", "    Read columnar a+b+c"].join("\n")
    )
  })

  it("a select of columns of record batches goes the way of a select, except past a filter on whole batches", () => {
    const batches = (detail = "batches"): Format.Source<RecordBatch> => ({
      name: "parquet",
      detail,
      partitions: 1,
      columns: undefined,
      resolve: () => Effect.succeed({ splits: [] }),
      project: (kept) => batches(kept.join("+"))
    })
    const read = Dataset.fromSource(batches())
    const sampled = Dataset.sample(read, { fraction: 0.5, seed: 1 })
    assert.strictEqual(
      optimised(
        Dataset.union(sampled, read).pipe(
          Dataset.coalesce(1),
          Dataset.selectColumns("c", "a"),
          Dataset.selectColumns("c")
        )
      ),
      ["Coalesce to 1", "  Union of 2", "    Sample 0.5 seed 1", "      Read parquet c", "    Read parquet c"].join(
        "\n"
      )
    )
    const large = Dataset.where<RecordBatch>({ numCols: Condition.gt(2) })
    assert.strictEqual(
      optimised(large(read).pipe(Dataset.selectColumns("c"))),
      ["SelectColumns c", "  Filter numCols > 2", "    Read parquet batches"].join("\n")
    )
    assert.strictEqual(
      optimised(
        read.pipe(Dataset.selectColumns("c"), (selected) => Dataset.where(selected, { numCols: Condition.gt(2) }))
      ),
      ["Filter numCols > 2", "  Read parquet c"].join("\n")
    )
  })

  it("flattenUnions: a union of unions is one", () => {
    const one = Dataset.range(0, 1)
    assert.strictEqual(
      optimised(Dataset.union(Dataset.union(one, one), Dataset.union(one, one))).split("\n")[0],
      "Union of 4"
    )
  })

  it("leaves a plan alone that no rule fits, and its own result", () => {
    const plan = rows.pipe(
      Dataset.map((row) => row.a),
      Dataset.filter((n) => n > 1)
    ).plan
    assert.strictEqual(Plan.print(Optimizer.optimize(plan)), Plan.print(plan))
    for (const dataset of [rows.pipe(Dataset.select("a")), Dataset.union(rows, Dataset.union(rows, rows))]) {
      const once = Optimizer.optimize(dataset.plan)
      assert.strictEqual(Plan.print(Optimizer.optimize(once)), Plan.print(once))
    }
  })
})
