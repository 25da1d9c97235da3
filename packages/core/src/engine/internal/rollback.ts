/** What becomes of the stages after one that yielded other rows when it was run again. */
import { Indeterminate } from "../../task/JobError.ts"
import type { Stage } from "../../plan/Stage.ts"

/** Tells whoever runs a stage that what it has come to is void: it, and what it reads, has to run again. */
export class RolledBack {
  readonly _tag = "RolledBack"
}

/** The stages that read what one of these yields, and those that read theirs, in an order in which they can run. */
export const readersOf = (stages: ReadonlyArray<Stage>, first: (stage: Stage) => boolean): ReadonlyArray<Stage> => {
  const found = new Set<number>()
  for (const stage of stages) {
    const reads = [...stage.parents, ...stage.kept.flatMap((kept) => kept.stages)]
    if (first(stage) || reads.some((id) => found.has(id))) found.add(stage.id)
  }
  return stages.filter(({ id }) => found.has(id))
}

/** Why a job whose stage yields other rows each time cannot go on. */
export const indeterminate = (operator: string, stage: Stage | undefined, why: string): Indeterminate =>
  new Indeterminate({
    operator,
    steps: stage === undefined ? [] : stage.steps.map((step) => step.trim()),
    detail: why
  })
