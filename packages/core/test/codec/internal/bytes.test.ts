import { assert, describe, it } from "@effect/vitest"
import { Malformed, Reader, Writer } from "../../../src/codec/internal/bytes.ts"
import { readPlain, skipPlain } from "../../../src/codec/internal/decode.ts"
import { writePlain } from "../../../src/codec/internal/encode.ts"

const malformed = (read: () => unknown): string => {
  try {
    read()
  } catch (thrown) {
    assert.instanceOf(thrown, Malformed)
    return thrown.detail
  }
  return assert.fail("it was read")
}

const written = (value: unknown): Buffer => {
  const writer = new Writer(1)
  writePlain(value, writer)
  return writer.take()
}

describe("bytes", () => {
  it("hold lengths up to 2^53, in as few bytes as they need", () => {
    for (let bits = 0; bits <= 53; bits++) {
      for (const value of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1].filter(Number.isSafeInteger)) {
        const writer = new Writer(1)
        writer.varint(value)
        const bytes = writer.take()
        assert.strictEqual(bytes.length, Math.max(1, Math.ceil(value.toString(2).length / 7)))
        const reader = new Reader(bytes)
        assert.strictEqual(reader.varint(), value)
        assert.strictEqual(reader.position, bytes.length)
        if (bytes.length > 1)
          assert.include(
            malformed(() => new Reader(bytes, 0, bytes.length - 1).varint()),
            "end"
          )
      }
    }
    assert.include(
      malformed(() => new Reader(Buffer.alloc(9, 0x80)).varint()),
      "more than eight bytes"
    )
  })

  it("grow by what is written, and keep it", () => {
    for (const piece of [1, 47, 48, 49, 1000]) {
      const writer = new Writer(3)
      const from = Buffer.from(Array.from({ length: piece + 4 }, (_, n) => n & 255))
      for (let n = 0; n < 5; n++) writer.copy(from, 2, 2 + piece)
      assert.strictEqual(
        writer.take().toString("hex"),
        from
          .subarray(2, 2 + piece)
          .toString("hex")
          .repeat(5)
      )
    }
  })

  it("are taken up to the end and not beyond", () => {
    const reader = new Reader(Buffer.from("abcdef"), 1, 4)
    assert.strictEqual(reader.byte(), "b".charCodeAt(0))
    assert.strictEqual(reader.take(2), 2)
    assert.strictEqual(reader.position, 4)
    assert.strictEqual(reader.take(0), 4)
    malformed(() => reader.take(1))
    malformed(() => reader.byte())
  })
})

describe("plain values", () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 1
    for (let n = 0; n < levels; n++) value = n % 2 === 0 ? [value] : { value }
    return value
  }

  it("nest 256 levels deep, written as read, and no deeper", () => {
    assert.deepStrictEqual(readPlain(new Reader(written(nested(256)))), nested(256))
    assert.throws(() => written(nested(257)))
    const bytes = Buffer.concat([Buffer.alloc(257, 33), written(1)])
    assert.include(
      malformed(() => readPlain(new Reader(bytes))),
      "deeper than 256"
    )
    assert.isArray(readPlain(new Reader(bytes, 1)))
  })

  it("have fields of any name, in the order they were written in", () => {
    const odd = ["b", "a", "\ud800", "é", "", "__proto__", "x".repeat(200)]
    // More shapes than are remembered, each met again and again.
    for (let time = 0; time < 3; time++) {
      for (let n = 0; n < 40; n++) {
        const names = [...odd.slice(n % 7), `field ${n % 20}`]
        const entries = names.map((name, index): [string, number] => [name, index])
        const value = Object.fromEntries(entries)
        const back = readPlain(new Reader(written(value))) as object
        assert.deepStrictEqual(Object.entries(back), entries)
      }
    }
  })

  it("are passed over to the byte", () => {
    const values = [undefined, null, true, 5, -5, 2 ** 40, 0.1, "a", "é", "\ud800", "x".repeat(300), 7n, -(2n ** 90n)]
    const more = [new Date(3), new Uint8Array(3), new Float32Array(2), new ArrayBuffer(5), values, { a: values, b: [] }]
    const nested = [new Map([[values, new Set(more)]]), Array.from({ length: 16 }, (_, n) => n), [], {}]
    for (const value of [...values, ...more, ...nested]) {
      const bytes = Buffer.concat([written(value), Buffer.from([0])])
      const reader = new Reader(bytes)
      skipPlain(reader)
      assert.strictEqual(reader.position, bytes.length - 1)
      if (bytes.length > 2) malformed(() => skipPlain(new Reader(bytes, 0, bytes.length - 2)))
    }
    assert.include(
      malformed(() => skipPlain(new Reader(Buffer.from([31])))),
      "unknown kind of value, 31"
    )
    assert.include(
      malformed(() => skipPlain(new Reader(Buffer.from([48])))),
      "unknown kind of value, 48"
    )
    assert.include(
      malformed(() => readPlain(new Reader(Buffer.from([48])))),
      "unknown kind of value, 48"
    )
  })
})
