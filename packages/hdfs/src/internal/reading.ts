import { Effect, Stream } from "effect"
import type { HdfsConfig } from "../HdfsConfig.ts"
import * as E from "../HdfsError.ts"
import type * as M from "../HdfsModel.ts"
import type { Blocks } from "./blocks.ts"
import type { OpenOptions, RangeOptions, Reads, Status } from "./contract.ts"
import type * as WebHdfs from "./webhdfs.ts"

/** The questions that reading asks the NameNode. */
type Asks = Pick<Status, "getFileStatus" | "getFileBlockLocations">

/** A read, which ends at `end` with every byte before it, or fails. */
interface Reading {
  readonly path: string
  readonly options: OpenOptions
  /** The file as it was when the read began; unknown for a range that is read without a status. */
  readonly status: M.FileStatus | undefined
  /** The next byte. */
  position: number
  /** The byte after the last. */
  readonly end: number
  /** Hosts that failed, for the NameNode to leave out. */
  readonly failed: Set<string>
  /** How often the file was opened. */
  opened: number
  /** Failures without enough progress between them, and the bytes since the last failure. */
  failures: number
  progress: number
  /** The preferred host (`options.preferHost`), until it fails. */
  blocks: ReadonlyArray<M.BlockLocation> | undefined
}

/**
 * After this many bytes the count of failures starts again, so a server that breaks after each byte is still given up.
 */
const progressBytes = 1024 * 1024

/** From this many bytes on, the file of a range is looked up first. */
const largeRange = 64 * 1024 * 1024

/** Errors after which the same bytes may come from somewhere else. */
const elsewhere = (error: E.HdfsError): boolean => {
  switch (error.reason._tag) {
    case "Connection":
    case "Tls":
    case "UnexpectedEnd":
    case "Retriable":
    case "Standby":
      return true
    case "Timeout":
      return error.reason.phase !== "operation"
    default:
      return false
  }
}

const isCount = (value: number | undefined): boolean =>
  value === undefined || (Number.isSafeInteger(value) && value >= 0)

/** A reader of files, and its settings. */
interface Reader {
  readonly web: WebHdfs.WebHdfs
  readonly config: HdfsConfig["Service"]
  readonly known: Blocks
  readonly asks: Asks
}

const call = (path: string): WebHdfs.Call => ({ method: "GET", operation: "OPEN", path })

/** The next bytes that one server has, and the hosts to exclude if a host is preferred. */
const piece = ({ blocks, end, options, position }: Reading) => {
  // For bytes that the list does not cover, the NameNode decides.
  const block = blocks?.find(({ length, offset }) => offset <= position && position < offset + length)
  if (block === undefined) return { end, others: [] }
  const preferred = block.hosts.includes(options.preferHost ?? "")
  return {
    end: Math.min(end, block.offset + block.length),
    others: preferred ? block.names.filter((_, i) => block.hosts[i] !== options.preferHost) : []
  }
}

/** Where the next bytes are. */
const place = Effect.fnUntraced(function* (reader: Reader, reading: Reading) {
  const { options, path, position } = reading
  const { end, others } = piece(reading)
  const excluded = [...others, ...reader.known.addresses(reading.failed)]
  const exchange = yield* reader.web.locate({
    ...call(path),
    params: {
      offset: position,
      // There is nothing to read, but the server says whether the file may be read.
      length: end === position ? undefined : end - position,
      buffersize: options.bufferSize,
      excludedatanodes: excluded.length === 0 ? undefined : excluded.join(",")
    }
  })
  return { exchange, end }
})

