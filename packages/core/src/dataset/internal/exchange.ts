import { Effect, type Stream } from "effect"
import * as Codec from "../../codec/Codec.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { BroadcastPlan, Exchange, ExchangeInput, ExchangeSource, Partitioning } from "../../plan/Plan.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { type Problem, whole } from "../../codec/internal/checks.ts"
import { Reader, Refused, Writer } from "../../codec/internal/bytes.ts"
import { refusal } from "../../codec/internal/refusal.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { checked } from "./checked.ts"
import { type Dataset, fromPlan } from "./model.ts"

/**
 * How an operation moves its rows: to which partitions, and with which codecs for their keys and values. Operations
 * that do not use an option leave it out, or have `never` for its values.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyOptions<in out K, in out V = never> {
  /**
   * Partitions of the result. Default: the number of an input that is already partitioned by key; otherwise that of the
   * input with the most partitions, or as many as it takes for each to have `EngineConfig.targetPartitionBytes`, if that
   * is more.
   */
  readonly partitions?: number | undefined
  /** Which partition a key goes to; takes precedence over `partitions`. Default by hash. */
  readonly partitioner?: Partitioner.Partitioner<K> | undefined
  /** Encodes the keys. Default `Codec.plain`. */
  readonly key?: Codec.Codec<K> | undefined
  /**
   * Encodes what moves with a key: its values, or the state they are combined into before they move. Default
   * `Codec.plain`.
   */
  readonly value?: Codec.Codec<V> | undefined
}

/**
 * How a join moves its rows, with a codec for the values of either dataset.
 *
 * @category models
 * @since 0.1.0
 */
export interface JoinOptions<in out K, in out V, in out W> extends Omit<KeyOptions<K>, "value"> {
  /** Encodes the values of the first dataset. Default `Codec.plain`. */
  readonly left?: Codec.Codec<V> | undefined
  /** Encodes the values of the other dataset. Default `Codec.plain`. */
  readonly right?: Codec.Codec<W> | undefined
}

// The type that all codecs have in common: it writes no value and may read any.
type AnyCodec = Pick<Codec.Codec<never>, "id" | "write"> & Pick<Codec.Codec<unknown>, "read">

/** Options that include these codecs, for elements of any type. */
export type AnyCodecs<Name extends string> = { readonly [N in Name]?: AnyCodec | undefined }

/** {@link KeyOptions} for keys and values of any type. */
export type AnyKeyOptions<Name extends "key" | "value"> = AnyCodecs<Name> &
  Pick<KeyOptions<never>, "partitions" | "partitioner">

declare const dataset: unique symbol

/**
 * Stands for the options when a dataset is given, in the signature of a function that takes either. Two signatures
 * would not work: an overloaded function in a `pipe` loses its types.
 */
export interface ADataset {
  readonly [dataset]: never
}

/** The type of the codec in the options; `unknown` if there is none. */
export type CodedBy<Options, Name extends string> = Options extends {
  readonly [N in Name]?: Codec.Codec<infer A> | undefined
}
  ? A
  : unknown

/** The type of the keys that the options apply to. */
export type KeyedBy<Options> = CodedBy<Options, "key"> &
  (Options extends { readonly partitioner?: Partitioner.Partitioner<infer K> | undefined } ? K : unknown)

/** The type of elements of type `A` after the codec in the options has read them. */
export type Decoded<Options, Name extends string, A> =
  unknown extends CodedBy<Options, Name> ? A : CodedBy<Options, Name>

/**
 * The given codec, or the one for plain data. That one refuses at run time what it cannot encode, so it may stand for
 * any type.
 */
export const codecOr = <A>(codec: Codec.Codec<A> | undefined): Codec.Codec<A> =>
  codec ?? (Codec.plain as Codec.Codec<A>)

/** Where the rows of an operation on keys go. */
export const partitioningOf = <K>(
  options: Pick<KeyOptions<K>, "partitions" | "partitioner"> | undefined,
  codec: Codec.Codec<K>
): Partitioning => {
  if (options?.partitioner !== undefined) return { _tag: "Fixed", partitioner: options.partitioner }
  if (options?.partitions !== undefined) {
    return { _tag: "Fixed", partitioner: Partitioner.hash(options.partitions, { codec }) }
  }
  return {
    _tag: "Hash",
    partitions: (upstream) => upstream,
    make: (partitions) => Partitioner.hash(partitions, { codec })
  }
}

/** One side of an exchange: how its rows become keys and values. */
export interface Side<in out Row, in out K, in out V> {
  readonly operator: string
  readonly key: Codec.Codec<K>
  readonly value: Codec.Codec<V>
  readonly keyOf: (row: Row) => K
  readonly valueOf: (row: Row) => V
}

/** Pairs as they are. */
export const pairSide = <K, V>(
  operator: string,
  key: Codec.Codec<K>,
  value: Codec.Codec<V>
): Side<readonly [K, V], K, V> => ({ operator, key, value, keyOf: (row) => row[0], valueOf: (row) => row[1] })

/** A side of an exchange whose rows are written as they are. */
export const written = <Row, E, R, K, V>(
  self: Dataset<Row, E, R>,
  side: Side<Row, K, V>,
  keyed: boolean
): ExchangeInput => ({
  plan: self.plan,
  keyed,
  write: (
    to: Parameters<ExchangeInput["write"]>[0] & { readonly partitioner: Partitioner.Partitioner<K> },
    rows: Stream.Stream<Row, unknown, unknown>
  ) => Shuffle.write({ ...side, id: to.id, partitioner: to.partitioner }, to, rows)
})

