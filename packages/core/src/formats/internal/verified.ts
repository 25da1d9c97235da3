/** Sources that read only the files that the manifest of an output names. */
import { crc32 } from "node:zlib"
import { Effect, Option, Schema, Stream } from "effect"
import type { Source, Split, VerifyOptions } from "../../task/Format.ts"
import { ManifestMismatch } from "../../task/FormatError.ts"
import { Storage } from "../../storage/Storage.ts"
import { below } from "./folderNames.ts"
import { fail, isGlob, storageFailed } from "./inputs.ts"

// The part of a manifest (`Commit.Manifest`) that describes the bytes.
const Files = Schema.fromJsonString(
  Schema.Struct({
    version: Schema.Literal(1),
    files: Schema.Array(
      Schema.Struct({
        // Anybody may have written the manifest, so a name in it must not lead out of the output.
        path: Schema.String.check(Schema.isPattern(/^(?!.*(?:^|\/)\.{0,2}(?:\/|$))[^\0]+$/)),
        bytes: Schema.Number,
        checksum: Schema.String.check(Schema.isPattern(/^crc32:[0-9a-f]{8}$/))
      })
    )
  })
)

interface Named {
  /** As the storage lists it. */
  readonly path: string
  readonly checksum: string
}

const mismatch = (format: string, path: string, detail: string) => fail(format, path, new ManifestMismatch({ detail }))

const namedBy = Effect.fnUntraced(function* (format: string, directory: string) {
  const storage = yield* Storage
  const path = `${directory.replace(/\/+$/, "")}/_SUCCESS`
  const text = yield* storage.stat(path).pipe(
    Effect.flatMap(({ length }) => storage.readRange(path, 0, length)),
    Effect.map((bytes) => Buffer.from(bytes).toString("utf8")),
    Effect.mapError((error) =>
      error.reason._tag === "NotFound" || error.reason._tag === "NotADirectory"
        ? mismatch(format, directory, "has no _SUCCESS file to verify it by")
        : storageFailed(format, path)(error)
    )
  )
  const { files } = yield* Schema.decodeEffect(Files)(text).pipe(
    Effect.mapError((error) => mismatch(format, path, `is not a manifest of this version: ${error.message}`))
  )
  return yield* Effect.forEach(
    files,
    Effect.fnUntraced(function* ({ bytes, checksum, path: name }) {
      const path = below(directory, name)
      const status = yield* Effect.mapError(storage.stat(path), (error) =>
        error.reason._tag === "NotFound" || error.reason._tag === "NotADirectory"
          ? mismatch(format, path, "is missing, although the manifest names it")
          : storageFailed(format, path)(error)
      )
      if (status.type === "directory" || status.length !== bytes) {
        const found = status.type === "directory" ? "is a directory" : `has ${status.length} bytes`
        return yield* mismatch(format, path, `${found}, the manifest says ${bytes} bytes`)
      }
      return { path: status.path, checksum } satisfies Named
    }),
    { concurrency: 16 }
  )
})

/** Reads a file from its beginning to its end, in pieces that are not kept. */
const check = Effect.fnUntraced(function* (format: string, { checksum, path }: Named) {
  const storage = yield* Storage
  const sum = yield* Stream.runFold(
    storage.read(path),
    () => 0,
    (crc, piece) => crc32(piece, crc)
  ).pipe(Effect.mapError(storageFailed(format, path)))
  const found = `crc32:${sum.toString(16).padStart(8, "0")}`
  if (found !== checksum) {
    return yield* mismatch(format, path, `has the checksum ${found}, the manifest says ${checksum}`)
  }
})

const verified = <A>(paths: ReadonlyArray<string>, make: (paths: ReadonlyArray<string>) => Source<A>): Source<A> => {
  const plain = make(paths)
  const { name, project, restrict } = plain
  const glob = paths.find(isGlob)
  return {
    ...plain,
    detail: `${plain.detail} verify="manifest"`,
    invalid:
      plain.invalid ?? (glob === undefined ? undefined : `verify: "manifest" needs a directory, but ${glob} is a glob`),
    ...(project === undefined
      ? {}
      : { project: (columns) => verified(paths, (paths) => make(paths).project?.(columns) ?? make(paths)) }),
    ...(restrict === undefined
      ? {}
      : { restrict: (where) => verified(paths, (paths) => make(paths).restrict?.(where) ?? make(paths)) }),
    resolve: Effect.fn("Format.resolve")(function* (split) {
      const named = (yield* Effect.forEach(paths, (path) => namedBy(name, path))).flat()
      if (named.length === 0) return { splits: [] }
      const unchecked = new Map(named.map((file) => [file.path, file]))
      const resolved = yield* make(named.map((file) => file.path)).resolve(split)
      const splits = resolved.splits.map((split): Split<A> => {
        // The first task to read a file reads all of it once beforehand.
        const first = split.parts.flatMap(({ path }) => {
          const file = Option.fromUndefinedOr(unchecked.get(path))
          unchecked.delete(path)
          return Option.toArray(file)
        })
        const checks = Effect.forEach(first, (file) => check(name, file), { discard: true })
        return { ...split, read: Stream.unwrap(Effect.as(checks, split.read)) }
      })
      return { ...resolved, splits }
    })
  }
}

/** The source of some paths, or of the files that their manifests name. */
export const verifiedOr = <A>(
  options: VerifyOptions | undefined,
  paths: ReadonlyArray<string>,
  make: (paths: ReadonlyArray<string>) => Source<A>
): Source<A> => (options?.verify === "manifest" ? verified(paths, make) : make(paths))
