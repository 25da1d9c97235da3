import { Effect, Predicate, Stream } from "effect"
import type { Exchange, ExchangeInput, ExchangeSource, Partitioning } from "../Plan.ts"
import { PartitionFailed, ShuffleFailed } from "../../task/JobError.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import { type MapStatus, Shuffle, ShuffleError } from "../../shuffle/Shuffle.ts"
import { countRows, whenClosed } from "../../task/internal/account.ts"
import { mapArrays } from "../../task/internal/chain.ts"
import { Failed, type Guard, takes } from "../../task/internal/failed.ts"
import type { Rows } from "../../task/internal/rows.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"

/** What the tasks of a map stage amount to. */
export interface MapOutputs {
  readonly statuses: ReadonlyArray<MapStatus>
  /** Elements that failed before the exchange, on their way to a `Catch` after it: they go round it. */
  readonly failed: ReadonlyArray<Failed>
}

interface MapOutput {
  readonly status: MapStatus
  readonly failed: ReadonlyArray<Failed>
}

const isMapOutputs = (value: unknown): value is MapOutputs =>
  Predicate.hasProperty(value, "statuses") && Predicate.hasProperty(value, "failed")

export const isMapOutput = (value: unknown): value is MapOutput => Predicate.hasProperty(value, "status")

/** An error of the program's own on its way through the shuffle, whose errors are the engine's. */
class Passing {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/** The reason a job fails for when its shuffle does. */
export const shuffleFailed = (error: ShuffleError): ShuffleFailed =>
  new ShuffleFailed({
    operator: error.operator,
    detail: error.reason.message,
    isRetryable: error.lost === undefined && (error.reason._tag === "Corrupt" || error.reason._tag === "Missing"),
    ...(error.lost === undefined ? {} : { lost: error.lost })
  })

/**
 * Takes the elements that failed out of the rows. The failure of the stream itself is no element's: there are no more rows after it, and
 * a `Catch` beyond the border of the stage would go on without them.
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

/** Runs something of the shuffle on the rows of a task: its own failures end the task, the rows' failures stay the program's. */
export const separated = <A>(
  rows: Rows,
  task: TaskRuntime,
  f: (rows: Rows) => Effect.Effect<A, unknown, unknown>
): Effect.Effect<A, unknown, unknown> =>
  Effect.catch(f(Stream.mapError(rows, (error) => new Passing(error))), (error) =>
    error instanceof Passing
      ? Effect.fail(error.error)
      : error instanceof ShuffleError
        ? task.abort(shuffleFailed(error))
        : // The rows' failures are `Passing`, and nothing else here fails in another way than the shuffle's.
          Effect.die(error)
  )

/** What a map task does. */
export const writeMap =
  (input: ExchangeInput, partitioner: (task: TaskRuntime) => Partitioner.Partitioner<never>, guard: Guard) =>
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
        separated(divert(rows, guard, failed, task), task, (rows) => input.write(to, rows)),
        (status) => ({ status, failed })
      )
    })

/** The value of a map stage. */
export const combineMaps = (results: ReadonlyArray<unknown>): MapOutputs => {
  const outputs = results as ReadonlyArray<MapOutput>
  return {
    statuses: outputs.map((output) => output.status),
    failed: outputs.flatMap((output) => output.failed)
  }
}

/** Name of the shuffle that a stage of a job writes. */
export const shuffleId = (task: { readonly jobId: string }, stage: number): string => `${task.jobId}-${stage}`

const filled = new WeakMap<MapOutputs, ReadonlyMap<number, number>>()

// The reduce partitions that have rows, and their bytes: there may be a hundred thousand, and few of them.
const filledOf = (outputs: MapOutputs): ReadonlyMap<number, number> => {
  const known = filled.get(outputs)
  if (known !== undefined) return known
  const found = new Map<number, number>()
  for (const { bytes, partitions } of outputs.statuses) {
    for (const [index, partition] of partitions.entries()) {
      found.set(partition, (found.get(partition) ?? 0) + (bytes[index] ?? 0))
    }
  }
  filled.set(outputs, found)
  return found
}

/** Encoded bytes of a partition of what a map stage wrote. */
export const partitionBytes = (outputs: unknown, partition: number): number =>
  filledOf(outputs as MapOutputs).get(partition) ?? 0

/** The same for each map task. */
export const mapBytes = (outputs: unknown, partition: number): ReadonlyArray<number> =>
  (outputs as MapOutputs).statuses.map(({ bytes, partitions }) =>
    partitions.reduce((sum, other, index) => (other === partition ? sum + (bytes[index] ?? 0) : sum), 0)
  )

/** Encoded bytes of all that a map stage wrote. */
export const writtenBytes = (outputs: unknown): number =>
  Array.from(filledOf(outputs as MapOutputs).values()).reduce((sum, bytes) => sum + bytes, 0)

/**
 * Rows that a map stage wrote into partitions that nobody began to read (`undefined` began to read them all): what a cache has is not
 * read again.
 */
export const unreadRows = (outputs: unknown, read: ReadonlySet<number | undefined>): number => {
  if (!isMapOutputs(outputs) || read.has(undefined)) return 0
  let unread = 0
  for (const { partitions, rows } of outputs.statuses) {
    for (const [index, partition] of partitions.entries()) if (!read.has(partition)) unread += rows[index] ?? 0
  }
  // The elements that failed come with the first partition.
  return read.has(0) ? unread : outputs.failed.reduce((sum, { rows }) => sum + rows, unread)
}

