import type { Codec } from "../../Codec.ts"
import type { Aggregator } from "../../Shuffle.ts"
import { Writer } from "./bytes.ts"

// What an entry costs besides the bytes of its key and its value: slots of a hash table and of two arrays, headers of objects.
const ENTRY = 96
const SAMPLE = 32

/** What was combined so far, by key. Keys are equal when their bytes are. */
export class Table<K, V, C> {
  keys: Array<K> = []
  values: Array<C> = []
  private readonly codec: Codec<K>
  private readonly aggregator: Aggregator<V, C>
  // A `Map` compares primitives as `Equal` does: NaN with NaN, 0 with -0. Others go by their bytes.
  private primitives = new Map<unknown, number>()
  private objects = new Map<string, number>()
  private keyBytes = 0
  private bytes = ""
  private readonly scratch = new Writer(256)
  // The entries met last: where one key has most rows it is among them.
  private readonly recent = new Int32Array(8)

  constructor(key: Codec<K>, aggregator: Aggregator<V, C>) {
    this.codec = key
    this.aggregator = aggregator
  }

  private byBytes(key: K): string {
    const { scratch } = this
    scratch.position = 0
    scratch.depth = 0
    scratch.canonical = true
    this.codec.write(key, scratch)
    scratch.canonical = false
    return scratch.bytes.toString("latin1", 0, scratch.position)
  }

  private find(key: K): number | undefined {
    if (typeof key !== "object" || key === null) return this.primitives.get(key)
    this.bytes = this.byBytes(key)
    return this.objects.get(this.bytes)
  }

  // After `find` has found nothing.
  private add(key: K, combined: C): number {
    const index = this.keys.length
    this.keys.push(key)
    this.values.push(combined)
    if (typeof key !== "object" || key === null) {
      this.primitives.set(key, index)
      this.keyBytes += typeof key === "string" ? key.length : 16
    } else {
      this.objects.set(this.bytes, index)
      this.keyBytes += 3 * this.bytes.length
    }
    return index
  }

  /** Merges a value. `turn` counts the calls. */
  mergeValue(key: K, value: V, turn: number): void {
    let index = this.find(key)
    if (index === undefined) index = this.add(key, this.aggregator.create(value))
    else this.values[index] = this.aggregator.mergeValue(this.values[index]!, value)
    this.recent[turn & 7] = index
  }

  /** Merges what was combined elsewhere. */
  mergeCombined(key: K, combined: C, turn: number): void {
    let index = this.find(key)
    if (index === undefined) index = this.add(key, combined)
    else this.values[index] = this.aggregator.mergeCombiners(this.values[index]!, combined)
    this.recent[turn & 7] = index
  }

  get size(): number {
    return this.keys.length
  }

  private sizeOf(index: number): number {
    const value = this.values[index]
    if (typeof value === "number" || typeof value === "boolean") return 8
    const { scratch } = this
    scratch.position = 0
    scratch.depth = 0
    this.aggregator.codec.write(value as C, scratch)
    return 2 * scratch.position + 32
  }

  /** Bytes held, from the encoded size of a sample of the values. */
  held(): number {
    const { size } = this
    if (size === 0) return 0
    let sum = 0
    let count = 0
    const step = Math.max(1, Math.floor(size / SAMPLE))
    for (let i = 0; i < size; i += step) {
      sum += this.sizeOf(i)
      count++
    }
    const mean = sum / count
    let heavy = 0
    if (step > 1) for (const index of new Set(this.recent)) if (index < size) heavy += Math.max(0, this.sizeOf(index) - 16 * mean)
    return size * (ENTRY + mean) + this.keyBytes + heavy
  }

  clear(): void {
    this.keys = []
    this.values = []
    this.primitives = new Map()
    this.objects = new Map()
    this.keyBytes = 0
  }
}
