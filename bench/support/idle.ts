/** Checks whether anything else runs on the machine, which would make a measurement meaningless. */
import { readFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"

const ticks = (): number =>
  // user, nice, system, idle, iowait, irq, softirq, steal: all but the two that wait.
  (/^cpu +(.*)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "")
    .split(" ")
    .slice(0, 8)
    .reduce((sum, part, i) => (i === 3 || i === 4 ? sum : sum + Number(part)), 0)

const seconds = 2
const most = 0.1

/** How many processors other programs keep busy, over two seconds. */
const busy = async (): Promise<number> => {
  const before = ticks()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  return (ticks() - before) / 100 / seconds
}

/**
 * Measures what else runs before and after a benchmark. If something did, the results are printed but should not be
 * kept: the process exits with 3.
 */
export const alone = async <A>(benchmark: () => Promise<A>): Promise<{ readonly result: A; readonly load: string }> => {
  const before = await busy()
  const result = await benchmark()
  const after = await busy()
  if (Math.max(before, after) > most) process.exitCode = 3
  const shown = [before, after].map((value) => value.toFixed(2)).join(" before, ")
  const verdict = process.exitCode === 3 ? "; the machine was not idle" : ""
  return {
    result,
    load: `processors others kept busy: ${shown} after, of ${cpus().length}${verdict}; load ${loadavg()[0]?.toFixed(2) ?? "?"}`
  }
}
