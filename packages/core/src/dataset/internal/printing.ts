import { Effect } from "effect"
import { Engine } from "../../engine/Action.ts"
import * as Plan from "../../plan/Plan.ts"
import type { JobError } from "../../task/JobError.ts"
import type { Dataset } from "./model.ts"

/**
 * The plan as text: as written, as optimised, and as stages with the partitions, rows, bytes and hosts known from the
 * metadata of the sources. Reads no rows.
 *
 * @category printing
 * @since 0.1.0
 */
export const explain = <A, E, R>(self: Dataset<A, E, R>): Effect.Effect<string, JobError, Engine> =>
  Effect.flatMap(Engine, (engine) => engine.explain({ name: "explain", plan: self.plan }))

/**
 * The plan as a Mermaid flow chart.
 *
 * **Example** (Drawing a plan)
 *
 * ```ts import.meta.vitest
 * import { Dataset } from "@sluice/core"
 *
 * Dataset.toMermaid(Dataset.map(Dataset.range(0, 3), (n) => n + 1)).split("\n")[0] // => "flowchart TD"
 * ```
 *
 * @category printing
 * @since 0.1.0
 */
export const toMermaid = <A, E, R>(self: Dataset<A, E, R>): string => Plan.toMermaid(self.plan)
