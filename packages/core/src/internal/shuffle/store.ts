import type { Effect, Scope } from "effect"
import type { MapStatus, Reason } from "../../Shuffle.ts"

/** A file being written, then read. Writes and reads are by blocks, never by rows. */
export interface SpillFile extends Source {
  readonly append: (parts: ReadonlyArray<Uint8Array>) => Effect.Effect<void, Reason>
  /** The file outlives its scope. */
  readonly keep: Effect.Effect<void>
}

/** Bytes that can be read by range. */
export interface Source {
  readonly file: string
  /** Exactly these bytes, or `Corrupt` when the file is shorter. */
  readonly read: (offset: number, length: number) => Effect.Effect<Buffer, Reason>
}

/** Where map outputs and runs lie. */
export interface Store {
  /** A new file, deleted with the scope unless kept. */
  readonly create: (shuffle: string, name: string) => Effect.Effect<SpillFile, Reason, Scope.Scope>
  /** The output of a map task, wherever it lies. A layer that fetches from other processes replaces this. */
  readonly open: (status: MapStatus) => Effect.Effect<Source, Reason, Scope.Scope>
  readonly remove: (shuffle: string) => Effect.Effect<void>
}

/** What one task's operator holds of the executor's memory. */
export interface Claim {
  /** Asks to hold `bytes` in all. When it says no, the operator spills and asks again for what is left. */
  readonly resize: (bytes: number) => boolean
  readonly release: () => void
}

/** The memory budget that all tasks of an executor share, and the sizes that follow from it. */
export interface Memory {
  readonly total: number
  readonly blockBytes: number
  readonly compression: "zstd" | "none"
  readonly claim: () => Claim
}
