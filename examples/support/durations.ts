/** Durations on the command line: `500ms`, `30s`, `2m`, `1m30s`. */
import { Option } from "effect"
import { Flag } from "effect/cli"

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

const isUnit = (text: string | undefined): text is keyof typeof units => text !== undefined && text in units

/** Milliseconds; `None` if the text is not a duration. */
export const parseMillis = (text: string): Option.Option<number> => {
  if (text === "0") return Option.some(0)
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return Option.none()
  let millis = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    if (isUnit(unit)) millis += Number(number) * units[unit]
  }
  return Option.some(millis)
}

/** A flag whose value is a duration, in milliseconds. */
export const durationFlag = (name: string): Flag.Flag<number> =>
  Flag.String(name).pipe(
    Flag.withMetavar("duration"),
    Flag.filterMap(parseMillis, () => "a duration such as 500ms, 30s, 2m or 1m30s")
  )