const openAt = (
  reader: Reader,
  reading: Reading,
  { end, exchange }: Effect.Success<ReturnType<typeof place>>
): Stream.Stream<Uint8Array, E.HdfsError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { options, path, position } = reading
      const wanted = end - position
      const { head, stream } = yield* reader.web.transport.bytes(exchange, wanted, options.buffer, (count) => {
        reading.position += count
        reading.progress += count
        options.onBytes?.(exchange.url.hostname, count)
      })
      const failed = (reason: E.Reason) => reader.web.fail(call(path), reason, exchange.url.host)
      if (head.status !== 200) {
        return yield* failed(new E.Protocol({ detail: `status ${head.status} instead of the bytes` }))
      }
      const type = String(head.headers["content-type"] ?? "").toLowerCase()
      if (type.startsWith("text/html") || type.startsWith("application/json")) {
        const page = type.startsWith("text/html") ? "an HTML page" : "JSON"
        return yield* failed(new E.Protocol({ detail: `${page} instead of the bytes` }))
      }
      const length = head.headers["content-length"] === undefined ? wanted : Number(head.headers["content-length"])
      if (length < wanted) return yield* failed(new E.UnexpectedEnd({ position: position + length, expected: end }))
      return Stream.concat(
        stream,
        Stream.suspend(() =>
          reading.position === end
            ? Stream.empty
            : Stream.fail(failed(new E.UnexpectedEnd({ position: reading.position, expected: end })))
        )
      )
    })
  )

/** The status of the file, which must still be the file of which the read began. */
const unchanged = Effect.fnUntraced(function* (reader: Reader, reading: Reading, endpoint?: string) {
  const now = yield* reader.asks.getFileStatus(reading.path)
  const before = reading.status
  if (
    before !== undefined &&
    (now.length !== before.length || now.modificationTime !== before.modificationTime || now.fileId !== before.fileId)
  ) {
    return yield* reader.web.fail(
      call(reading.path),
      new E.FileChanged({
        detail: `it has changed since the read began; the read had reached offset ${reading.position}`
      }),
      endpoint
    )
  }
  return now
})

const resume = (reader: Reader, reading: Reading, error: E.HdfsError): Stream.Stream<Uint8Array, E.HdfsError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      if (reading.progress >= progressBytes) reading.failures = 0
      reading.progress = 0
      reading.failures++
      if (reading.blocks !== undefined && (elsewhere(error) || error.reason._tag === "BlockMissing")) {
        // The preferred host fails, so the NameNode chooses.
        reading.blocks = undefined
        if (error.reason._tag === "BlockMissing") return attempt(reader, reading)
      }
      // Every host with the bytes has failed once: they are asked again.
      const exhausted = error.reason._tag === "BlockMissing" && reading.failed.size > 0
      if (exhausted) reading.failed.clear()
      const again = new E.HdfsError({
        operation: "OPEN",
        path: reading.path,
        attempts: reading.failures,
        reason: error.reason,
        ...(error.endpoint === undefined ? {} : { endpoint: error.endpoint })
      })
      if (!(exhausted || elsewhere(error)) || reading.failures > reader.config.maxRetries) return yield* again
      const now = yield* unchanged(reader, reading, error.endpoint)
      // The file has no more.
      if (error.reason._tag === "UnexpectedEnd" && now.length < reading.end) return yield* again
      if (error.endpoint !== undefined && !exhausted) {
        // To exclude a DataNode, the NameNode needs its data transfer address.
        reading.failed.add(error.endpoint.replace(/:\d+$/, ""))
        yield* reader.asks.getFileBlockLocations(reading.path, { offset: reading.position, length: 1 })
      }
      if (reading.failures > 1) yield* reader.web.backoff(reading.failures - 1)
      reading.opened++
      return attempt(reader, reading)
    })
  )

const attempt = (reader: Reader, reading: Reading): Stream.Stream<Uint8Array, E.HdfsError> =>
  Stream.unwrap(
    Effect.match(place(reader, reading), {
      // The NameNodes have already been retried for as long as that helps.
      onFailure: (error) =>
        error.reason._tag === "BlockMissing" ? resume(reader, reading, error) : Stream.fail(error),
      onSuccess: (found) => Stream.catch(openAt(reader, reading, found), (error) => resume(reader, reading, error))
    })
  )

