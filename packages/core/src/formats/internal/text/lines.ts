/**
 * From bytes to records that end at a line break, in pieces as large as the reads were.
 *
 * A line ends at LF, CRLF or a lone CR, as in Hadoop's `LineReader`. A range owns the lines that begin in (start, end],
 * and the first range of a file also the line at 0: so each line has exactly one owner, wherever the ranges were cut.
 */
import { isUtf8 } from "node:buffer"
import { createGunzip } from "node:zlib"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Array as Arr, Effect, Option, type Result, Stream } from "effect"
import { type Lines as LineBytes, linesOf } from "../../../codec/internal/lines.ts"
import { deferred } from "../../../task/internal/rows.ts"
import type { FilePart } from "../../../task/Format.ts"
import { Corrupt, type FormatError } from "../../../task/FormatError.ts"
import { type FileStatus, Storage } from "../../../storage/Storage.ts"
import type { StorageError } from "../../../storage/StorageError.ts"
import { readFailed, readUnchanged, readWhole } from "../changes.ts"
import { fail } from "../inputs.ts"
import { sniff } from "../magic.ts"
import { outside } from "../outside.ts"

const LF = 10
const CR = 13

/** Whole records: bytes that begin at `offset` of the (unzipped) file and end with a line break or with the file. */
export interface Piece {
  readonly bytes: Buffer
  readonly offset: number
}

export interface CutOptions {
  readonly format: string
  readonly path: string
  /** Longest record, in bytes. */
  readonly maxBytes: number
  /** The quote: line breaks inside a pair of these bytes do not end a record. Default none. */
  readonly quote?: number | undefined
  /** Whether files that are not text are read nevertheless. */
  readonly binary?: boolean | undefined
}

export const isGzip = (path: string): boolean => path.toLowerCase().endsWith(".gz")

const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

// The offset after the first line break; 0 if there is none. A CR that is the last byte counts: the caller looks for
// its LF.
const afterFirstBreak = (bytes: Buffer): number => {
  const lf = bytes.indexOf(LF)
  const cr = (lf < 0 ? bytes : bytes.subarray(0, lf)).indexOf(CR)
  return cr < 0 || cr + 1 === lf ? lf + 1 : cr + 1
}

// The offset after the last line break; 0 if there is none.
const afterLastBreak = (bytes: Buffer): number => {
  const lf = bytes.lastIndexOf(LF)
  if (lf >= 0) return lf + 1
  return bytes.length < 2 ? 0 : bytes.lastIndexOf(CR, bytes.length - 2) + 1
}

/**
 * Cuts a stream of bytes that begins at `offset` into pieces that each end with a whole record.
 *
 * RFC 4180 doubles a quote inside quotes, so whether a line break is inside quotes is the parity of the quotes before it.
 */
const cutRecords = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  offset: number,
  options: CutOptions
): Stream.Stream<Piece, E | FormatError, R> =>
  Stream.suspend(() => {
    let held: Array<Uint8Array> = []
    let heldBytes = 0
    let position = offset
    let inside = false

    const afterLastRecord = (chunk: Buffer): number => {
      const quote = options.quote
      if (quote === undefined || (!inside && chunk.indexOf(quote) < 0)) return afterLastBreak(chunk)
      let end = 0
      for (let i = 0; i < chunk.length; i++) {
        const byte = chunk[i]
        if (byte === quote) inside = !inside
        else if (!inside && (byte === LF || (byte === CR && i + 1 < chunk.length && chunk[i + 1] !== LF))) end = i + 1
      }
      return end
    }

    const take = (chunk: Buffer, end: number): Piece => {
      const piece = heldBytes === 0 ? chunk.subarray(0, end) : Buffer.concat([...held, chunk.subarray(0, end)])
      held = end === chunk.length ? [] : [chunk.subarray(end)]
      heldBytes = chunk.length - end
      const at = position
      position += piece.length
      return { bytes: piece, offset: at }
    }

    const push = (chunk: Uint8Array): Effect.Effect<ReadonlyArray<Piece>, FormatError> => {
      const buffer = toBuffer(chunk)
      const end = afterLastRecord(buffer)
      const pieces = end > 0 ? [take(buffer, end)] : []
      if (end === 0) {
        held.push(buffer)
        heldBytes += buffer.length
      }
      return heldBytes <= options.maxBytes
        ? Effect.succeed(pieces)
        : Effect.fail(
            fail(
              options.format,
              options.path,
              new Corrupt({
                offset: position,
                detail: `the record that begins here is longer than ${options.maxBytes} bytes; if that is correct, raise the limit`
              })
            )
          )
    }

    return Stream.mapEffect(bytes, push).pipe(
      Stream.concat(
        Stream.suspend(() => (heldBytes === 0 ? Stream.empty : Stream.succeed([take(Buffer.alloc(0), 0)])))
      ),
      emit
    )
  })

