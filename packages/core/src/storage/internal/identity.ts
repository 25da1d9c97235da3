/**
 * Identifies this process in a way that another process can check: a process number and a host name are the same in
 * many containers.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import { Schema } from "effect"

/** A process. Empty fields could not be found out. */
export const Identity = Schema.Struct({
  /** Random, and unique to this process. */
  id: Schema.String,
  host: Schema.String,
  pid: Schema.Number,
  /** The start of the kernel, and the namespace of `pid`. */
  boot: Schema.String,
  namespace: Schema.String,
  /** When the process began, in the kernel's ticks, because its number may be used again later. */
  started: Schema.String
})

export type Identity = typeof Identity.Type

const textOf = (read: () => string): string => {
  try {
    return read()
  } catch {
    // Not Linux.
    return ""
  }
}

const startOf = (pid: number): string =>
  textOf(() => {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""
  })

export const self: Identity = {
  id: randomUUID(),
  host: os.hostname(),
  pid: process.pid,
  boot: textOf(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
  namespace: textOf(() => fs.readlinkSync("/proc/self/ns/pid")),
  started: startOf(process.pid)
}

/**
 * Whether a process is known to be gone. `false` says nothing: a process on another machine, in another container or on
 * a system without `/proc` cannot be seen from here.
 */
export const isGone = (other: Identity): boolean => {
  if (other.id === self.id || self.boot === "" || self.namespace === "") return false
  if (other.host !== self.host || other.boot !== self.boot || other.namespace !== self.namespace) return false
  try {
    process.kill(other.pid, 0)
  } catch (error) {
    // Any other answer means that the process exists.
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
  const started = startOf(other.pid)
  return started !== "" && other.started !== "" && started !== other.started
}
