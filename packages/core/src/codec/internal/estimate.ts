// V8 stores a Latin-1 string in one byte per character, and any other string in two. The first characters decide which
// is assumed.
const beyondLatin1 = /[\u0100-\uffff]/

// Roughly the bytes that a value takes on the V8 heap. The order of magnitude is enough, but it has to be cheap.
const ofValue = (value: unknown, depth: number): number => {
  switch (typeof value) {
    case "number":
    case "undefined":
    case "boolean":
      return 8
    case "bigint":
      return 24
    case "string":
      return 16 + (beyondLatin1.test(value.slice(0, 64)) ? 2 : 1) * value.length
    case "object": {
      if (value === null) return 8
      if (ArrayBuffer.isView(value)) return 64 + value.byteLength
      if (depth === 0) return 64
      let sum = 24
      if (Array.isArray(value)) {
        for (const item of value) sum += 8 + ofValue(item, depth - 1)
      } else if (value instanceof Map || value instanceof Set) {
        for (const item of value) sum += 32 + ofValue(item, depth - 1)
      } else {
        const fields: ReadonlyArray<unknown> = Object.values(value)
        for (const field of fields) sum += 8 + ofValue(field, depth - 1)
      }
      return sum
    }
    default:
      return 32
  }
}

/** Estimated bytes of an array of rows, from at most 32 of them. */
export const estimateBytes = (rows: ReadonlyArray<unknown>): number => {
  const step = Math.max(1, Math.floor(rows.length / 32))
  let sum = 0
  let looked = 0
  for (let i = 0; i < rows.length; i += step) {
    sum += 8 + ofValue(rows[i], 4)
    looked++
  }
  return looked === 0 ? 0 : Math.ceil((sum / looked) * rows.length)
}
