import { Array as Arr, Cause, Deferred, Effect, Stream } from "effect"
import type { Codec } from "../../codec/Codec.ts"
import { Reader, Writer } from "../../codec/internal/bytes.ts"
import { elementAt, outside, uint32At } from "../../codec/internal/elements.ts"
import { GroupPassed, type Reason, type ShuffleError } from "../ShuffleError.ts"
import { byHash, point } from "./keys.ts"
import { Shuffle, type Slice, type Wire } from "./model.ts"
import { CHUNK, loaded, pulling } from "./read.ts"
import type { Rows } from "./rows.ts"
import { type Cursor, Key, type Merge } from "./sorter.ts"

type Values = Stream.Stream<unknown, ShuffleError>

/**
 * One of the inputs of a {@link cogroup}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input<in out K, in out V> {
  readonly wire: Wire<K, V>
  readonly slice: Slice
}

/**
 * A key of a {@link cogroup}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cogrouped<out K, out Values extends ReadonlyArray<unknown>> {
  readonly key: K
  /** The values of each input, in the order of the inputs. */
  readonly values: { readonly [I in keyof Values]: Stream.Stream<Values[I], ShuffleError> }
  /**
   * Whether the group has too many values to hold in memory. If not, they can be read at any time, and more than once.
   */
  readonly large: boolean
}

type Group<K> = Cogrouped<K, ReadonlyArray<unknown>>

/**
 * The keys with a stream of their values, which may be larger than memory. Values come in the order of the map tasks. A
 * group that is not read is skipped. A group larger than memory can be read once, and only if reading begins before the
 * next group is taken; others can be read at any time.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const group = <K, V>(
  wire: Wire<K, V>,
  slice: Slice
): Stream.Stream<readonly [K, Stream.Stream<V, ShuffleError>], ShuffleError, Shuffle> =>
  Stream.map(cogroup<K, readonly [V]>([{ wire, slice }]), ({ key, values }) => [key, values[0]] as const)

/**
 * The keys of several inputs with the same partitioning, with one stream of values per input. Otherwise as {@link
 * group}; the streams of a large group are read in the order of the inputs.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const cogroup = <K, const Values extends ReadonlyArray<unknown>>(inputs: {
  readonly [I in keyof Values]: Input<K, Values[I]>
}): Stream.Stream<Cogrouped<K, Values>, ShuffleError, Shuffle> => {
  const all: ReadonlyArray<Input<K, unknown>> = inputs
  // One stream per input, in their order, as the mapped type says.
  const isOfInputs = (found: Group<K>): found is Cogrouped<K, Values> => found.values.length === all.length
  const typed = (found: Group<K>) => (isOfInputs(found) ? found : outside(all.length))
  return pulling(
    Effect.map(
      groups(all),
      Effect.map((chunk) => chunk?.map(typed))
    )
  )
}

// A stream of an array that is made when the stream runs. There is one per group, so the cost of making one matters
// (`Stream.suspend` keeps each in a weak map).
const lazy = (make: () => ReadonlyArray<unknown>): Values =>
  Stream.fromPull(
    Effect.sync(() => {
      let done = false
      return Effect.suspend(() => {
        if (done) return Cause.done()
        done = true
        const values = make()
        return Arr.isReadonlyArrayNonEmpty(values) ? Effect.succeed(values) : Cause.done()
      })
    })
  )

// Bytes that the values of small groups share at most, and what a value may add before the buffer has to grow.
const SHARED = 64 * 1024
const SPARE = 1024

/**
 * The values of one input, group after group. Most groups are small, and a buffer for each would cost more than its values. So
 * several share one, which is small enough that a group does not keep much more than itself in memory.
 */
class Gathering {
  readonly codec: Codec<unknown>
  private readonly shared: number
  private writer: Writer
  private start = 0
  private count = 0

  constructor(codec: Codec<unknown>, limit: number) {
    this.codec = codec
    this.shared = Math.min(SHARED, limit)
    this.writer = new Writer(this.shared + SPARE)
  }

  add({ bytes, end, keyEnd }: Pick<Cursor<unknown>, "bytes" | "keyEnd" | "end">): void {
    this.writer.copy(bytes, keyEnd, end)
    this.count++
  }