/** Emits arrays as they are, each as one chunk of the stream, so that what is attached to an array stays attached. */
export const emit = <A, E, R>(arrays: Stream.Stream<ReadonlyArray<A>, E, R>): Stream.Stream<A, E, R> =>
  arrays.pipe(Stream.filter(Arr.isReadonlyArrayNonEmpty), Stream.flattenArray)

const tailBytes = 64 * 1024
const maxTailBytes = 8 * 1024 * 1024

// The bytes of the lines that begin in (start, end].
const readOwned = (
  storage: Storage["Service"],
  part: FilePart,
  file: FileStatus,
  toError: (error: StorageError) => FormatError
): Stream.Stream<Uint8Array, FormatError> =>
  Stream.suspend(() => {
    const end = part.offset + part.length
    let skipping = part.offset > 0
    // The last byte was the CR of a line break that counts: an LF that follows belongs to it.
    let brokenAtCr = false

    const skip = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
      const chunk = toBuffer(bytes)
      if (brokenAtCr && chunk.length > 0) {
        brokenAtCr = false
        return chunk[0] === LF ? [chunk.subarray(1)] : [chunk]
      }
      if (!skipping) return [chunk]
      const at = afterFirstBreak(chunk)
      if (at === 0) return []
      skipping = false
      brokenAtCr = at === chunk.length && chunk[at - 1] === CR
      return brokenAtCr ? [] : [chunk.subarray(at)]
    }

    const body = storage
      .read(part.path, { offset: part.offset, length: part.length })
      .pipe(Stream.mapError(toError), Stream.map(skip), emit)

    const tail = Stream.suspend(() => {
      if (end >= file.length || skipping) return Stream.empty
      let skipLf = brokenAtCr
      let position = end
      let size = tailBytes
      let closedAtCr = false
      return emit(
        Stream.paginate(undefined, () => {
          const length = Math.min(size, file.length - position)
          return Effect.map(Effect.mapError(storage.readRange(part.path, position, length), toError), (bytes) => {
            let chunk = toBuffer(bytes)
            position += length
            size = Math.min(size * 2, maxTailBytes)
            const done = (
              found: Buffer
            ): readonly [ReadonlyArray<ReadonlyArray<Uint8Array>>, Option.Option<undefined>] => [
              [[found]],
              Option.none()
            ]
            if (closedAtCr) return done(chunk.subarray(0, chunk[0] === LF ? 1 : 0))
            if (skipLf) {
              skipLf = false
              if (chunk[0] === LF) return done(chunk.subarray(0, 0))
            }
            const at = afterFirstBreak(chunk)
            if (at > 0) {
              if (at < chunk.length || chunk[at - 1] === LF || position >= file.length)
                return done(chunk.subarray(0, at))
              closedAtCr = true
            }
            return [[[chunk]], position < file.length ? Option.some(undefined) : Option.none()] as const
          })
        })
      )
    })
    return Stream.concat(body, tail)
  })

const gunzip =
  (options: CutOptions) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
    NodeStream.pipeThroughDuplex(bytes, {
      evaluate: () => createGunzip({ chunkSize: 256 * 1024 }),
      onError: (error) =>
        fail(
          options.format,
          options.path,
          new Corrupt({ detail: `cannot be read as gzip: ${error instanceof Error ? error.message : String(error)}` })
        )
    })

/** A part to read, with the bytes of the file if they have been read already. */
export interface TextPart extends FilePart {
  readonly whole?: Result.Result<Uint8Array, FormatError> | undefined
}

// Larger files are read as they are needed.
const smallBytes = 64 * 1024

/** Reads a part ahead if it is a small file. What fails then fails when the part is read. */
export const readAhead = (format: string, part: FilePart, file: FileStatus): Effect.Effect<TextPart, never, Storage> =>
  part.length === file.length && file.length <= smallBytes && file.length > 0 && !isGzip(part.path)
    ? Effect.map(Effect.result(readWhole(format, file)), (whole) => ({ ...part, whole }))
    : Effect.succeed(part)

/** The records of a part, cut at record ends, without the byte order mark. */
export const readPieces = (
  part: TextPart,
  file: FileStatus,
  options: CutOptions
): Stream.Stream<Piece, FormatError, Storage> => {
  const { whole } = part
  if (whole === undefined || file.length > options.maxBytes) return pulled(part, file, options)
  return Stream.fromEffect(
    Effect.flatMap(Effect.fromResult(whole), (bytes) => beginning({ bytes: toBuffer(bytes), offset: 0 }, options))
  )
}

const pulled = (part: FilePart, file: FileStatus, options: CutOptions): Stream.Stream<Piece, FormatError, Storage> =>
  Stream.unwrap(
    Effect.map(Storage, (storage) => {
      const toError = readFailed(options.format, part.path)
      const bytes = isGzip(part.path)
        ? gunzip(options)(Stream.mapError(storage.read(part.path, { offset: 0, length: file.length }), toError))
        : readOwned(storage, part, file, toError)
      return readUnchanged(
        options.format,
        file,
        Stream.mapEffect(cutRecords(bytes, part.offset, options), (piece) =>
          piece.offset === 0 ? beginning(piece, options) : Effect.succeed(piece)
        )
      )
    })
  )

