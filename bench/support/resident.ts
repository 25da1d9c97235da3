import { readFileSync } from "node:fs"

/**
 * The most bytes that were resident in this process. `resourceUsage().maxRSS` has the memory of the process that
 * started this one in it.
 */
export const peakResident = (): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024