  /** The values of the group that ends here. */
  take(): Values {
    const { count, start, writer } = this
    const values = decoded(this.codec, writer.bytes, start, count)
    this.count = 0
    this.start = writer.position
    if (writer.position >= this.shared) {
      this.writer = new Writer(this.shared + SPARE)
      this.start = 0
    }
    return values
  }
}

// Values stored one after another in a buffer.
const decoded = (codec: Codec<unknown>, bytes: Buffer, start: number, count: number): Values =>
  count === 0
    ? Stream.empty
    : lazy(() => {
        const reader = new Reader(bytes, start)
        const values: Array<unknown> = []
        for (let i = 0; i < count; i++) values.push(codec.read(reader))
        return values
      })

const groups = Effect.fnUntraced(function* <K>(inputs: ReadonlyArray<Input<K, unknown>>) {
  const wires = inputs.map(({ wire }) => wire)
  const [first] = wires
  if (first === undefined) return Effect.succeed(undefined)
  const { fail, sorter } = yield* loaded(
    first.operator,
    byHash,
    { key: first.key, values: wires.map(({ value }) => value) },
    inputs.map(({ slice, wire }) => ({ shuffle: wire.id, slice }))
  )
  const reader = new Reader(Buffer.alloc(0))
  const keyAt = (bytes: Buffer, start: number): K => {
    reader.bytes = bytes
    reader.position = start
    reader.end = bytes.length
    return first.key.read(reader)
  }
  if (sorter.runs.length === 0) return groupsInMemory(wires, sorter.rows, keyAt)
  const { memory } = yield* Shuffle
  const merge = yield* Effect.mapError(sorter.merged, fail)
  return Effect.mapError(groupsOnDisk(wires, merge, keyAt, Math.max(memory.blockBytes, memory.total / 16), fail), fail)
})

const groupsInMemory = <K>(
  wires: ReadonlyArray<Wire<K, unknown>>,
  rows: Rows<K>,
  keyAt: (bytes: Buffer, start: number) => K
) => {
  const order = rows.sorted()
  const values = (wire: Wire<K, unknown>, from: number, to: number): Values => {
    if (from === to) return Stream.empty
    const decode = (start: number, end: number) => {
      const reader = new Reader(Buffer.alloc(0))
      const items: Array<unknown> = []
      for (let i = start; i < end; i++) {
        const n = uint32At(order, i)
        point(reader, rows.blockOf(n), rows.valueOf(n))
        items.push(wire.value.read(reader))
      }
      return items
    }
    if (to - from <= CHUNK) return lazy(() => decode(from, to))
    return Stream.flatMap(Stream.range(0, Math.ceil((to - from) / CHUNK) - 1), (chunk) =>
      Stream.fromArray(decode(from + chunk * CHUNK, Math.min(to, from + (chunk + 1) * CHUNK)))
    )
  }
  const { starts } = rows
  const last = wires.length - 1
  let at = 0
  return Effect.sync(() => {
    if (at >= starts.length) return undefined
    const chunk: Array<Group<K>> = []
    for (const stop = Math.min(starts.length, at + CHUNK); at < stop; at++) {
      const start = uint32At(starts, at)
      const end = at + 1 < starts.length ? uint32At(starts, at + 1) : order.length
      const leader = uint32At(order, start)
      let from = start
      const streams = wires.map((wire, input) => {
        let to = input === last ? end : from
        while (to < end && rows.inputOf(uint32At(order, to)) === input) to++
        const stream = values(wire, from, to)
        from = to
        return stream
      })
      chunk.push({
        key: keyAt(rows.blockOf(leader), uint32At(rows.offset, leader)),
        values: streams,
        large: end - start > CHUNK
      })
    }
    return chunk
  })
}

// A group too large to hold in memory: its values are read from the merge itself.
class Large<in out K> {
  private readonly merge: Merge<K>
  private readonly key: Key
  private readonly fail: (reason: Reason) => ShuffleError
  private passed = false
  // The inputs whose streams have begun.
  private readonly begun = new Set<number>()
  // Done when the stream that is being read has ended.
  private reading: Deferred.Deferred<void> | undefined

