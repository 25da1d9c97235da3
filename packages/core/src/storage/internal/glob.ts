import { Effect, Glob, Stream } from "effect"
import type { FileStatus } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { fail, type Pattern, type Segments } from "./path.ts"

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
  /** In code point order; empty if the directory is gone. */
  readonly entries: (segments: Segments) => Effect.Effect<ReadonlyArray<Entry>, StorageError.StorageError>
}

const isDefined = <A>(a: A | undefined): a is A => a !== undefined

/** How many entries are looked up at once, and ahead of the consumer. */
const lookAhead = 64

/** The `list` of {@link Backend}. Only directories on the way of the patterns are read. */
export const list = (
  tree: Tree,
  path: string,
  patterns: ReadonlyArray<Pattern>
): Stream.Stream<FileStatus, StorageError.StorageError> => {
  const literals: Array<string> = []
  for (const pattern of patterns) {
    if (pattern._tag !== "Literal") return walk(tree, patterns, literals, new Set([literals.length]))
    literals.push(pattern.name)
  }
  return Stream.unwrap(
    Effect.gen(function* () {
      const status = yield* tree.find(literals)
      if (status === undefined) return Stream.fail(fail("list", path, new StorageError.NotFound()))
      if (status.type === "file") return Stream.succeed(status)
      const entries = yield* tree.entries(literals)
      return Stream.fromIterable(entries, { chunkSize: lookAhead }).pipe(
        Stream.mapArrayEffect((chunk) =>
          Effect.forEach(chunk, (entry) => statusOf(tree, [...literals, entry.name], entry), {
            concurrency: lookAhead
          })
        ),
        // An entry deleted since the directory was read, or a broken link.
        Stream.filter(isDefined)
      )
    })
  )
}

const statusOf = (tree: Tree, path: Segments, { status }: Entry) =>
  status === undefined ? tree.find(path) : Effect.succeed(status)

/**
 * Depth first below `directory`, carrying the set of patterns that may match next: every path is visited once, however
 * many ways the pattern can match it.
 */
const walk = (
  tree: Tree,
  patterns: ReadonlyArray<Pattern>,
  directory: Segments,
  states: ReadonlySet<number>
): Stream.Stream<FileStatus, StorageError.StorageError> => {
  const open = close(patterns, states)
  const names = new Set<string>()
  let listed = false
  for (const state of open) {
    const pattern = patterns[state]
    if (pattern === undefined) continue
    if (pattern._tag === "Literal") names.add(pattern.name)
    else listed = true
  }
  if (!listed && names.size === 0) return Stream.empty
  const entries = listed
    ? tree.entries(directory)
    : Effect.succeed(Array.from(names, (name): Entry => ({ name, isLink: false })))
  return Stream.unwrap(
    Effect.map(entries, (entries) => {
      const candidates: Array<readonly [entry: Entry, next: ReadonlySet<number>]> = []
      for (const entry of entries) {
        const next = step(patterns, open, entry)
        if (next.size > 0) candidates.push([entry, next])
      }
      return Stream.fromIterable(candidates).pipe(
        Stream.flatMap(([entry, next]) => {
          const path = [...directory, entry.name]
          return Stream.unwrap(
            Effect.map(statusOf(tree, path, entry), (status) => {
              if (status === undefined) return Stream.empty
              const here = accepts(patterns, next) ? Stream.succeed(status) : Stream.empty
              return status.type === "file" ? here : Stream.concat(here, walk(tree, patterns, path, next))
            })
          )
        })
      )
    })
  )
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
