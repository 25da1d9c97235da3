/** Sources over files that are cut by bytes. */
import { createHash } from "node:crypto"
import { Array as Arr, Effect, Stream } from "effect"
import type { Lines } from "../../codec/internal/lines.ts"
import type { ColumnCondition } from "../../task/Condition.ts"
import type { Places, Resolved, Source, SplitOptions } from "../../task/Format.ts"
import { Corrupt, type FormatError } from "../../task/FormatError.ts"
import { type FileStatus, Storage } from "../../storage/Storage.ts"
import type { Folders } from "./folders.ts"
import { emit, isGzip, readAhead, type TextPart } from "./text/lines.ts"
import { expand, fail, storageFailed } from "./inputs.ts"
import type { Problem } from "../../codec/internal/checks.ts"
import { sniff } from "./magic.ts"
import { cut, pack, type PlannedSplit, spread, type Unit } from "./splits.ts"

type ReadPart<A> = (part: TextPart, file: FileStatus) => Stream.Stream<ReadonlyArray<A>, FormatError, Storage>
type Part = readonly [part: TextPart, file: FileStatus]

const readParts = <A>(
  parts: Stream.Stream<Part, FormatError, Storage>,
  read: ReadPart<A>
): Stream.Stream<A, FormatError, Storage> => Stream.flatMap(parts, ([part, file]) => emit(read(part, file)))

// A small file takes longer to open than to read, so this many are read before the first of them is looked at.
const lookAhead = 16

const partsAhead = (format: string, parts: ReadonlyArray<Part>): Stream.Stream<Part, never, Storage> =>
  parts.length === 1
    ? Stream.fromArray(parts)
    : Stream.fromArray(Arr.chunksOf(parts, lookAhead)).pipe(
        Stream.mapEffect((some) =>
          Effect.forEach(
            some,
            ([part, file]) => Effect.map(readAhead(format, part, file), (part): Part => [part, file]),
            { concurrency: lookAhead }
          )
        ),
        emit
      )

const partsOf = (split: PlannedSplit): ReadonlyArray<Part> =>
  split.parts.flatMap((part, i) => {
    const file = split.files[i]
    return file === undefined ? [] : [[part, file] as const]
  })

const inOrder = (ahead: string | undefined, split: PlannedSplit): Stream.Stream<Part, never, Storage> =>
  ahead === undefined ? Stream.fromArray(partsOf(split)) : partsAhead(ahead, partsOf(split))

// Each part has its share of the places, by its bytes.
const placesOf = <A>(
  split: PlannedSplit,
  count: number,
  splittable: (file: FileStatus) => boolean,
  read: ReadPart<A>
): Places<A> | undefined => {
  const parts = partsOf(split)
  const places = parts.flatMap(([part, file]) =>
    splittable(file)
      ? spread(part, Math.ceil((count * part.length) / split.bytes)).map((place) => [place, file] as const)
      : [[part, file] as const]
  )
  return places.length === parts.length
    ? undefined
    : { bytes: places.reduce((sum, [{ length }]) => sum + length, 0), read: readParts(Stream.fromArray(places), read) }
}

/** The partitions of a source whose parts are read one after another. */
export const toResolved = <A>(
  planned: ReadonlyArray<PlannedSplit>,
  read: ReadPart<A>,
  {
    ahead,
    readLines,
    rowsOf,
    splittable
  }: {
    /** The name of a format of text, whose small files are read ahead. */
    readonly ahead?: string | undefined
    readonly rowsOf?: ((element: A) => number) | undefined
    readonly readLines?: ((part: TextPart, file: FileStatus) => Stream.Stream<Lines, FormatError, Storage>) | undefined
    /** The files that can be read from any place. */
    readonly splittable?: ((file: FileStatus) => boolean) | undefined
  }
): Resolved<A> => ({
  splits: planned.map((split) => ({
    id: split.id,
    label: split.label,
    parts: split.parts,
    bytes: split.bytes,
    rows: split.rows,
    hosts: split.hosts,
    ...(rowsOf === undefined ? {} : { rowsOf }),
    ...(splittable === undefined ? {} : { places: (count) => placesOf(split, count, splittable, read) }),
    ...(readLines === undefined
      ? {}
      : { lines: Stream.flatMap(inOrder(ahead, split), ([part, file]) => readLines(part, file)) }),
    read: readParts(inOrder(ahead, split), read)
  }))
})

/** Settings as `explain` prints them: only those that are set, in the order of their names. */
export const detail = (
  paths: ReadonlyArray<string>,
  settings: Readonly<Record<string, string | number | boolean | ReadonlyArray<string> | undefined>>
): string => {
  const set = Object.keys(settings)
    .toSorted()
    .filter((key) => settings[key] !== undefined)
    .map((key) => `${key}=${JSON.stringify(settings[key])}`)
  return [paths.join(", "), ...set].join(" ")
}