/** A side of an exchange whose rows are combined by key first. */
export const combined = <Row, E, R, K, V, C>(
  self: Dataset<Row, E, R>,
  side: Side<Row, K, V>,
  aggregator: Shuffle.Aggregator<V, C>,
  keyed: boolean
): ExchangeInput => ({
  plan: self.plan,
  keyed,
  write: (
    to: Parameters<ExchangeInput["write"]>[0] & { readonly partitioner: Partitioner.Partitioner<K> },
    rows: Stream.Stream<Row, unknown, unknown>
  ) => Shuffle.writeCombined({ ...side, id: to.id, partitioner: to.partitioner }, aggregator, to, rows)
})

/** The parts of an exchange, with defaults for those that are rarely given. */
export const exchange = <A, E, R>(options: {
  readonly name: string
  readonly detail?: string | undefined
  readonly functions?: ReadonlyArray<unknown> | undefined
  readonly inputs: ReadonlyArray<ExchangeInput>
  readonly partitioning: Partitioning
  readonly onlyMoves?: boolean | undefined
  readonly ordered?: boolean | undefined
  readonly keyed: boolean
  readonly read: (
    sources: ReadonlyArray<ExchangeSource>,
    task: TaskRuntime
  ) => Stream.Stream<A, Shuffle.ShuffleError, Shuffle.Shuffle>
  /** Reads the same rows as bytes, if they are text. */
  readonly lines?: Exchange["lines"]
  readonly broadcast?: BroadcastPlan | undefined
  /** What else is wrong with its settings. */
  readonly problem?: Problem
}): Dataset<A, E, R> => {
  const { partitioning } = options
  const problem =
    partitioning._tag === "Fixed" ? whole("partitions", partitioning.partitioner.partitions) : options.problem
  return checked(options.name, problem, () => {
    const plan: Exchange = {
      _tag: "Exchange",
      name: options.name,
      detail: options.detail,
      inputs: options.inputs,
      partitioning,
      ordered: options.ordered,
      keyed: options.keyed,
      read: options.read,
      lines: options.lines,
      broadcast: options.broadcast,
      functions: (options.functions ?? []).map(String).join(" "),
      onlyMoves: options.onlyMoves ?? false
    }
    return fromPlan(plan)
  })
}

/** The name of a side for the reduce side. */
export const wireOf = <K, V>(
  side: { readonly operator: string; readonly key: Codec.Codec<K>; readonly value: Codec.Codec<V> },
  source: ExchangeSource
): Shuffle.Wire<K, V> => ({ id: source.id, operator: side.operator, key: side.key, value: side.value })

/** Several values of one codec. */
export const manyOf = <A>(codec: Codec.Codec<A>): Codec.Codec<ReadonlyArray<A>> => ({
  id: `many ${codec.id}`,
  write: (values, writer) => {
    writer.depth = 0
    Codec.plain.write(values.length, writer)
    for (const value of values) {
      writer.depth = 0
      codec.write(value, writer)
    }
  },
  read: (reader) => {
    const length = Number(Codec.plain.read(reader))
    const values: Array<A> = []
    for (let i = 0; i < length; i++) values.push(codec.read(reader))
    return values
  }
})

/** A pair, as its two halves. */
export const pairOf = <K, V>(key: Codec.Codec<K>, value: Codec.Codec<V>): Codec.Codec<readonly [K, V]> => ({
  id: `pair ${key.id} ${value.id}`,
  write: (row, writer) => {
    key.write(row[0], writer)
    writer.depth = 0
    value.write(row[1], writer)
  },
  read: (reader) => [key.read(reader), value.read(reader)]
})

/** The bytes of some values. A value that the codec refuses is a failure of the shuffle. */
export const encodeMany = <A>(operator: string, codec: Codec.Codec<A>, values: ReadonlyArray<A>) =>
  Effect.mapError(
    Codec.encode(values, manyOf(codec)),
    ({ found, path }) => new Shuffle.ShuffleError({ operator, reason: new Shuffle.CodecFailed({ found, path }) })
  )

/** Runs something that encodes rows. A value that the codec refuses is a failure of the shuffle. */
export const refusing = <A>(
  operator: string,
  run: () => A,
  row: () => unknown
): Effect.Effect<A, Shuffle.ShuffleError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown
      return Effect.fail(
        new Shuffle.ShuffleError({ operator, reason: new Shuffle.CodecFailed(refusal(thrown, row())) })
      )
    }
  })

/** The values of bytes that this process, or one like it, has encoded. */
export const decodeMany = <A>(codec: Codec.Codec<A>, bytes: Uint8Array): ReadonlyArray<A> =>
  manyOf(codec).read(new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)))

/** Values by key. As in a shuffle, keys are equal if their bytes are. */
export class KeyMap<K, T> {
  private readonly primitives = new Map<unknown, T>()
  private readonly objects = new Map<string, T>()
  private readonly codec: Codec.Codec<K>
  private readonly scratch = new Writer(256)

  constructor(codec: Codec.Codec<K>) {
    this.codec = codec
  }

  private bytesOf(key: K): string {
    const { scratch } = this
    scratch.position = 0
    scratch.depth = 0
    scratch.canonical = true
    this.codec.write(key, scratch)
    return scratch.bytes.toString("latin1", 0, scratch.position)
  }

  get(key: K): T | undefined {
    // A `Map` compares primitives as the codec for plain data does.
    return typeof key !== "object" || key === null ? this.primitives.get(key) : this.objects.get(this.bytesOf(key))
  }

  set(key: K, value: T): void {
    if (typeof key !== "object" || key === null) this.primitives.set(key, value)
    else this.objects.set(this.bytesOf(key), value)
  }

  values(): ReadonlyArray<T> {
    return [...this.primitives.values(), ...this.objects.values()]
  }
}
