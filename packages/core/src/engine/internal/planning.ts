/** From what a program wrote to stages. */
import { Effect } from "effect"
import * as Optimizer from "../../plan/Optimizer.ts"
import type * as Plan from "../../plan/Plan.ts"
import * as Planner from "../../plan/Planner.ts"
import type { StageGraph } from "../../plan/Stage.ts"
import * as Storage from "../../storage/Storage.ts"
import type { EngineConfig } from "../../task/EngineConfig.ts"
import { InputFailed } from "../../task/JobError.ts"
import type { Spec } from "../Action.ts"
import type { Cache } from "./cache.ts"

/** A plan whose metadata has been read. */
export interface Planned {
  readonly optimised: Plan.Plan
  readonly graph: StageGraph
  /** The stages, given the bytes that some of them have written: these decide what was left open at first. */
  readonly decide: (measured: ReadonlyMap<number, number>) => StageGraph
  /** The files that the plan reads. */
  readonly inputs: ReadonlyArray<string>
  /** Whether elements may be record batches. */
  readonly batches: boolean
}

/** Reads the metadata of the sources, and plans stages with it. */
export const planOf = (
  spec: Pick<Spec, "name" | "plan" | "takesLines">,
  options: {
    readonly storage: Storage.Storage["Service"]
    readonly config: EngineConfig
    readonly cached: Cache
  }
): Effect.Effect<Planned, InputFailed> => {
  const { cached, config, storage } = options
  const optimised = Optimizer.optimize(spec.plan)
  return Planner.resolve(optimised, config).pipe(
    Effect.provideService(Storage.Storage, storage),
    Effect.mapError((error) => new InputFailed({ error })),
    Effect.map((metadata) => {
      const decide = (measured: ReadonlyMap<number, number>) =>
        Planner.plan(optimised, metadata, spec.name, {
          broadcastBytes: config.broadcastBytes,
          adaptive: config.adaptive ? config : undefined,
          takesLines: spec.takesLines,
          measured,
          cached
        })
      const inputs = new Set<string>()
      let batches = false
      for (const { splits } of metadata.values()) {
        for (const split of splits) {
          for (const { path } of split.parts) inputs.add(path)
          batches ||= split.rowsOf !== undefined
        }
      }
      return { optimised, graph: decide(new Map()), decide, inputs: [...inputs], batches }
    })
  )
}