/** All that a map stage wrote, for one task. */
export const readWhole =
  (
    stage: number,
    partitions: number,
    read: (source: ExchangeSource) => Stream.Stream<unknown, ShuffleError, Shuffle>
  ) =>
  (task: TaskRuntime): Rows =>
    Stream.suspend(() => {
      const outputs = task.stageValue(stage) as MapOutputs
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

/** Rows, and after them the elements that failed on their way there. Those are cut where nobody reads as far. */
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

/** Rows that come from another stage, or from an exchange within the task. */
export const exchanged = (rows: Rows, task: TaskRuntime): Rows =>
  countRows(rows, task, (n) => {
    task.metrics.rowsIn += n
    task.book.exchanged += n
  })

const single = () => Partitioner.roundRobin(1)

let locals = 0

// Rows that are where they belong already still have to be put together: they go through a shuffle within the task, which is what
// bounds its memory.
const writeLocal = (
  input: ExchangeInput,
  rows: Rows,
  task: TaskRuntime
): Effect.Effect<ExchangeSource, unknown, unknown> =>
  Effect.suspend(() => {
    const id = `${shuffleId(task, task.stage)}-local-${locals++}`
    return separated(rows, task, (rows) =>
      input.write({ id, partitioner: single(), map: task.partition, attempt: task.attempt }, rows)
    ).pipe(Effect.map((status) => ({ id, slice: { statuses: [status], from: 0, to: 1 } })))
  })

/** Ends the task when the shuffle fails. */
export const abortOn = <A, R>(rows: Stream.Stream<A, ShuffleError, R>, task: TaskRuntime): Stream.Stream<A, never, R> =>
  Stream.catch(rows, (error) => Stream.fromEffect(task.abort(shuffleFailed(error))))

/** An input of an exchange, as its reduce side gets it: the stage that wrote it, or the partitions that are in place. */
export type Side =
  | { readonly _tag: "Moved"; readonly stage: number }
  | { readonly _tag: "InPlace"; readonly read: (task: TaskRuntime) => Rows; readonly input: ExchangeInput }

const rowsFor = (statuses: ReadonlyArray<MapStatus>, partition: number): number =>
  statuses.reduce(
    (sum, { partitions, rows }) =>
      partitions.reduce((own, other, index) => (other === partition ? own + (rows[index] ?? 0) : own), sum),
    0
  )

/** What a reduce task reads. */
export const readExchange =
  (node: Exchange, sides: ReadonlyArray<Side>, partition: number, guard: Guard) =>
  (task: TaskRuntime): Rows =>
    Stream.suspend(() => {
      for (const side of sides) if (side._tag === "Moved") task.book.reads.push({ stage: side.stage, partition })
      if (
        (partition > 0 || !guard.travels) &&
        sides.every(
          (side) => side._tag === "Moved" && !filledOf(task.stageValue(side.stage) as MapOutputs).has(partition)
        )
      ) {
        return Stream.empty
      }
      const failed: Array<Failed> = []
      const locals: Array<string> = []
      // Where the rows for this partition were written, and how many have come out.
      const written: Array<{ readonly statuses: ReadonlyArray<MapStatus>; readonly partition: number }> = []
      let given = 0
      const first = Array.from(task.maps?.values() ?? []).every(([from]) => from === 0)
      const sources = Effect.forEach(sides, (side) => {
        if (side._tag === "InPlace") {
          // Those that failed leave here as well, and come back with the others.
          const rows = countRows(side.read(task), task, (n) => (task.metrics.rowsFiltered += n))
          return Effect.tap(writeLocal(side.input, divert(rows, guard, failed, task), task), ({ id, slice }) =>
            Effect.sync(() => {
              locals.push(id)
              written.push({ statuses: slice.statuses, partition: 0 })
            })
          )
        }
        const outputs = task.stageValue(side.stage) as MapOutputs
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
      const read = Stream.unwrap(Effect.map(sources, (sources) => abortOn(node.read(sources, task), task)))
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
        // What was written for this partition and has not come out: it was left on purpose, and nobody has dropped it.
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

/**
 * Where the rows of an exchange go, as Spark's `Partitioner.defaultPartitioner`: like the input that has most partitions already,
 * unless that are far fewer than the largest input has. `undefined` when it takes a sample to know.
 */
export const choose = (
  partitioning: Partitioning,
  inputs: ReadonlyArray<{
    readonly partitions: number
    readonly partitioner: Partitioner.Partitioner<never> | undefined
  }>
): Partitioner.Partitioner<never> | undefined => {
  const upstream = Math.max(1, ...inputs.map((input) => input.partitions))
  switch (partitioning._tag) {
    case "Fixed":
      return partitioning.partitioner
    case "Range":
      return partitioning.partitions(upstream) === 1 ? partitioning.make([], 1) : undefined
    case "Hash": {
      const wanted = partitioning.partitions(upstream)
      let best: Partitioner.Partitioner<never> | undefined
      for (const { partitioner } of inputs) {
        if (
          partitioner !== undefined &&
          (best === undefined || partitioner.partitions > best.partitions) &&
          Partitioner.equals(partitioner, partitioning.make(partitioner.partitions))
        )
          best = partitioner
      }
      return best !== undefined && best.partitions * 10 > upstream && wanted === upstream
        ? best
        : partitioning.make(wanted)
    }
  }
}

/** Every row of one partition with every row of another; the second is read anew for every array of the first. */
export const cartesian = (left: Rows, right: () => Rows): Rows =>
  Stream.flatMap(Stream.chunks(left), (as) =>
    Stream.flatMap(Stream.chunks(right()), (bs) =>
      Stream.flatMap(Stream.fromArray(as), (a) => Stream.fromArray(bs.map((b) => [a, b] as const)))
    )
  )
