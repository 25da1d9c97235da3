import type { Codec } from "../../codec/Codec.ts"
import type { Aggregator } from "./model.ts"
import { Writer } from "../../codec/internal/bytes.ts"
import { elementAt, int32At, isElement, outside } from "../../codec/internal/elements.ts"

// The cost of an entry besides the bytes of its key and its value: slots of a hash table and of two arrays, headers of
// objects.
const ENTRY = 96
const SAMPLE = 32

/**
 * An index of strings. A `Map` asks the runtime for the hash of every new string object, which for words just cut from
 * a line costs more than everything else; this index hashes with a loop that is compiled with its caller.
 */
class Strings {
  private slots = new Int32Array(1024).fill(-1)
  private hashes = new Int32Array(1024)
  private mask = 1023
  private count = 0
  /** The hash and the slot of the last {@link get}. */
  private hash = 0
  private slot = 0

  /** The position of a string in `keys`, or -1. */
  get(keys: ReadonlyArray<unknown>, key: string): number {
    const { length } = key
    let h = length
    for (let i = 0; i < length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193)
    h ^= h >>> 15
    h = Math.imul(h, 0x2c1b3c6d)
    h ^= h >>> 13
    const { hashes, mask, slots } = this
    let slot = h & mask
    for (;;) {
      const index = int32At(slots, slot)
      if (index < 0 || (hashes[slot] === h && keys[index] === key)) {
        this.hash = h
        this.slot = slot
        return index
      }
      slot = (slot + 1) & mask
    }
  }

  /** Call this after {@link get} has found nothing. */
  set(index: number): void {
    this.slots[this.slot] = index
    this.hashes[this.slot] = this.hash
    if (++this.count * 2 < this.slots.length) return
    const { hashes, slots } = this
    const size = slots.length * 2
    this.slots = new Int32Array(size).fill(-1)
    this.hashes = new Int32Array(size)
    this.mask = size - 1
    for (const [i, index] of slots.entries()) {
      if (index < 0) continue
      const hash = int32At(hashes, i)
      let slot = hash & this.mask
      while (int32At(this.slots, slot) >= 0) slot = (slot + 1) & this.mask
      this.slots[slot] = index
      this.hashes[slot] = hash
    }
  }
}

// A string of 13 units or more that was cut from another is a view that keeps the whole other string alive, perhaps a
// whole file.
const owned = <K extends string>(key: K): K => {
  if (key.length < 13) return key
  const wellFormed = key.isWellFormed() ? "utf8" : "utf16le"
  const copy = Buffer.from(key, wellFormed).toString(wellFormed)
  return isSame(copy, key) ? copy : key
}

const isSame = <K extends string>(copy: string, key: K): copy is K => copy === key

/** The combined values so far, by key. Keys are equal if their bytes are. */
export class Table<K, V, C> {
  keys: Array<K> = []
  values: Array<C> = []
  private readonly codec: Codec<K>
  private readonly aggregator: Aggregator<V, C>
  // A `Map` compares primitives as `Equal` does: NaN with NaN, 0 with -0. Other keys are compared by their bytes.
  private strings = new Strings()
  private primitives = new Map<unknown, number>()
  private objects = new Map<string, number>()
  private keyBytes = 0
  private bytes = ""
  private readonly scratch = new Writer(256)
  // The last entries: if one key has most of the rows, it is among them.
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

  private find(key: K): number {
    if (typeof key === "string") return this.strings.get(this.keys, key)
    if (typeof key !== "object" || key === null) return this.primitives.get(key) ?? -1
    this.bytes = this.byBytes(key)
    return this.objects.get(this.bytes) ?? -1
  }

  // After `find` has found nothing.
  private add(key: K, combined: C): number {
    const index = this.keys.length
    this.values.push(combined)
    if (typeof key === "string") {
      this.keys.push(owned(key))
      this.strings.set(index)
      this.keyBytes += key.length
    } else {
      this.keys.push(key)
      if (typeof key !== "object" || key === null) {
        this.primitives.set(key, index)
        this.keyBytes += 16
      } else {
        this.objects.set(this.bytes, index)
        this.keyBytes += 3 * this.bytes.length
      }
    }
    return index
  }

  /** Merges a value. `turn` counts the calls. */
  mergeValue(key: K, value: V, turn: number): void {
    let index = this.find(key)
    if (index < 0) index = this.add(key, this.aggregator.create(value))
    else this.values[index] = this.aggregator.mergeValue(this.valueAt(index), value)
    this.recent[turn & 7] = index
  }

  /** Merges a value that was combined elsewhere. */
  mergeCombined(key: K, combined: C, turn: number): void {
    let index = this.find(key)
    if (index < 0) index = this.add(key, combined)
    else this.values[index] = this.aggregator.mergeCombiners(this.valueAt(index), combined)
    this.recent[turn & 7] = index
  }

  get size(): number {
    return this.keys.length
  }

  keyAt(index: number): K {
    return elementAt(this.keys, index)
  }

  valueAt(index: number): C {
    const value = this.values[index]
    return isElement(value, this.values, index) ? value : outside(index)
  }

  private sizeOf(index: number): number {
    const value = this.valueAt(index)
    if (typeof value === "number" || typeof value === "boolean") return 8
    const { scratch } = this
    scratch.position = 0
    scratch.depth = 0
    this.aggregator.codec.write(value, scratch)
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
    if (step > 1)
      for (const index of new Set(this.recent)) if (index < size) heavy += Math.max(0, this.sizeOf(index) - 16 * mean)
    return size * (ENTRY + mean) + this.keyBytes + heavy
  }

  clear(): void {
    this.keys = []
    this.values = []
    this.strings = new Strings()
    this.primitives = new Map()
    this.objects = new Map()
    this.keyBytes = 0
  }
}
