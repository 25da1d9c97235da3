import type { Stream } from "effect"

/** The rows of one partition inside the engine, where types are erased. */
export type Rows = Stream.Stream<unknown, unknown, unknown>
