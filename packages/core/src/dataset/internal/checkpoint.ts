import { Cause, Effect, Stream } from "effect"
import { dual } from "effect/Function"
import { crc32 } from "node:zlib"
import { Action } from "../../engine/Action.ts"
import * as Codec from "../../codec/Codec.ts"
import * as Commit from "../../commit/Commit.ts"
import type { OutputOptions } from "../../commit/Commit.ts"
import type { Resolved, Source, Split, Writer } from "../../task/Format.ts"
import { Corrupt, type FormatError, Unencodable } from "../../task/FormatError.ts"
import { type FileStatus, Storage } from "../../storage/Storage.ts"
import { baseName, expand, fail, storageFailed } from "../../formats/internal/inputs.ts"
import { codecOr, manyOf } from "./exchange.ts"
import { type Dataset, fromPlan, isDataset } from "./model.ts"

const format = "checkpoint"

// A file is a sequence of frames: the length of the bytes that follow, their CRC-32, and the bytes of some rows.
const HEADER = 8
const FRAME_ROWS = 4096

const writerOf = <A>(codec: Codec.Codec<A>): Writer<A> => ({
  format,
  extension: ".rows",
  encode: <E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> =>
    Stream.mapEffect(Stream.chunks(Stream.rechunk(rows, FRAME_ROWS)), (values) =>
      Codec.encode(values, manyOf(codec)).pipe(
        Effect.mapError((error) => fail(format, "", new Unencodable({ detail: error.message }))),
        Effect.map((bytes): Uint8Array => {
          const frame = Buffer.allocUnsafe(HEADER + bytes.length)
          frame.writeUInt32LE(bytes.length, 0)
          frame.writeUInt32LE(crc32(bytes), 4)
          frame.set(bytes, HEADER)
          return frame
        })
      )
    )
})

const readFrames = <A>(file: FileStatus, codec: Codec.Codec<A>): Stream.Stream<A, FormatError, Storage> =>
  Stream.unwrap(
    Effect.map(Storage, (storage) => {
      let at = 0
      const corrupt = (detail: string) => fail(format, file.path, new Corrupt({ offset: at, detail }))
      const range = (offset: number, length: number) =>
        offset + length > file.length
          ? Effect.fail(corrupt("the file ends here"))
          : Effect.map(
              Effect.mapError(storage.readRange(file.path, offset, length), storageFailed(format, file.path)),
              (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
            )
      const frame = Effect.gen(function* () {
        if (at >= file.length) return yield* Cause.done()
        const header = yield* range(at, HEADER)
        const bytes = yield* range(at + HEADER, header.readUInt32LE(0))
        if (crc32(bytes) !== header.readUInt32LE(4)) return yield* corrupt("the checksum is wrong")
        const values = yield* Effect.mapError(Codec.decode(bytes, manyOf(codec)), (error) => corrupt(error.message))
        at += HEADER + bytes.length
        return [values] as const
      })
      return Stream.flattenIterable(Stream.fromPull(Effect.succeed(frame)))
    })
  )

const sourceOf = <A>(path: string, codec: Codec.Codec<A>): Source<A> => ({
  name: format,
  detail: path,
  partitions: undefined,
  columns: undefined,
  resolve: Effect.fnUntraced(function* () {
    const files = yield* expand(format, [path])
    return {
      splits: files
        .toSorted((left, right) => (left.path < right.path ? -1 : 1))
        .map((file): Split<A> => ({
          id: `${file.path} ${file.length}`,
          label: baseName(file.path),
          parts: [{ path: file.path, offset: 0, length: file.length }],
          bytes: file.length,
          rows: undefined,
          hosts: [],
          read: readFrames(file, codec)
        }))
    } satisfies Resolved<A>
  })
})

/**
 * Writes the elements into a directory, with a checksum for every few thousand, and yields a dataset that reads them
 * from there: no earlier step runs again, whatever happens to this engine. The directory stays until somebody deletes
 * it.
 *
 * @category caching
 * @since 0.1.0
 */
export const checkpoint: {
  <A>(
    path: string,
    options?: OutputOptions & { readonly codec?: Codec.Codec<A> | undefined }
  ): <E, R>(self: Dataset<A, E, R>) => Action<Dataset<A>, E, R>
  <A, E, R>(
    self: Dataset<A, E, R>,
    path: string,
    options?: OutputOptions & { readonly codec?: Codec.Codec<A> | undefined }
  ): Action<Dataset<A>, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(
    self: Dataset<A, E, R>,
    path: string,
    options?: OutputOptions & { readonly codec?: Codec.Codec<A> | undefined }
  ): Action<Dataset<A>, E, R> => {
    const codec = codecOr(options?.codec)
    const { spec } = Commit.write<A, E, R>(self.plan, path, writerOf(codec), options)
    const dataset: Dataset<A> = fromPlan({ _tag: "Read", source: sourceOf(path, codec) })
    return new Action({ ...spec, name: `checkpoint ${path}`, drive: (run) => Effect.as(spec.drive(run), dataset) })
  }
)