/** A short hash for `detail`, of text that is too long to print there. */
export const fingerprint = (value: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner)))
    .digest("hex")
    .slice(0, 12)

/** Lists the files and cuts those that can be cut. */
const planByBytes = Effect.fnUntraced(function* (
  format: string,
  paths: ReadonlyArray<string>,
  options: SplitOptions,
  splittable: (file: FileStatus) => boolean,
  folders: Folders<unknown> | undefined
) {
  const storage = yield* Storage
  const found = yield* expand(format, paths)
  const files = folders === undefined ? found : yield* folders.select(found)
  const units = yield* Effect.forEach(
    files,
    (file) =>
      Effect.map(
        Effect.mapError(storage.blocks(file.path, file), storageFailed(format, file.path)),
        (blocks): ReadonlyArray<Unit> => cut(file, blocks, { ...options, splittable: splittable(file) })
      ),
    { concurrency: 16 }
  )
  return { files, planned: pack(units.flat(), options) }
})

const headBytes = 64

// A file that cannot be read as text may not be text at all, which a split after the beginning of the file cannot see.
const explain = (format: string, file: FileStatus, error: FormatError): Effect.Effect<never, FormatError, Storage> => {
  const { _tag } = error.reason
  if (_tag !== "Corrupt" && _tag !== "InvalidRow" && _tag !== "SchemaMismatch") return Effect.fail(error)
  return Effect.gen(function* () {
    const storage = yield* Storage
    const head = yield* Effect.orElseSucceed(
      storage.readRange(file.path, 0, Math.min(headBytes, file.length)),
      () => new Uint8Array()
    )
    const found = sniff(head)
    // A file with this name is unpacked, and its content is what counts.
    const is = found === undefined || (isGzip(file.path) && found.startsWith("a gzip")) ? undefined : found
    return yield* is === undefined
      ? Effect.fail(error)
      : Effect.fail(fail(format, file.path, new Corrupt({ detail: `this is ${is}` })))
  })
}

/** A source whose files are cut by bytes. */
export const bytesSource = <A, P = void>({
  folders,
  ...options
}: {
  readonly name: string
  readonly detail: string
  readonly paths: ReadonlyArray<string>
  readonly columns: ReadonlyArray<string> | undefined
  readonly invalid: Problem
  /** Selects the files by the columns that are in their paths. */
  readonly folders?: Folders<unknown> | undefined
  readonly restrict?: ((where: ReadonlyArray<ColumnCondition>) => Source<A>) | undefined
  readonly restricted?: ReadonlyArray<ColumnCondition> | undefined
  readonly splittable: (file: FileStatus) => boolean
  /** Whether a sample may be drawn from any places of the files that can be cut. */
  readonly hasPlaces?: boolean | undefined
  /** Reads the rows as bytes, if they are lines of text. */
  readonly readLines?: ((part: TextPart, file: FileStatus) => Stream.Stream<Lines, FormatError, Storage>) | undefined
  /** What must be checked before the first row is read. */
  readonly prepare: (files: ReadonlyArray<FileStatus>) => Effect.Effect<P, FormatError, Storage>
  readonly read: (
    part: TextPart,
    file: FileStatus,
    prepared: P
  ) => Stream.Stream<ReadonlyArray<A>, FormatError, Storage>
}): Source<A> => ({
  name: options.name,
  detail: options.detail,
  partitions: undefined,
  columns: options.columns,
  invalid: options.invalid,
  ...(folders === undefined ? {} : { restrict: options.restrict, restricted: options.restricted }),
  resolve: Effect.fn("Format.resolve")(function* (split) {
    const { files, planned } = yield* planByBytes(options.name, options.paths, split, options.splittable, folders)
    const prepared = yield* Effect.catch(options.prepare(files), (error) => {
      const file = files.find((file) => file.path === error.path)
      return file === undefined ? Effect.fail(error) : explain(options.name, file, error)
    })
    const explained = <B>(file: FileStatus, rows: Stream.Stream<B, FormatError, Storage>) =>
      Stream.catch(rows, (error) => Stream.fromEffect(explain(options.name, file, error)))
    const { hasPlaces, readLines, splittable } = options
    const resolved = toResolved(planned, (part, file) => explained(file, options.read(part, file, prepared)), {
      ahead: options.name,
      ...(hasPlaces === true ? { splittable } : {}),
      ...(readLines === undefined
        ? {}
        : { readLines: (part: TextPart, file: FileStatus) => explained(file, readLines(part, file)) })
    })
    return folders === undefined ? resolved : { ...resolved, note: folders.note() }
  })
})
