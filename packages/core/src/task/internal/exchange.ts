/** The two sides of an exchange, as tasks run them: one writes rows for their partitions, the other reads them. */
import { Effect, Stream } from "effect"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import { type MapStatus, Shuffle, type ShuffleError, type Slice } from "../../shuffle/Shuffle.ts"
import { PartitionFailed } from "../JobError.ts"
import { countRows, whenClosed } from "./account.ts"
import { mapArrays } from "./chain.ts"
import { Failed, type Guard, takes } from "./failed.ts"
import { abortOn, separated } from "./failures.ts"
import type { Rows } from "./rows.ts"
import type { TaskRuntime } from "./runtime.ts"
import { filledOf, type MapOutput, mapOutputsOf, shuffleId } from "./values.ts"

/**
 * What the reduce side of an exchange reads from one of its inputs.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExchangeSource {
  readonly id: string
  readonly slice: Slice
}

/** How rows are written. Fails with the rows' own errors or a `ShuffleError`. */
export interface Writer {
  write(
    to: {
      readonly id: string
      readonly partitioner: Partitioner.Partitioner<never>
      readonly map: number
      readonly attempt: number
    },
    rows: Rows
  ): Effect.Effect<MapStatus, unknown, unknown>
  /** The same for rows of text that come as bytes, if it takes them. */
  readonly lines?: Writer | undefined
}

/** How the rows of a partition are brought together. */
export interface Reader {
  read(sources: ReadonlyArray<ExchangeSource>, task: TaskRuntime): Stream.Stream<unknown, ShuffleError, Shuffle>
  /** The same rows as bytes, if they are text. */
  readonly lines?: Reader | undefined
}

/**
 * Takes the failed elements out of the rows. A failure of the stream itself is not the failure of an element: no rows
 * come after it, and a `Catch` in a later stage would continue without them.
 */
export const divert = (rows: Rows, guard: Guard, failed: Array<Failed>, task: TaskRuntime): Rows => {
  if (guard.tags !== "all" && guard.tags.length === 0) return rows
  const whole = Stream.catch(rows, (error) =>
    takes(guard, error) ? Stream.fromEffect(task.abort(new PartitionFailed({ error }))) : Stream.fail(error)
  )
  if (!guard.travels) return whole
  return mapArrays(whole, (values) => {
    if (!values.some((value) => value instanceof Failed)) return values
    const kept: Array<unknown> = []
    for (const value of values) {
      if (value instanceof Failed) failed.push(value)
      else kept.push(value)
    }
    return kept
  })
}

/** What a map task does. */
export const writeMap =
  (input: Writer, partitioner: (task: TaskRuntime) => Partitioner.Partitioner<never>, guard: Guard) =>
  (rows: Rows, task: TaskRuntime): Effect.Effect<MapOutput, unknown, unknown> =>
    Effect.suspend(() => {
      const failed: Array<Failed> = []
      const to = {
        id: shuffleId(task, task.stage),
        partitioner: partitioner(task),
        map: task.partition,
        attempt: task.attempt
      }
      return Effect.map(
        separated(divert(rows, guard, failed, task), task, (rows) =>
          (task.asLines ? (input.lines ?? input) : input).write(to, rows)
        ),
        (status) => ({ _tag: "MapOutput", status, failed })
      )
    })

/** All that a map stage wrote, for one task. */
export const readWhole =
  (
    stage: number,
    partitions: number,
    read: (source: ExchangeSource) => Stream.Stream<unknown, ShuffleError, Shuffle>
  ) =>
  (task: TaskRuntime): Rows =>
    Stream.suspend(() => {
      const outputs = mapOutputsOf(task.stageValue(stage))
      task.book.reads.push({ stage, partition: undefined })
      const slice = { statuses: outputs.statuses, from: 0, to: partitions }
      return exchanged(
        Stream.concat(
          abortOn(read({ id: shuffleId(task, stage), slice }), task),
          Stream.fromArray<unknown>(outputs.failed)
        ),
        task
      )
    })

/** Rows, and after them the elements that failed before the exchange. Those are cut if nobody reads that far. */
export const withFailed = (rows: Rows, failed: ReadonlyArray<Failed>, task: TaskRuntime): Rows =>
  Stream.suspend(() => {
    let given = false
    return Stream.concat(
      rows,
      Stream.suspend(() => {
        given = true
        return Stream.fromArray<unknown>([...failed])
      })
    ).pipe(
      Stream.ensuring(
        Effect.sync(() => {
          if (!given) for (const { rows } of failed) task.metrics.rowsCut += rows
        })
      )
    )
  })

/** Rows from another stage, or from an exchange within the task. */
export const exchanged = (rows: Rows, task: TaskRuntime): Rows =>
  countRows(rows, task, (n) => {
    task.metrics.rowsIn += n
    task.book.exchanged += n
  })

