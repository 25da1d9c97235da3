import { Effect, Glob } from "effect"
import type { ByteRange } from "./model.ts"
import * as StorageError from "../StorageError.ts"

/** The names from the root down; the root itself is the empty list. */
export type Segments = ReadonlyArray<string>

export const fail = (operation: string, path: string, reason: StorageError.Reason): StorageError.StorageError =>
  new StorageError.StorageError({ operation, path, reason })

const invalid = (operation: string, path: string, detail: string): Effect.Effect<never, StorageError.StorageError> =>
  Effect.fail(fail(operation, path, new StorageError.InvalidPath({ detail })))

const schemePattern = /^([A-Za-z][A-Za-z0-9+.-]+):/

/** The scheme of a path. `a:b.txt` has none: a scheme needs a slash after it, or `isKnown` to say so. */
export const schemeOf = (path: string, isKnown: (scheme: string) => boolean): string | undefined => {
  const match = schemePattern.exec(path)
  if (match === null || match[1] === undefined) return undefined
  const scheme = match[1].toLowerCase()
  return path.charAt(match[0].length) === "/" || isKnown(scheme) ? scheme : undefined
}

/**
 * The names along a path. A path without a scheme is resolved against `base`; without `base`, a path needs a scheme.
 * Percent-escaped characters, and `base`, pass through `literal`, so that they are not taken for a glob.
 */
const resolve = Effect.fnUntraced(function* (
  operation: string,
  path: string,
  scheme: string,
  base: (() => Segments) | undefined,
  literal: (name: string) => string
) {
  if (path.length === 0) return yield* invalid(operation, path, "the path is empty")
  if (path.includes("\0")) return yield* invalid(operation, path, "a path cannot contain a NUL character")
  const named = schemeOf(path, (known) => known === scheme)
  if (named === undefined) {
    if (base === undefined) {
      return yield* invalid(operation, path, `the path has no scheme; write it as ${scheme}:///name`)
    }
    const segments = path.split("/")
    return yield* normalize(operation, path, path.startsWith("/") ? segments : [...base().map(literal), ...segments])
  }
  if (named !== scheme) {
    return yield* invalid(operation, path, `the scheme is ${named}:, but this storage has only ${scheme}:`)
  }
  let rest = path.slice(scheme.length + 1)
  if (rest.startsWith("//")) {
    const end = rest.indexOf("/", 2)
    const host = end === -1 ? rest.slice(2) : rest.slice(2, end)
    if (host !== "" && host !== "localhost") {
      return yield* invalid(
        operation,
        path,
        `a ${scheme}: URI has no host, but this one names ${host}; write it with three slashes, ${scheme}:///${host}`
      )
    }
    rest = end === -1 ? "/" : rest.slice(end)
  }
  if (!rest.startsWith("/")) {
    return yield* invalid(operation, path, `a ${scheme}: URI must be absolute; write it as ${scheme}:///name`)
  }
  return yield* decodeSegments(operation, path, rest, literal)
})

/**
 * The names of the path of a URI, with percent escapes decoded and `.` and `..` resolved. Escaped characters pass
 * through `literal`.
 */
export const decodeSegments = (
  operation: string,
  uri: string,
  path: string,
  literal: (name: string) => string = (name) => name
): Effect.Effect<Segments, StorageError.StorageError> =>
  Effect.flatMap(
    Effect.try({
      try: () => path.split("/").map((segment) => decode(segment, literal)),
      catch: () =>
        fail(
          operation,
          uri,
          new StorageError.InvalidPath({
            detail:
              "the URI has a percent escape that is not UTF-8 or stands for a slash or NUL; write a percent sign as %25"
          })
        )
    }),
    (decoded) => normalize(operation, uri, decoded)
  )

const decode = (segment: string, literal: (name: string) => string): string =>
  segment.replace(/(?:%[0-9A-Fa-f]{2})+|%/g, (escapes) => {
    const decoded = decodeURIComponent(escapes)
    if (decoded.includes("/") || decoded.includes("\0")) throw new URIError(escapes)
    return literal(decoded)
  })

