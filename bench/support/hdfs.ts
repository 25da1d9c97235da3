/**
 * Settings that `hdfs.ts` shares with the programs that it measures.
 */

export type Job =
  | "write"
  | "writeFresh"
  | "read"
  | "readFresh"
  | "checksum"
  | "ranges"
  | "rangesChecksum"
  | "stat"
  | "stat16"

/** How often a status is asked for, by the number of requests at a time. */
export const operations = { 1: 5000, 16: 20_000 }

export const rangeLength = 1024 * 1024

/** The offsets of 64 ranges of a file. */
export const rangeOffsets = (bytes: number): ReadonlyArray<number> =>
  Array.from({ length: 64 }, (_, i) => Math.floor((bytes - rangeLength) / 64) * i)

// A table of random doubles, which nothing compresses: 20 columns of 1.28 million rows are 205 MB.

export const columns: ReadonlyArray<string> = Array.from({ length: 20 }, (_, i) => `c${i}`)
export const batches = 20
export const batchRows = 64_000

const mix = (x: number): number => {
  let h = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The value of a cell, in [0, 1). */
export const cell = (row: number, column: number): number => {
  const seed = mix(row * columns.length + column + 1)
  return (seed * 2 ** 21 + (mix(seed ^ 0x9e3779b9) >>> 11)) / 2 ** 53
}

/** What is summed of a value, exact in every order. */
export const exact = (value: number): number => Math.floor(value * 2 ** 20)

/** The sums of `c3` and `c17`, as the reader prints them. */
export const sums = (c3: number, c17: number, rows: number): string => `${rows} rows, ${c3} and ${c17}`

const wanted = (column: number): number => {
  let sum = 0
  for (let row = 0; row < batches * batchRows; row++) sum += exact(cell(row, column))
  return sum
}
export const expected = (): string => sums(wanted(3), wanted(17), batches * batchRows)
