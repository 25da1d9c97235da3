/** What becomes of the stages after one that yielded other rows when it was run again. */
import { Indeterminate } from "../../task/JobError.ts"
import type { Stage } from "../../plan/Stage.ts"

/** Tells whoever runs a stage that what it has come to is void: it, and what it reads, has to run again. */
export class RolledBack {
  readonly _tag = "RolledBack"
}

/** A stage of a job as it runs. */
export interface StageState {
  /** As it is run: adapted to what the stages before it wrote, once for all attempts. */
  stage: Stage | undefined
  results: Array<unknown>
  /** All of its tasks have succeeded, on rows that still hold. */
  done: boolean
  /** How often it was rolled back. */
  generation: number
  /** Rounds of attempts that each task has been through. */
  readonly rounds: Map<number, number>
  /** Tasks whose rows have left the job. */
  readonly left: Set<number>
}

export const makeStageState = (): StageState => ({
  stage: undefined,
  results: [],
  done: false,
  generation: 0,
  rounds: new Map(),
  left: new Set()
})

/** The stages that read what one of these yields, and those that read theirs, in an order in which they can run. */
export const after = (stages: ReadonlyArray<Stage>, first: (stage: Stage) => boolean): ReadonlyArray<Stage> => {
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
