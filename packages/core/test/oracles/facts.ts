/** What the steps of a pipeline say of its account. */
import type { Facts } from "./operator.ts"
import { setAside } from "./sources.ts"
import type { Op, Pipe, Source } from "./spec.ts"

/** Steps that have a row for each row, in the stage of their input. */
const keeping = new Set([
  ...["map", "rekey", "mapEffect", "failing", "failing tap", "tap", "catch", "catchTag", "mapValues", "keyBy"],
  ...["with a service", "rechunk", "coalesce"]
])
/** The same, but for the stages: some run those before them twice. */
const moving = new Set([
  ...["cache", "union", "repartition", "sort", "sortBy", "sortBy, equal keys", "sortByKey", "partitionBy"],
  ...["partitionBy, another function", "repartitionAndSortWithinPartitions", "a random key", "zipWithIndex"]
])
const dropping = new Set(["filter", "filterMap", "flatMap", "mapArray", "flatMapValues", "where and select"])
const cutting = new Set(["take each", "until each", "zipPartitions", "groupByKey, a few of each", "zip"])

const knows = ({ kind, min }: Source) => kind === "iterable" || (min === 0 && (kind === "csv" || kind === "jsonl"))

/** The steps of a pipeline and of the pipelines beside it. */
const stepsOf = (pipe: Pipe): ReadonlyArray<Op> =>
  pipe.ops.flatMap((op) => (op.other === undefined ? [op] : [op, ...stepsOf(op.other)]))
const sourcesOf = (pipe: Pipe): ReadonlyArray<Source> => [
  ...(pipe.source === "self" ? [] : [pipe.source]),
  ...pipe.ops.flatMap((op) => (op.other === undefined ? [] : sourcesOf(op.other)))
]

export const factsOf = (pipe: Pipe): Facts => {
  const steps = stepsOf(pipe).map(({ name }) => name)
  const sources = sourcesOf(pipe)
  const [source] = sources
  const inOneStage = steps.every((name) => keeping.has(name) || dropping.has(name))
  return {
    steady: !stepsOf(pipe).some(
      ({ a, b, name }) => name === "a random key" || (name === "mapEffect" && a % 4 > 0 && b % 2 === 1)
    ),
    // What an exchange or a cache has is there for every step that reads it, which counts as added.
    filters:
      stepsOf(pipe).some(({ other }) => other?.source === "self") ||
      !steps.every((name) => keeping.has(name) || moving.has(name) || name === "take each" || name === "until each") ||
      sources.some(({ kind, min }) => kind === "range" || kind === "streams" || min > 0),
    cuts: steps.some((name) => cutting.has(name)),
    caches: steps.includes("cache"),
    read:
      inOneStage && source !== undefined && knows(source) ? source.parts.flat().length + setAside(source) : undefined,
    setAside: sources.every((one) => setAside(one) === 0)
      ? 0
      : inOneStage && source !== undefined
        ? setAside(source)
        : undefined
  }
}