const single = () => Partitioner.roundRobin(1)

let locals = 0

// Rows that are already where they belong still have to be brought together: they go through a shuffle within the task,
// which bounds its memory.
const writeLocal = (input: Writer, rows: Rows, task: TaskRuntime): Effect.Effect<ExchangeSource, unknown, unknown> =>
  Effect.suspend(() => {
    const id = `${shuffleId(task, task.stage)}-local-${locals++}`
    return separated(rows, task, (rows) =>
      input.write({ id, partitioner: single(), map: task.partition, attempt: task.attempt }, rows)
    ).pipe(Effect.map((status) => ({ id, slice: { statuses: [status], from: 0, to: 1 } })))
  })

/** An input of an exchange, as its reduce side gets it: the stage that wrote it, or the partitions that are in place. */
export type Side =
  | { readonly _tag: "Moved"; readonly stage: number }
  | { readonly _tag: "InPlace"; readonly read: (task: TaskRuntime) => Rows; readonly input: Writer }

const rowsFor = (statuses: ReadonlyArray<MapStatus>, partition: number): number =>
  statuses.reduce(
    (sum, { partitions, rows }) =>
      partitions.reduce((own, other, index) => (other === partition ? own + (rows[index] ?? 0) : own), sum),
    0
  )

/** What a reduce task reads. */
export const readExchange =
  (node: Reader, sides: ReadonlyArray<Side>, partition: number, guard: Guard) =>
  (task: TaskRuntime): Rows =>
    Stream.suspend(() => {
      for (const side of sides) if (side._tag === "Moved") task.book.reads.push({ stage: side.stage, partition })
      if (
        (partition > 0 || !guard.travels) &&
        sides.every(
          (side) => side._tag === "Moved" && !filledOf(mapOutputsOf(task.stageValue(side.stage))).has(partition)
        )
      ) {
        return Stream.empty
      }
      const failed: Array<Failed> = []
      const locals: Array<string> = []
      // The place of the rows for this partition, and how many have come out.
      const written: Array<{ readonly statuses: ReadonlyArray<MapStatus>; readonly partition: number }> = []
      let given = 0
      const first = Array.from(task.maps?.values() ?? []).every(([from]) => from === 0)
      const sources = Effect.forEach(sides, (side) => {
        if (side._tag === "InPlace") {
          // Failed elements leave here as well, and come back with the others.
          const rows = countRows(side.read({ ...task, asLines: false }), task, (n) => (task.metrics.rowsFiltered += n))
          return Effect.tap(writeLocal(side.input, divert(rows, guard, failed, task), task), ({ id, slice }) =>
            Effect.sync(() => {
              locals.push(id)
              written.push({ statuses: slice.statuses, partition: 0 })
            })
          )
        }
        const outputs = mapOutputsOf(task.stageValue(side.stage))
        const maps = task.maps?.get(side.stage)
        if (partition === 0 && first) failed.push(...outputs.failed)
        written.push({ statuses: maps === undefined ? outputs.statuses : outputs.statuses.slice(...maps), partition })
        return Effect.succeed({
          id: shuffleId(task, side.stage),
          slice: {
            statuses: maps === undefined ? outputs.statuses : outputs.statuses.slice(...maps),
            from: partition,
            to: partition + 1
          }
        })
      })
      const read = Stream.unwrap(
        Effect.map(sources, (sources) =>
          abortOn((task.asLines ? (node.lines ?? node) : node).read(sources, task), task)
        )
      )
      const rows = countRows(
        exchanged(
          Stream.concat(
            read,
            Stream.suspend(() => Stream.fromArray(failed))
          ),
          task
        ),
        task,
        (n) => (given += n)
      )
      return whenClosed(rows, (ended) => {
        if (ended) return
        // Rows that were written for this partition and have not come out: they were left on purpose, and no operator
        // has dropped them.
        const there = written.reduce((sum, { partition, statuses }) => sum + rowsFor(statuses, partition), 0)
        const rest = Math.max(0, there + failed.reduce((sum, { rows }) => sum + rows, 0) - given)
        task.metrics.rowsIn += rest
        task.metrics.rowsCut += rest
        task.book.exchanged += rest
      }).pipe(
        Stream.ensuring(
          Effect.suspend(() =>
            locals.length === 0
              ? Effect.void
              : Effect.flatMap(Shuffle, (shuffle) => Effect.forEach(locals, shuffle.remove, { discard: true }))
          )
        )
      )
    })

/** Every row of one partition with every row of another; the second is read again for every array of the first. */
export const cartesian = (left: Rows, right: () => Rows): Rows =>
  Stream.flatMap(Stream.chunks(left), (as) =>
    Stream.flatMap(Stream.chunks(right()), (bs) =>
      Stream.flatMap(Stream.fromArray(as), (a) => Stream.fromArray(bs.map((b) => [a, b] as const)))
    )
  )