// The first bytes of a file tell its kind, and may have a mark to leave out.
const beginning = (piece: Piece, options: CutOptions): Effect.Effect<Piece, FormatError> => {
  const { bytes } = piece
  const found = options.binary === true ? undefined : sniff(bytes)
  if (found !== undefined)
    return Effect.fail(fail(options.format, options.path, new Corrupt({ detail: `this is ${found}` })))
  return Effect.succeed(
    bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? { bytes: bytes.subarray(3), offset: 3 } : piece
  )
}

/** Where the first byte that is not UTF-8 is. */
const firstInvalid = (bytes: Buffer): number => {
  let at = 0
  for (const char of bytes.toString("utf8")) {
    const length = Buffer.byteLength(char)
    if (char === "\uFFFD" && !(bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd)) return at
    at += length
  }
  return at
}

/** The text of a piece; bytes that are not UTF-8 are an error, or U+FFFD with `replace`. */
export const decodePiece = (
  piece: Piece,
  options: CutOptions,
  encoding: "utf-8" | "replace"
): Effect.Effect<string, FormatError> =>
  encoding === "replace" || isUtf8(piece.bytes)
    ? Effect.succeed(piece.bytes.toString("utf8"))
    : Effect.fail(
        fail(
          options.format,
          options.path,
          new Corrupt({
            offset: piece.offset + firstInvalid(piece.bytes),
            detail: `not UTF-8${options.format === "text" ? '; pass encoding "replace" to read such bytes as U+FFFD' : ""}`
          })
        )
      )

/** The lines of a text, without their breaks. */
const splitLines = (text: string): Array<string> => {
  const lines = text.includes("\r") ? text.split(/\r\n?|\n/) : text.split("\n")
  // A text that ends with a line break does not have one more line.
  if (lines[lines.length - 1] === "") lines.pop()
  return lines
}

export interface LineOptions {
  /** `"utf-8"` fails on other bytes, `"replace"` reads them as U+FFFD, and `"mark"` also says which lines have some. */
  readonly encoding: "utf-8" | "replace" | "mark"
  readonly maxBytes: number
}

/** Some consecutive lines of a file. */
export interface Lines {
  readonly path: string
  /** The first, counted from 0. */
  readonly firstLine: number
  /** The byte after which lines are counted, if that is not the beginning of the file. */
  readonly afterByte: number | undefined
  readonly lines: Array<string>
  /** Whether a line has bytes that are not UTF-8. */
  readonly isBad: ((index: number) => boolean) | undefined
}

/** The byte after which the lines of a part are counted. */
export const afterByteOf = (part: FilePart): number | undefined => (part.offset === 0 ? undefined : part.offset)

// For each line whether its bytes are UTF-8. A line break is a byte of its own in UTF-8, whatever is around it.
const badLines = (bytes: Buffer): ((index: number) => boolean) => {
  const lines = splitLines(bytes.toString("latin1"))
  return (index) => !isUtf8(Buffer.from(lines[index] ?? outside(index), "latin1"))
}

/** The lines of a part as bytes. Where they are UTF-8, these are the bytes of the file. */
export const readBytesOfLines = (
  format: string,
  part: TextPart,
  file: FileStatus,
  { encoding, maxBytes }: { readonly encoding: "utf-8" | "replace"; readonly maxBytes: number }
): Stream.Stream<LineBytes, FormatError, Storage> =>
  Stream.suspend(() => {
    const cut: CutOptions = { format, path: part.path, maxBytes, binary: encoding === "replace" }
    return Stream.mapEffect(readPieces(part, file, cut), (piece) =>
      isUtf8(piece.bytes)
        ? Effect.succeed(linesOf(piece.bytes))
        : Effect.map(decodePiece(piece, cut, encoding), (text) => linesOf(Buffer.from(text)))
    )
  })

/** The lines of a part, in arrays as large as the reads were. */
export const readLines = (
  format: string,
  part: TextPart,
  file: FileStatus,
  options: LineOptions
): Stream.Stream<Lines, FormatError, Storage> =>
  deferred(() => {
    const { encoding } = options
    const cut: CutOptions = {
      format,
      path: part.path,
      maxBytes: options.maxBytes,
      binary: encoding === "replace"
    }
    let row = 0
    return Stream.mapEffect(readPieces(part, file, cut), (piece) =>
      Effect.map(decodePiece(piece, cut, encoding === "utf-8" ? "utf-8" : "replace"), (text): Lines => {
        const lines = splitLines(text)
        const firstLine = row
        row += lines.length
        const isBad = encoding === "mark" && !isUtf8(piece.bytes) ? badLines(piece.bytes) : undefined
        return { path: part.path, firstLine, afterByte: afterByteOf(part), lines, isBad }
      })
    )
  })
