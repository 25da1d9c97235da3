import { Array as Arr, Effect, Glob, Stream } from "effect"
import type { FileStatus } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { fail, formatSegments, type Pattern, type Segments } from "./path.ts"

/** A name in a directory. */
export interface Entry {
  readonly name: string
  /** A link is followed when a segment names or matches it, but not by `**`: a link to a parent would never end. */
  readonly isLink: boolean
  /** Known if the directory says so; otherwise it is looked up. */
  readonly status?: FileStatus | undefined
}

/** What `list` needs from a backend. */
export interface Tree {
  /** `undefined` if nothing exists there, also if a parent is a file. */
  readonly find: (segments: Segments) => Effect.Effect<FileStatus | undefined, StorageError.StorageError>
  /** In code point order; `undefined` if there is no such directory, or no longer. */
  readonly entries: (segments: Segments) => Effect.Effect<ReadonlyArray<Entry> | undefined, StorageError.StorageError>
}

/** How many entries are looked up at once, and ahead of the consumer. */
const lookAhead = 64

/** How often a directory is looked at again that is somewhere else each time. */
const mostLooks = 10

/** The `list` of {@link Backend}. Only directories on the way of the patterns are read. */
export const list = (
  tree: Tree,
  path: string,
  patterns: ReadonlyArray<Pattern>
): Stream.Stream<FileStatus, StorageError.StorageError> => {
  const literals: Array<string> = []
  for (const pattern of patterns) {
    if (pattern._tag !== "Literal") return walk({ tree, path, patterns }, literals, new Set([literals.length]))
    literals.push(pattern.name)
  }
  return Stream.unwrap(listOne(tree, path, literals))
}

/** The entries of a directory, or the one file. */
const listOne = Effect.fnUntraced(function* (tree: Tree, path: string, segments: Segments) {
  for (let looks = 0; looks < mostLooks; looks++) {
    const status = yield* tree.find(segments)
    if (status === undefined) break
    if (status.type === "file") return Stream.succeed(status)
    const entries = yield* tree.entries(segments)
    // Gone since, or a file by now.
    if (entries === undefined) continue
    return Stream.fromIterable(Arr.chunksOf(entries, lookAhead)).pipe(
      Stream.mapEffect((chunk) => statusesOf(tree, segments, chunk)),
      Stream.flatMap((found) =>
        found === undefined
          ? Stream.fail(fail("list", path, new StorageError.NotFound()))
          : Stream.fromIterable(found.values())
      )
    )
  }
  return yield* fail("list", path, new StorageError.NotFound())
})

/**
 * The statuses of entries of a directory by name, without those that have been deleted since the directory was read, and without
 * broken links. An entry may also be missing because the directory has been moved, so the directory is read again: `undefined` if
 * it is gone.
 */
const statusesOf = Effect.fnUntraced(function* (tree: Tree, directory: Segments, entries: ReadonlyArray<Entry>) {
  const all = new Map(entries.map(({ name, status }) => [name, status]))
  let missing = entries.filter(({ status }) => status === undefined)
  for (let looks = 0; missing.length > 0; looks++) {
    const lookUp = ({ name }: Entry) =>
      Effect.map(tree.find([...directory, name]), (status) => void all.set(name, status))
    yield* Effect.forEach(missing, lookUp, { concurrency: lookAhead, discard: true })
    missing = missing.filter(({ isLink, name }) => !isLink && all.get(name) === undefined)
    if (missing.length === 0 || looks === mostLooks) break
    const now = yield* tree.entries(directory)
    if (now === undefined) return undefined
    const listed = new Set(now.map(({ name }) => name))
    missing = missing.filter(({ name }) => listed.has(name))
  }
  const found = new Map<string, FileStatus>()
  for (const [name, status] of all) if (status !== undefined) found.set(name, status)
  return found
})

/**
 * Depth first below `directory`, carrying the set of patterns that may match next: every path is visited once, however
 * many ways the pattern can match it.
 */
