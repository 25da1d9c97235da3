/**
 * A storage that counts its calls and fails when a test wants it to.
 *
 * {@link layer} wraps any `Storage` layer; the test then controls it through the `FaultyStorage` service. Without
 * faults it behaves like the storage that it wraps.
 *
 * @since 0.1.0
 */
import { Context, type Duration, Effect, Layer, Stream } from "effect"
import * as exact from "../storage/internal/exact.ts"
import { type Backend, Storage } from "../storage/Storage.ts"
import { type Reason, StorageError } from "../storage/StorageError.ts"

/**
 * The operations of `Storage`.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation =
  | "list"
  | "stat"
  | "read"
  | "readRange"
  | "write"
  | "rename"
  | "delete"
  | "mkdirs"
  | "realPath"
  | "blocks"

/**
 * What fails, and when.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fault {
  readonly operation: Operation
  /** Only paths for which this holds (for `rename`, the source). Default: all. */
  readonly path?: ((path: string) => boolean) | undefined
  /** The first matching call that fails, counted from 1 since the fault was injected. Default 1. */
  readonly nth?: number | undefined
  /** How many calls fail. Default: all from `nth` on. */
  readonly times?: number | undefined
  /** Time on Effect's clock before the operation starts. */
  readonly delay?: Duration.Input | undefined
  /** The failure. Without it only the delay, `truncateTo` and `excess` apply. */
  readonly reason?: Reason | undefined
  /** Bytes of a `read` or a `write` that pass before `reason`. Default 0. */
  readonly afterBytes?: number | undefined
  /**
   * Bytes after which a `read` or a `readRange` of the backend ends as if the file ended. The `Storage` notices and
   * fails.
   */
  readonly truncateTo?: number | undefined
  /** Bytes that the backend returns beyond the requested ones, as a server that ignores ranges does. */
  readonly excess?: number | undefined
}

/**
 * The calls of the storage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  /** Number of calls by operation; 0 if there was none. */
  readonly operations: Readonly<Record<Operation, number>>
  /** Bytes that `read` and `readRange` handed out. */
  readonly bytesRead: number
  /** Bytes that `write` took from its stream. */
  readonly bytesWritten: number
  /** `read` streams and `write`s that have begun and not ended. */
  readonly open: number
}

/**
 * Service that injects faults into the `Storage` beside it and reports its calls.
 *
 * @category services
 * @since 0.1.0
 */
export class FaultyStorage extends Context.Service<
  FaultyStorage,
  {
    readonly counts: Effect.Effect<Counts>
    /** Adds a fault. If several match a call, the one injected first applies. */
    readonly inject: (fault: Fault) => Effect.Effect<void>
    /** Removes the faults and sets the counts, except `open`, to zero. */
    readonly reset: Effect.Effect<void>
  }
>()("@sluice/core/testing/FaultyStorage") {}

const noCalls = (): Record<Operation, number> => ({
  list: 0,
  stat: 0,
  read: 0,
  readRange: 0,
  write: 0,
  rename: 0,
  delete: 0,
  mkdirs: 0,
  realPath: 0,
  blocks: 0
})

/** The injected faults, and the calls so far. */
interface State {
  faults: Array<{ readonly fault: Fault; calls: number }>
  operations: Record<Operation, number>
  bytesRead: number
  bytesWritten: number
  open: number
}

/** The fault that applies to this call. The call counts for every fault that it matches. */
const hit = (state: State, operation: Operation, path: string): Fault | undefined => {
  let found: Fault | undefined
  for (const entry of state.faults) {
    const { fault } = entry
    if (fault.operation !== operation || fault.path?.(path) === false) continue
    entry.calls++
    const first = fault.nth ?? 1
    if (entry.calls >= first && entry.calls < first + (fault.times ?? Infinity)) found ??= fault
  }
  return found
}

/** Counts the call, and waits as long as the fault says. */
const begin = (state: State, operation: Operation, path: string) =>
  Effect.suspend(() => {
    state.operations[operation]++
    const fault = hit(state, operation, path)
    return fault?.delay === undefined ? Effect.succeed(fault) : Effect.as(Effect.sleep(fault.delay), fault)
  })

const isOpen = (state: State) =>
  Effect.acquireRelease(
    Effect.sync(() => state.open++),
    () => Effect.sync(() => state.open--)
  )

const error = (operation: Operation, path: string, reason: Reason) => new StorageError({ operation, path, reason })

