/**
 * What the house rules measure by: the folders and their floors, the categories of public docs, the limits of size.
 */

/**
 * The folders of `packages/<package>/src` from the roof to the ground. A module imports from its own folder and from
 * folders on lower floors, its `internal/` and types included; folders on one floor do not import each other.
 */
export const floors: ReadonlyArray<ReadonlyArray<string>> = [
  ["core/index.ts", "hdfs/index.ts", "scoring/index.ts"],
  ["hdfs/testing"],
  ["hdfs", "scoring"],
  ["core/testing"],
  ["core/dataset"],
  ["core/commit"],
  ["core/engine"],
  ["core/plan", "core/formats"],
  ["core/task"],
  ["core/shuffle"],
  ["core/observe"],
  ["core/storage"],
  ["core/codec"]
]

/** Packages whose root is a folder of its own: their modules lie in `src` itself. */
export const flat: ReadonlyArray<string> = ["hdfs", "scoring"]

/** The categories that `@category` of a public export may name. */
export const categories: ReadonlyArray<string> = [
  // How a value comes to be, and what it is.
  "constructors",
  "models",
  "errors",
  "guards",
  "getters",
  "combinators",
  "codecs",
  "printing",
  // What a program runs with.
  "services",
  "layers",
  "configuration",
  // What a Dataset does: on rows where they are, across partitions, kept for later, at the end.
  "transforming",
  "shuffling",
  "caching",
  "actions"
]

/** The most lines that a function and a file may have without a reason. */
export const limits = { functionLines: 80, fileLines: 700 }

/** A function or, without `name`, a file that is longer than its limit on purpose. */
export interface LongOne {
  readonly file: string
  readonly name?: string
  readonly reason: string
}

/** What stays long, each with the reason why it is easier to read in one piece. The report prints them. */
export const long: ReadonlyArray<LongOne> = []