const walk = (
  glob: PathGlob,
  directory: Segments,
  states: ReadonlySet<number>
): Stream.Stream<FileStatus, StorageError.StorageError> => {
  const { patterns, tree } = glob
  const open = close(patterns, states)
  const names = new Set<string>()
  let listed = false
  for (const state of open) {
    const pattern = patterns[state]
    if (pattern === undefined) continue
    if (pattern._tag === "Literal") names.add(pattern.name)
    else listed = true
  }
  if (!listed) {
    const named = Array.from(names, (name): Entry => ({ name, isLink: false }))
    return Stream.fromIterable(candidatesOf(patterns, open, named)).pipe(
      Stream.flatMap(({ entry: { name }, next }) =>
        Stream.unwrap(
          Effect.map(tree.find([...directory, name]), (status) => below(glob, [...directory, name], next, status))
        )
      )
    )
  }
  return Stream.unwrap(
    // A directory that is gone has no matches.
    Effect.map(tree.entries(directory), (entries = []) =>
      walkEntries(glob, directory, candidatesOf(patterns, open, entries))
    )
  )
}

/** A glob that a backend is asked for. */
interface PathGlob {
  readonly tree: Tree
  readonly path: string
  readonly patterns: ReadonlyArray<Pattern>
}

/** An entry that may match, or lead to matches. */
interface Candidate {
  readonly entry: Entry
  readonly next: ReadonlySet<number>
}

const candidatesOf = (
  patterns: ReadonlyArray<Pattern>,
  open: ReadonlySet<number>,
  entries: ReadonlyArray<Entry>
): ReadonlyArray<Candidate> =>
  entries.map((entry) => ({ entry, next: step(patterns, open, entry) })).filter(({ next }) => next.size > 0)

/** The matches among the entries of a directory and below them. */
const walkEntries = (glob: PathGlob, directory: Segments, candidates: ReadonlyArray<Candidate>) => {
  let emitted = false
  return Stream.fromIterable(Arr.chunksOf(candidates, lookAhead)).pipe(
    Stream.mapEffect((chunk) =>
      Effect.map(
        statusesOf(
          glob.tree,
          directory,
          chunk.map(({ entry }) => entry)
        ),
        (found) => ({ chunk, found })
      )
    ),
    // What is gone from the beginning has no matches.
    Stream.takeWhile(({ found }) => found !== undefined || emitted),
    Stream.flatMap(({ chunk, found }) => {
      if (found === undefined) return Stream.fail(movedAway(glob.path, directory))
      emitted ||= found.size > 0
      return Stream.fromIterable(chunk).pipe(
        Stream.flatMap(({ entry: { name }, next }) => below(glob, [...directory, name], next, found.get(name)))
      )
    })
  )
}

/** A directory without which what was listed before is not all. */
const movedAway = (path: string, directory: Segments) =>
  fail(
    "list",
    path,
    new StorageError.Unavailable({
      detail: `${formatSegments(directory)} was moved or deleted while it was listed; list again`
    })
  )

/** A path itself if it matches, and its matches below. */
const below = (
  glob: PathGlob,
  path: Segments,
  next: ReadonlySet<number>,
  status: FileStatus | undefined
): Stream.Stream<FileStatus, StorageError.StorageError> => {
  if (status === undefined) return Stream.empty
  const here = accepts(glob.patterns, next) ? Stream.succeed(status) : Stream.empty
  return status.type === "file" ? here : Stream.concat(here, walk(glob, path, next))
}

/** `**` also matches zero segments. */
const close = (patterns: ReadonlyArray<Pattern>, states: ReadonlySet<number>): ReadonlySet<number> => {
  const open = new Set<number>()
  for (const state of states) {
    let at = state
    open.add(at)
    while (patterns[at]?._tag === "AnyDepth") open.add(++at)
  }
  return open
}

const step = (patterns: ReadonlyArray<Pattern>, open: ReadonlySet<number>, entry: Entry): ReadonlySet<number> => {
  const next = new Set<number>()
  for (const state of open) {
    const pattern = patterns[state]
    switch (pattern?._tag) {
      case "Literal":
        if (pattern.name === entry.name) next.add(state + 1)
        break
      case "Match":
        if (Glob.match(pattern.glob, entry.name)) next.add(state + 1)
        break
      case "AnyDepth":
        if (!entry.isLink) next.add(state)
        else if (state === patterns.length - 1) next.add(patterns.length)
        break
    }
  }
  return next
}

const accepts = (patterns: ReadonlyArray<Pattern>, states: ReadonlySet<number>): boolean =>
  close(patterns, states).has(patterns.length)