  constructor(merge: Merge<K>, key: Key, fail: (reason: Reason) => ShuffleError) {
    this.merge = merge
    this.key = key
    this.fail = fail
  }

  /** The values of an input: those already in memory, and then the rest. */
  values(input: number, codec: Codec<unknown>, gathered: Values): Values {
    const rest = this.rest(input, codec)
    return Stream.unwrap(
      Effect.gen({ self: this }, function* () {
        if (this.passed || this.reading !== undefined || [...this.begun].some((begun) => begun >= input)) {
          return yield* this.fail(new GroupPassed({}))
        }
        this.begun.add(input)
        const done = (this.reading = yield* Deferred.make<void>())
        yield* Effect.addFinalizer(() =>
          Effect.suspend(() => {
            this.reading = undefined
            return Deferred.succeed(done, undefined)
          })
        )
        return Stream.concat(gathered, pulling(Effect.succeed(Effect.mapError(rest, this.fail))))
      })
    )
  }

  private rest(input: number, codec: Codec<unknown>): Effect.Effect<ReadonlyArray<unknown> | undefined, Reason> {
    const { key, merge } = this
    const reader = new Reader(Buffer.alloc(0))
    const some: Effect.Effect<ReadonlyArray<unknown> | undefined, Reason> = Effect.suspend(() => {
      const items: Array<unknown> = []
      for (let cursor = merge.current; items.length < CHUNK; cursor = merge.current) {
        if (cursor === undefined || cursor.input > input || !key.equals(cursor)) break
        if (cursor.input === input) {
          reader.bytes = cursor.bytes
          reader.position = cursor.keyEnd
          reader.end = cursor.end
          items.push(codec.read(reader))
        }
        if (!merge.step()) return Effect.andThen(merge.refill, items.length > 0 ? Effect.succeed(items) : some)
      }
      return Effect.succeed(items.length > 0 ? items : undefined)
    })
    return some
  }

  /** Moves on to the next key. */
  readonly pass: Effect.Effect<void, Reason> = Effect.gen({ self: this }, function* () {
    const { key, merge } = this
    // Lets a fiber that got the group begin to read it.
    yield* Effect.yieldNow
    while (this.reading !== undefined) yield* Deferred.await(this.reading)
    this.passed = true
    while (merge.current !== undefined && key.equals(merge.current)) {
      if (!merge.step()) yield* merge.refill
    }
  })
}

const groupsOnDisk = <K>(
  wires: ReadonlyArray<Wire<K, unknown>>,
  merge: Merge<K>,
  keyAt: (bytes: Buffer, start: number) => K,
  limit: number,
  fail: (reason: Reason) => ShuffleError
): Effect.Effect<ReadonlyArray<Group<K>> | undefined, Reason> => {
  let large: Large<K> | undefined
  const gathering = wires.map(({ value }) => new Gathering(value, limit))
  return Effect.gen(function* () {
    if (large !== undefined) {
      yield* large.pass
      large = undefined
    }
    const chunk: Array<Group<K>> = []
    let total = 0
    while (merge.current !== undefined && chunk.length < CHUNK && total < limit) {
      const at = new Key(merge.current)
      const key = keyAt(merge.current.bytes, merge.current.start)
      let bytes = 0
      let last = 0
      while (merge.current !== undefined && bytes < limit && at.equals(merge.current)) {
        const cursor: Cursor<K> = merge.current
        last = cursor.input
        elementAt(gathering, last).add(cursor)
        bytes += cursor.end - cursor.keyEnd + 1
        if (!merge.step()) yield* merge.refill
      }
      const gathered = gathering.map((values) => values.take())
      total += bytes
      if (merge.current === undefined || !at.equals(merge.current)) {
        chunk.push({ key, values: gathered, large: false })
        continue
      }
      const rest = (large = new Large(merge, at, fail))
      const values = gathered.map((stream, input) =>
        input < last ? stream : rest.values(input, elementAt(gathering, input).codec, stream)
      )
      chunk.push({ key, values, large: true })
      break
    }
    return chunk.length === 0 ? undefined : chunk
  })
}
