/**
 * Shows running jobs: one line that is redrawn on a terminal, or a plain line now and then if the output is a file or a
 * pipe.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Layer, Stream } from "effect"
import { type Event, Events, type Totals } from "./Events.ts"
import { grouped } from "./internal/numbers.ts"
import { placeOf } from "../storage/internal/place.ts"

/**
 * Where and how progress is shown.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProgressOptions {
  /** Where to write. Default `process.stderr`. */
  readonly output?: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown } | undefined
  /** The time between two plain lines. Default 10 seconds; on a terminal every `Progress` event is drawn. */
  readonly plainInterval?: Duration.Input | undefined
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"]

/**
 * Bytes for people: `1.5 GiB`.
 *
 * @category printing
 * @since 0.1.0
 */
export const formatBytes = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/**
 * A time span for people: `42 s`, `3:05 min`, `2:03:00 h`.
 *
 * @category printing
 * @since 0.1.0
 */
export const formatSeconds = (seconds: number): string => {
  const s = Math.max(0, Math.round(seconds))
  const two = (n: number) => String(n).padStart(2, "0")
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)} min`
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)} h`
}

interface Job {
  readonly name: string
  readonly started: number
  readonly rows: number | undefined
  readonly bytes: number
  /** Lines shown for rows set aside. */
  setAside: number
}

/** How many rows set aside are shown one by one. */
const shownLetters = 10

/** The share of the work that is done, by the best available measure: bytes, rows or tasks. */
const share = (
  job: Job,
  event: { readonly tasksDone: number; readonly tasks: number; readonly totals: Totals }
): number => {
  if (job.bytes > 0) return Math.min(1, event.totals.bytesRead / job.bytes)
  if (job.rows !== undefined && job.rows > 0) return Math.min(1, event.totals.rowsRead / job.rows)
  return event.tasks === 0 ? 1 : event.tasksDone / event.tasks
}

// What stages read that only look at rows: a sample of them, or their number.
const looked = ({ bytesAhead, rowsAhead }: Totals): ReadonlyArray<string> =>
  rowsAhead === 0
    ? []
    : [`${grouped(rowsAhead)} looked at ahead${bytesAhead === 0 ? "" : ` (${formatBytes(bytesAhead)})`}`]

const line = (job: Job, event: Extract<Event, { readonly _tag: "Progress" }>): string => {
  const { totals } = event
  const seconds = Math.max(0.001, (event.at - job.started) / 1000)
  const done = share(job, event)
  const rate = totals.rowsRead / seconds
  const inFlight = totals.gauges["inFlight"]
  const retries = totals.counters["retries"]
  // A narrow terminal cuts off the end, so the most important part comes first.
  return [
    `${job.name}: ${String(Math.floor(done * 100)).padStart(3)} %`,
    `${grouped(totals.rowsRead)}${job.rows === undefined ? "" : `/${grouped(job.rows)}`} rows`,
    ...looked(totals),
    `${grouped(rate)} rows/s`,
    // Less than a second or one percent is too little to guess an ETA from.
    ...(done >= 0.01 && done < 1 && seconds >= 1 ? [`ETA ${formatSeconds((seconds * (1 - done)) / done)}`] : []),
    ...(inFlight === undefined ? [] : [`${inFlight} in flight`]),
    ...(retries === undefined || retries === 0 ? [] : [`${retries} retries`]),
    ...(totals.deadLettered === 0 ? [] : [`${grouped(totals.deadLettered)} set aside`]),
    ...(job.bytes === 0 ? [] : [`${formatBytes(totals.bytesRead)}/${formatBytes(job.bytes)}`]),
    `${event.tasksDone}/${event.tasks} tasks`
  ].join(", ")
}

/**
 * Shows every job of the engine until the layer is released.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: ProgressOptions): Layer.Layer<never, never, Events> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const output = options?.output ?? process.stderr
      const plainMillis = Duration.toMillis(options?.plainInterval ?? "10 seconds")
      const live = output.isTTY === true
      const jobs = new Map<string, Job>()
      let lastPlain = Number.NEGATIVE_INFINITY
      let drawn = false
      const erase = () => {
        if (drawn) output.write("\r\u001b[2K")
        drawn = false
      }
      const show = (event: Event): void => {
        switch (event._tag) {
          case "JobStarted":
            jobs.set(event.job, {
              name: event.name,
              started: event.at,
              rows: event.rows,
              bytes: event.bytes,
              setAside: 0
            })
            lastPlain = event.at
            return
          case "Progress": {
            const job = jobs.get(event.job)
            if (job === undefined) return
            if (live) {
              erase()
              output.write(line(job, event).slice(0, (output.columns ?? 120) - 1))
              drawn = true
            } else if (event.at - lastPlain >= plainMillis) {
              lastPlain = event.at
              output.write(`${line(job, event)}\n`)
            }
            return
          }
          case "DeadLettered": {
            const job = jobs.get(event.job)
            if (job === undefined || job.setAside > shownLetters) return
            erase()
            job.setAside++
            if (job.setAside > shownLetters) {
              output.write(`${event.name}: more rows have been set aside; they are not shown\n`)
              return
            }
            output.write(`${event.name}: set aside ${event.path}, ${placeOf(event)}: ${event.reason}\n`)
            return
          }
          case "JobEnded": {
            jobs.delete(event.job)
            erase()
            const { deadLettered, rowsOut, rowsRead } = event.totals
            const ahead = looked(event.totals).map((rows) => `, ${rows}`)
            const aside = deadLettered === 0 ? "" : `, ${grouped(deadLettered)} set aside`
            const time = formatSeconds(event.millis / 1000)
            // The totals are those of successful tasks: after a failure they would be lower than what was shown before.
            output.write(
              event.outcome === "success"
                ? `${event.name}: done in ${time}, ${grouped(rowsRead)} rows read${ahead.join("")}, ${grouped(rowsOut)} out${aside}\n`
                : `${event.name}: ${event.outcome === "failure" ? "failed" : "interrupted"} after ${time}\n`
            )
            return
          }
          default:
            return
        }
      }
      const events = yield* (yield* Events).subscribe
      yield* Stream.runForEach(events, (event) => Effect.sync(() => show(event))).pipe(
        Effect.ensuring(Effect.sync(erase)),
        Effect.forkScoped
      )
    })
  )
