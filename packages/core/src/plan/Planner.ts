/**
 * Turns an optimised logical plan into stages: narrow steps are fused into chains, and a stage ends where a later one
 * needs all of its results. A pure function of the plan and of the metadata of its sources.
 *
 * @stability unstable
 * @since 0.1.0
 */
import { Effect } from "effect"
import type { Resolved, Source } from "../task/Format.ts"
import { sameGuard, unguarded } from "../task/internal/failed.ts"
import { InvalidPlan } from "../task/JobError.ts"
import { adapt } from "./internal/adaptive.ts"
import type { Downstream, Building, Options, Planning } from "./internal/building.ts"
import { buildNode } from "./internal/nodes.ts"
import * as Plan from "./Plan.ts"
import type { Stage, StageGraph, StageWork } from "./Stage.ts"

export type { Options } from "./internal/building.ts"

/**
 * The metadata of each source of the plan.
 *
 * @category models
 * @since 0.1.0
 */
export type Metadata = ReadonlyMap<Source<unknown>, Resolved<unknown>>

/**
 * Plans the stages.
 *
 * @category constructors
 * @since 0.1.0
 */
export const plan = (
  logical: Plan.Plan,
  metadata: Metadata,
  action: string,
  options: Options = { broadcastBytes: 10 * 1024 * 1024 }
): StageGraph => {
  const stages: Array<Stage> = []
  let invalid: InvalidPlan | undefined
  let undecided: number | undefined
  const { adaptive } = options

  const finish = (building: Building, why: string, work: StageWork | undefined, shuffles = false): number => {
    const id = stages.length
    const { kept, measure, parents, partitions, steps } = building
    // The other inner stages yield results by partition.
    const adapts = adaptive !== undefined && measure !== undefined && (shuffles || work === undefined)
    stages.push({
      id,
      partitions,
      adapt: adapts ? (valueOf, slots) => adapt(partitions, measure, adaptive, valueOf, slots) : undefined,
      parents,
      kept: kept ?? [],
      steps,
      why,
      work,
      shuffles,
      asLines: building.givesLines === true && (work === undefined ? options.takesLines : work.takesLines) === true
    })
    return id
  }
  const planning: Planning = {
    options,
    metadata,
    build: (node, downstream) => build(node, downstream),
    finish,
    refuse: (operator, detail) => {
      invalid ??= new InvalidPlan({ operator, detail })
    },
    decideBy: (stage) => {
      undecided ??= stage
      return undecided === stage
    }
  }

  // A node that is an input of several others is planned once, unless they need it planned differently.
  const built = new Map<Plan.Plan, Array<{ readonly downstream: Downstream; readonly building: Building }>>()
  const open = new Map<Plan.Plan, boolean>()
  // Whether its plan may depend on the bytes written at run time.
  const isOpen = (node: Plan.Plan): boolean => {
    const known = open.get(node)
    if (known !== undefined) return known
    const found = (node._tag === "Exchange" && node.broadcast !== undefined) || Plan.inputs(node).some(isOpen)
    open.set(node, found)
    return found
  }
  const build = (node: Plan.Plan, downstream: Downstream): Building => {
    const known = built.get(node) ?? []
    const same = known.find(
      (other) =>
        sameGuard(other.downstream.guard, downstream.guard) &&
        (other.downstream.keepsPartitions === downstream.keepsPartitions || !isOpen(node)) &&
        other.downstream.layers.length === downstream.layers.length &&
        other.downstream.layers.every((layer, index) => layer === downstream.layers[index])
    )
    if (same !== undefined) return same.building
    const building = buildNode(planning, node, downstream)
    known.push({ downstream, building })
    built.set(node, known)
    return building
  }

  finish(build(logical, { guard: unguarded, layers: [], keepsPartitions: false }), `result of ${action}`, undefined)
  return { stages, fingerprint: Plan.fingerprint(logical), undecided, invalid }
}

/**
 * Reads the metadata that {@link plan} needs, of every source of a plan at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = Effect.fn("Planner.resolve")(function* (
  logical: Plan.Plan,
  options: Parameters<Source<unknown>["resolve"]>[0]
) {
  const sources = [...new Set(Plan.sources(logical))].filter((source) => source.invalid === undefined)
  const resolved = yield* Effect.forEach(
    sources,
    (source) => Effect.map(source.resolve(options), (metadata) => [source, metadata] as const),
    { concurrency: 8 }
  )
  return new Map(resolved)
})
