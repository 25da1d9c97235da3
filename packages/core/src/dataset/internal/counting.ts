import { HashMap } from "effect"
import { dual } from "effect/Function"
import type { Action } from "../../engine/Action.ts"
import type * as Codec from "../../codec/Codec.ts"
import { hashBytes } from "../../codec/internal/hash.ts"
import { prefix } from "../../codec/internal/prefix.ts"
import { Writer } from "../../codec/internal/bytes.ts"
import { number, optional } from "../../codec/internal/checks.ts"
import { folded } from "./action.ts"
import { checkedAction } from "./checked.ts"
import { type ADataset, type AnyKeyOptions, codecOr, type Decoded, type KeyedBy, type KeyOptions } from "./exchange.ts"
import { hyperLogLog } from "./hyperLogLog.ts"
import { reduceByKey } from "./keyed.ts"
import { type Dataset, isDataset, narrow } from "./model.ts"

/**
 * How often each element occurs, in the driver's memory.
 *
 * @category actions
 * @since 0.1.0
 */
export const countByValue: <A, E, R, O extends AnyKeyOptions<"key"> | ADataset>(
  self: Dataset<A, E, R> | O,
  options?: KeyOptions<A>
) => [ADataset] extends [O]
  ? Action<HashMap.HashMap<A, number>, E, R>
  : <A extends KeyedBy<O>, E, R>(
      self: Dataset<A, E, R>
    ) => Action<HashMap.HashMap<Decoded<O, "key", A>, number>, E, R> = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(self: Dataset<A, E, R>, options?: KeyOptions<A>): Action<HashMap.HashMap<A, number>, E, R> =>
    counts(narrow(self, { _tag: "Map", f: (value: A) => [value, 1] as const }), "countByValue", options)
)

/**
 * How many pairs each key has, in the driver's memory.
 *
 * @category actions
 * @since 0.1.0
 */
export const countByKey: <K, V, E, R, O extends AnyKeyOptions<"key"> | ADataset>(
  self: Dataset<readonly [K, V], E, R> | O,
  options?: KeyOptions<K>
) => [ADataset] extends [O]
  ? Action<HashMap.HashMap<K, number>, E, R>
  : <K extends KeyedBy<O>, V, E, R>(
      self: Dataset<readonly [K, V], E, R>
    ) => Action<HashMap.HashMap<Decoded<O, "key", K>, number>, E, R> = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    options?: KeyOptions<K>
  ): Action<HashMap.HashMap<K, number>, E, R> =>
    counts(
      narrow(self, { _tag: "Map", keyed: "MapValues", f: ([key]: readonly [K, V]) => [key, 1] as const }),
      "countByKey",
      options
    )
)

const counts = <K, E, R>(
  self: Dataset<readonly [K, number], E, R>,
  name: string,
  options: KeyOptions<K> | undefined
): Action<HashMap.HashMap<K, number>, E, R> =>
  folded(
    reduceByKey(self, (left: number, right: number) => left + right, { ...options, value: undefined }),
    {
      name,
      zero: (): Array<readonly [K, number]> => [],
      add: (state, values) => {
        for (const pair of values) state.push(pair)
        return state
      },
      merge: (left, right) => left.concat(right),
      end: (pairs) => HashMap.fromIterable(pairs)
    }
  )

/**
 * The approximate number of distinct elements, by HyperLogLog: one pass, a few kilobytes per task. `relativeError`
 * (default 0.05) is the standard deviation of the result relative to the true number.
 *
 * @category actions
 * @since 0.1.0
 */
export const countApproxDistinct: {
  <A>(options?: {
    readonly relativeError?: number | undefined
    readonly codec?: Codec.Codec<A> | undefined
  }): <E, R>(self: Dataset<A, E, R>) => Action<number, E, R>
  <A, E, R>(
    self: Dataset<A, E, R>,
    options?: {
      readonly relativeError?: number | undefined
      readonly codec?: Codec.Codec<A> | undefined
    }
  ): Action<number, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(
    self: Dataset<A, E, R>,
    options?: {
      readonly relativeError?: number | undefined
      readonly codec?: Codec.Codec<A> | undefined
    }
  ): Action<number, E, R> => {
    const codec = codecOr(options?.codec)
    const { add, estimate, merge, zero } = hyperLogLog(options?.relativeError ?? 0.05)
    const writer = new Writer(256)
    const approx = folded(self, {
      name: "countApproxDistinct",
      zero,
      add: (ranks, values) => {
        for (const value of values) {
          writer.position = 0
          writer.depth = 0
          writer.canonical = true
          codec.write(value, writer)
          hashBytes(writer.bytes, 0, writer.position)
          add(ranks, prefix.high, prefix.low)
        }
        return ranks
      },
      merge,
      end: estimate
    })
    // An error of zero cannot be reached.
    const problem = optional(options?.relativeError, (error) => number("relativeError", error, Number.MIN_VALUE, 1))
    return checkedAction("countApproxDistinct", problem, approx)
  }
)