const normalize = (operation: string, path: string, segments: Segments) => {
  const out: Array<string> = []
  for (const segment of segments) {
    if (segment === "" || segment === ".") continue
    if (segment !== "..") {
      out.push(segment)
    } else if (out.pop() === undefined) {
      return invalid(operation, path, "`..` leads above the root")
    }
  }
  return Effect.succeed<Segments>(out)
}

/** A path that names one file or directory, without a glob. */
export const parse = (operation: string, path: string, scheme: string, base?: () => Segments) =>
  resolve(operation, path, scheme, base, (name) => name)

/** One segment of a glob. */
export type Pattern =
  | { readonly _tag: "Literal"; readonly name: string }
  | { readonly _tag: "Match"; readonly glob: Glob.Glob }
  | { readonly _tag: "AnyDepth" }

const hasGlob = /^(?:[^\\*?[{]|\\.)*[*?[{]/s

/** A path whose segments may be globs. */
export const parseGlob = Effect.fnUntraced(function* (
  operation: string,
  path: string,
  scheme: string,
  base?: () => Segments
) {
  return patternsOf(yield* resolve(operation, path, scheme, base, Glob.escape))
})

/** The patterns that segments stand for. A name that was escaped by `Glob.escape` stands for itself. */
export const patternsOf = (segments: Segments): ReadonlyArray<Pattern> => {
  const patterns: Array<Pattern> = []
  for (const segment of segments) {
    if (segment === "**") {
      if (patterns.at(-1)?._tag !== "AnyDepth") patterns.push({ _tag: "AnyDepth" })
    } else if (hasGlob.test(segment)) {
      patterns.push({ _tag: "Match", glob: Glob.make(segment, { dot: true }) })
    } else {
      patterns.push({ _tag: "Literal", name: segment.replace(/\\(.)/gs, "$1") })
    }
  }
  return patterns
}

/** The URI of a path, from which {@link parse} and {@link parseGlob} yield the same path. */
export const format = (scheme: string, segments: Segments): string => `${scheme}://${formatSegments(segments)}`

/** The path of a URI. */
export const formatSegments = (segments: Segments): string => `/${segments.map(formatSegment).join("/")}`

const formatSegment = (segment: string): string =>
  encodeURIComponent(segment.toWellFormed())
    .replace(/%(?:2[46BC]|3[ABD]|40)/g, decodeURIComponent)
    .replace(/\*/g, "%2A")

/** Orders by code point, as UTF-8 bytes do; `<` on strings orders by UTF-16 unit. */
export const compareCodePoints = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return codePointRank(x) - codePointRank(y)
  }
  return a.length - b.length
}

// Surrogates (code points above U+FFFF) go after U+E000..U+FFFF.
const codePointRank = (unit: number): number => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit)

/** Where a range starts and ends in a file of `size` bytes. */
export const resolveRange = (
  operation: string,
  path: string,
  size: number,
  range: ByteRange | undefined
): Effect.Effect<{ readonly start: number; readonly end: number }, StorageError.StorageError> => {
  const start = range?.offset ?? 0
  const length = range?.length ?? Math.max(0, size - start)
  // As in Hadoop, a negative offset is an end-of-file error too.
  return Number.isSafeInteger(start) &&
    Number.isSafeInteger(length) &&
    start >= 0 &&
    length >= 0 &&
    start + length <= size
    ? Effect.succeed({ start, end: start + length })
    : Effect.fail(fail(operation, path, new StorageError.EndOfFile({ offset: start, length, available: size })))
}

export const rootIsKept = new StorageError.InvalidPath({ detail: "the root is never deleted" })

/** The reason that forbids a rename, whatever the storage holds. */
export const renameObstacle = (
  source: Segments,
  target: Segments
): { readonly isSource: boolean; readonly reason: StorageError.Reason } | undefined => {
  if (source.length === 0) {
    return { isSource: true, reason: new StorageError.InvalidPath({ detail: "the root cannot be renamed" }) }
  }
  if (target.length > source.length && source.every((name, i) => name === target[i])) {
    return {
      isSource: false,
      reason: new StorageError.InvalidPath({ detail: "is inside the directory that is to be renamed" })
    }
  }
  return undefined
}