/** The bytes up to `end`, block by block if a host is preferred. */
const run = Effect.fnUntraced(function* (
  reader: Reader,
  path: string,
  end: number,
  options: OpenOptions,
  status: M.FileStatus | undefined
) {
  const { preferHost } = options
  const reading: Reading = {
    path,
    options,
    status,
    position: options.offset ?? 0,
    end,
    failed: new Set(),
    opened: 0,
    failures: 0,
    progress: 0,
    blocks:
      preferHost === undefined || reader.config.gateway
        ? undefined
        : yield* reader.known.of(path, end, reader.asks.getFileBlockLocations(path))
  }
  return Stream.flatMap(
    // Each piece is read from where it lies. An empty range is asked for too, because the server says whether the file
    // may be read.
    Stream.unfold(reading, (at) => {
      if (at.opened === 0 || at.position < at.end) {
        at.opened++
        return Effect.succeed([at, at] as const)
      }
      // What was opened more than once may have been another file each time.
      const isDoubtful = at.opened > 1 && at.status !== undefined
      return Effect.as(isDoubtful ? unchanged(reader, at) : Effect.void, undefined)
    }),
    (at) => attempt(reader, at)
  )
})

const open =
  (reader: Reader): Reads["open"] =>
  (path, options = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { length, offset = 0 } = options
        if (!isCount(offset) || !isCount(length)) {
          return yield* reader.web.fail(
            call(path),
            new E.InvalidArgument({ detail: `the range ${offset}, ${length} is not one of whole numbers from 0 on` })
          )
        }
        if (length === 0) return Stream.empty
        const status = options.status ?? (yield* reader.asks.getFileStatus(path))
        if (status.type === "DIRECTORY") {
          return yield* reader.web.fail(call(path), new E.IsADirectory({ detail: `${path} is a directory` }))
        }
        const end = Math.min(offset + (length ?? Number.POSITIVE_INFINITY), status.length)
        return yield* run(reader, path, Math.max(offset, end), options, status)
      })
    ).pipe(Stream.withSpan("HdfsClient.OPEN", { attributes: { path } }))

const readRange = (reader: Reader) =>
  Effect.fnUntraced(function* (path: string, offset: number, length: number, options?: RangeOptions) {
    if (!isCount(offset) || !isCount(length)) {
      return yield* reader.web.fail(
        call(path),
        new E.InvalidArgument({ detail: `the range ${offset}, ${length} is not one of whole numbers from 0 on` })
      )
    }
    if (length === 0) return new Uint8Array(0)
    // No memory is allocated for more bytes than the file has, as a wrong footer might ask for.
    const status = options?.status ?? (length > largeRange ? yield* reader.asks.getFileStatus(path) : undefined)
    if (status !== undefined && offset + length > status.length) {
      return yield* reader.web.fail(
        call(path),
        new E.UnexpectedEnd({ position: status.length, expected: offset + length })
      )
    }
    const bytes = yield* Effect.try({
      try: () => new Uint8Array(length),
      catch: () =>
        reader.web.fail(
          call(path),
          new E.InvalidArgument({ detail: `no memory for ${length} bytes at once; read them by open` })
        )
    })
    let at = 0
    const buffer = new Uint8Array(Math.min(length, 64 * 1024))
    const range = { ...options, offset, length, buffer }
    // The range is exact: the server that is asked for the bytes knows whether the file has it.
    const stream = Stream.unwrap(run(reader, path, offset + length, range, status))
    yield* Stream.runForEachArray(stream, (chunks) =>
      Effect.sync(() => {
        for (const chunk of chunks) {
          bytes.set(chunk, at)
          at += chunk.length
        }
      })
    ).pipe(Effect.withSpan("HdfsClient.OPEN", { attributes: { path } }))
    return bytes
  })

export const make = (web: WebHdfs.WebHdfs, config: HdfsConfig["Service"], known: Blocks, asks: Asks): Reads => {
  const reader: Reader = { web, config, known, asks }
  const one = readRange(reader)
  return {
    open: open(reader),
    readRange: one,
    readRanges: (path, ranges, options) => {
      const concurrency = options?.concurrency ?? 8
      return Number.isInteger(concurrency) && concurrency > 0
        ? Effect.forEach(ranges, ({ length, offset }) => one(path, offset, length, options), { concurrency })
        : web.fail(
            { method: "GET", operation: "OPEN", path },
            new E.InvalidArgument({ detail: `concurrency is ${concurrency}; it has to be a whole number above 0` })
          )
    }
  }
}
