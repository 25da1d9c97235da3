/** Choices that a seed repeats (mulberry32). */
export interface Random {
  /** From 0 to below `bound`. */
  readonly below: (bound: number) => number
  readonly pick: <A>(all: readonly [A, ...ReadonlyArray<A>]) => A
  readonly chance: (probability: number) => boolean
}

export const make = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number) => Math.floor(next() * bound)
  return { below, pick: (all) => all[below(all.length)] ?? all[0], chance: (probability) => next() < probability }
}
