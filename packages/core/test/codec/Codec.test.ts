import { assert, describe, expect, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import * as fc from "fast-check"
import * as Codec from "../../src/codec/Codec.ts"
import { Writer } from "../../src/codec/internal/bytes.ts"

const roundTrip = <A>(codec: Codec.Codec<A>, value: A) =>
  Effect.runSync(Effect.flatMap(Codec.encode(value, codec), (bytes) => Codec.decode(bytes, codec)))

const canonical = (value: unknown) => {
  const writer = new Writer(16)
  writer.canonical = true
  Codec.plain.write(value, writer)
  return writer.take().toString("hex")
}

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withNullPrototype: false,
  withSparseArray: false,
  withUnicodeString: true,
  maxDepth: 4
})

describe("Codec", () => {
  it("gives back any plain value", () => {
    fc.assert(
      // Chai's assertion sorts what is in a set as strings, and throws where `toString` is not a function; Node's finds
      // two invalid dates different before Node 24.
      fc.property(anything, (value) => {
        expect(roundTrip(Codec.plain, value)).toStrictEqual(value)
      }),
      { numRuns: 1000, examples: [[new Date(NaN)], [[-0, NaN]], [new Set([{ a: new Date(NaN) }])]] }
    )
  })

  it("gives back strings of every kind, lone surrogates too", () => {
    for (const length of [0, 1, 31, 32, 33, 127, 128, 1000, 70_000]) {
      for (const unit of ["a", "é", "€", "🙂", "\ud800", "a\udc00b", "\0"]) {
        const value = unit.repeat(length)
        assert.strictEqual(roundTrip(Codec.plain, value), value)
      }
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => assert.strictEqual(roundTrip(Codec.plain, value), value))
    )
  })

  it("gives back numbers at the edges", () => {
    const numbers = [
      0,
      -0,
      1,
      -1,
      NaN,
      Infinity,
      -Infinity,
      2 ** 30,
      -(2 ** 30),
      2 ** 30 - 1,
      2 ** 31,
      -(2 ** 31),
      2 ** 53,
      5e-324,
      0.1
    ]
    for (const value of numbers) assert.isTrue(Object.is(roundTrip(Codec.plain, value), value), String(value))
    for (const value of [0n, -1n, 2n ** 63n, -(2n ** 63n), 2n ** 200n, -(2n ** 200n)]) {
      assert.strictEqual(roundTrip(Codec.plain, value), value)
    }
  })

  it("gives back options, buffers, views and bytes that hold nothing else", () => {
    const value = {
      some: Option.some({ deep: Option.none() }),
      bytes: new Uint8Array([1, 2]),
      buffer: new ArrayBuffer(3),
      view: new DataView(new ArrayBuffer(2)),
      floats: new Float32Array([0.5, NaN])
    }
    const back = roundTrip<typeof value>(Codec.plain as Codec.Codec<unknown> as Codec.Codec<typeof value>, value)
    assert.deepStrictEqual(back, value)
    assert.isTrue(Option.isOption(back.some))
    assert.strictEqual(back.bytes.buffer.byteLength, 2)
  })

  it("keeps a field named __proto__ a field", () => {
    const value: unknown = JSON.parse(`{"__proto__": {"admin": true}, "a": 1}`)
    const back = roundTrip(Codec.plain, value)
    assert.deepStrictEqual(Object.keys(back as object), ["__proto__", "a"])
    assert.strictEqual(Object.getPrototypeOf(back), Object.prototype)
  })

  it.effect("names the field that cannot be encoded", () =>
    Effect.gen(function* () {
      class Point {
        readonly x = 1
      }
      const cases: ReadonlyArray<readonly [unknown, string, string]> = [
        [{ user: { onClick: () => 1 } }, "row.user.onClick", "a function"],
        [[1, Symbol("s")], "row[1]", "a symbol"],
        [new Map([["k", new Point()]]), "row.get(k)", "an instance of Point"],
        [Option.some(new Set([() => 1])), "row.value.item", "a function"],
        [{ [Symbol.iterator]: 1 }, "row", "a field whose name is a symbol"],
        [{ re: /x/ }, "row.re", "an instance of RegExp"]
      ]
      for (const [value, path, found] of cases) {
        const error = yield* Effect.flip(Codec.encode(value, Codec.plain))
        assert.deepStrictEqual([error.path, error.found], [path, found])
      }
      const cycle: Array<unknown> = []
      cycle.push(cycle)
      assert.match((yield* Effect.flip(Codec.encode(cycle, Codec.plain))).found, /cycle/)
    })
  )

  it.effect("takes class instances with a schema, and says what the schema refuses", () =>
    Effect.gen(function* () {
      class Person extends Schema.Class<Person>("Person")({ name: Schema.String, born: Schema.Date }) {}
      const codec = Codec.fromSchema(Person)
      const person = new Person({ name: "Ada", born: new Date(0) })
      const back = yield* Effect.flatMap(Codec.encode(person, codec), (bytes) => Codec.decode(bytes, codec))
      assert.isTrue(back instanceof Person)
      assert.deepStrictEqual(back.born, person.born)
      const wrong = yield* Effect.flip(Codec.encode("no person" as unknown as Person, codec))
      assert.match(wrong.message, /schema refuses/)
      const bytes = yield* Codec.encode({ name: 1 }, Codec.plain)
      assert.strictEqual((yield* Effect.flip(Codec.decode(bytes, codec)))._tag, "CodecError")
    })
  )

  it("fails on bytes that are cut off or wrong, and never loops or takes more memory than they have", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const result = Effect.runSync(Effect.result(Codec.decode(bytes, Codec.plain)))
        assert.isTrue(result._tag === "Success" || result.failure._tag === "CodecError")
      }),
      { numRuns: 2000 }
    )
    fc.assert(
      fc.property(anything, (value) => {
        const bytes = Effect.runSync(Codec.encode(value, Codec.plain))
        for (let length = 0; length < bytes.length; length++) {
          assert.isTrue(Effect.runSync(Effect.isFailure(Codec.decode(bytes.subarray(0, length), Codec.plain))))
        }
      }),
      { numRuns: 100 }
    )
  })

  it("writes equal keys as equal bytes", () => {
    assert.strictEqual(canonical({ a: 1, b: -0 }), canonical({ b: 0, a: 1 }))
    assert.strictEqual(
      canonical(
        new Map([
          [{ x: 1, y: 2 }, 1],
          [{ x: 2, y: 2 }, 2]
        ])
      ),
      canonical(
        new Map([
          [{ y: 2, x: 2 }, 2],
          [{ y: 2, x: 1 }, 1]
        ])
      )
    )
    assert.strictEqual(canonical(new Set([1, 2, 3])), canonical(new Set([3, 1, 2])))
    assert.strictEqual(canonical([new Date(5), 1n]), canonical([new Date(5), 1n]))
    const values = [1, 1n, "1", true, null, undefined, [1], { 0: 1 }, new Date(1), NaN, "NaN"]
    assert.strictEqual(new Set(values.map(canonical)).size, values.length)
  })
})
