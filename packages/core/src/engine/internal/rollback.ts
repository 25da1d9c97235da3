/** What happens to the stages after one that yielded different rows when it ran again. */
import { Indeterminate } from "../../task/JobError.ts"
import type { Stage } from "../../plan/Stage.ts"

/** Reports that the result of a stage is void: the stage, and what it reads, has to run again. */
export class RolledBack {
  readonly _tag = "RolledBack"
}

/**
 * The stages that read the output of one of these, directly or through other stages, in an order in which they can run.
 */
export const readersOf = (stages: ReadonlyArray<Stage>, first: (stage: Stage) => boolean): ReadonlyArray<Stage> => {
  const found = new Set<number>()
  for (const stage of stages) {
    const reads = [...stage.parents, ...stage.kept.flatMap((kept) => kept.stages)]
    if (first(stage) || reads.some((id) => found.has(id))) found.add(stage.id)
  }
  return stages.filter(({ id }) => found.has(id))
}

/** Why a job cannot continue when a stage yields different rows each time. */
export const indeterminate = (operator: string, stage: Stage | undefined, why: string): Indeterminate =>
  new Indeterminate({
    operator,
    steps: stage === undefined ? [] : stage.steps.map((step) => step.trim()),
    detail: why
  })