/** An operation that can only be delayed or fail. */
const faulty = <A, E, R>(
  state: State,
  operation: Operation,
  path: string,
  run: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | StorageError, R> =>
  Effect.flatMap(begin(state, operation, path), (fault): Effect.Effect<A, E | StorageError, R> =>
    fault?.reason === undefined ? run() : Effect.fail(error(operation, path, fault.reason))
  )

/** Lets `limit` bytes pass, then continues with `after`. */
const cut = <E, R, E2>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  limit: number,
  after: Stream.Stream<never, E2>
): Stream.Stream<Uint8Array, E | E2, R> =>
  Stream.suspend(() => {
    let left = limit
    const head = bytes.pipe(
      Stream.takeUntil((piece) => (left -= piece.length) <= 0),
      Stream.map((piece) => (left < 0 ? piece.subarray(0, piece.length + left) : piece))
    )
    return Stream.concat(limit <= 0 ? Stream.empty : head, after)
  })

/** Calls `add` with the length of each piece, as it passes. */
const counted = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, add: (n: number) => void) =>
  bytes.pipe(
    Stream.rechunk(1),
    Stream.map((piece) => {
      add(piece.length)
      return piece
    })
  )

/** The reads of a faulty backend. */
const faultyReads = (state: State, storage: Storage["Service"]): Pick<Backend, "read" | "readRange" | "stat"> => ({
  stat: storage.stat,
  read: (path, range) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const fault = yield* begin(state, "read", path)
        yield* isOpen(state)
        let bytes = storage.read(path, range)
        if (fault?.excess !== undefined) bytes = Stream.concat(bytes, Stream.succeed(new Uint8Array(fault.excess)))
        if (fault?.truncateTo !== undefined) bytes = cut(bytes, fault.truncateTo, Stream.empty)
        if (fault?.reason !== undefined) {
          bytes = cut(bytes, fault.afterBytes ?? 0, Stream.fail(error("read", path, fault.reason)))
        }
        return counted(bytes, (n) => (state.bytesRead += n))
      })
    ),
  readRange: Effect.fnUntraced(function* (path, offset, length) {
    const fault = yield* begin(state, "readRange", path)
    if (fault?.reason !== undefined) return yield* error("readRange", path, fault.reason)
    let bytes = yield* storage.readRange(path, offset, length)
    if (fault?.excess !== undefined) bytes = Buffer.concat([bytes, new Uint8Array(fault.excess)])
    if (fault?.truncateTo !== undefined) bytes = bytes.subarray(0, fault.truncateTo)
    state.bytesRead += bytes.length
    return bytes
  })
})

const faultyWrite = (state: State, storage: Storage["Service"]): Backend["write"] =>
  Effect.fnUntraced(function* (path, bytes, options) {
    const fault = yield* begin(state, "write", path)
    yield* isOpen(state)
    const source = counted(bytes, (n) => (state.bytesWritten += n))
    return yield* storage.write(
      path,
      fault?.reason === undefined
        ? source
        : cut(source, fault.afterBytes ?? 0, Stream.fail(error("write", path, fault.reason))),
      options
    )
  }, Effect.scoped)

const faultyStorage = (state: State, storage: Storage["Service"]): Storage["Service"] => {
  const reads = faultyReads(state, storage)
  const plain = <A, E, R>(operation: Operation, path: string, run: () => Effect.Effect<A, E, R>) =>
    faulty(state, operation, path, run)
  return Storage.of({
    schemes: storage.schemes,
    list: (path) => Stream.unwrap(plain("list", path, () => Effect.succeed(storage.list(path)))),
    stat: (path) => plain("stat", path, () => storage.stat(path)),
    read: (path, range) => exact.read(reads, path, range),
    readRange: (path, offset, length) => exact.readRange(reads, path, offset, length),
    write: faultyWrite(state, storage),
    rename: (from, to, options) => plain("rename", from, () => storage.rename(from, to, options)),
    delete: (path, options) => plain("delete", path, () => storage.delete(path, options)),
    mkdirs: (path) => plain("mkdirs", path, () => storage.mkdirs(path)),
    realPath: (path) => plain("realPath", path, () => storage.realPath(path)),
    blocks: (path, known) => plain("blocks", path, () => storage.blocks(path, known))
  })
}

const handle = (state: State) =>
  FaultyStorage.of({
    counts: Effect.sync(() => {
      const { bytesRead, bytesWritten, open, operations } = state
      return { operations: { ...operations }, bytesRead, bytesWritten, open }
    }),
    inject: (fault) => Effect.sync(() => void state.faults.push({ fault, calls: 0 })),
    reset: Effect.sync(() => {
      state.faults = []
      state.operations = noCalls()
      state.bytesRead = state.bytesWritten = 0
    })
  })

const make = Effect.map(Storage, (storage) => {
  const state: State = { faults: [], operations: noCalls(), bytesRead: 0, bytesWritten: 0, open: 0 }
  return Context.make(Storage, faultyStorage(state, storage)).pipe(Context.add(FaultyStorage, handle(state)))
})

/**
 * Wraps a storage. Returns the wrapped one and the handle that controls it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(storage: Layer.Layer<Storage, E, R>): Layer.Layer<Storage | FaultyStorage, E, R> =>
  Layer.effectContext(make).pipe(Layer.provide(storage))
