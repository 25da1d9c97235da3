/**
 * Estimates the number of distinct values from their hashes (HyperLogLog, Flajolet et al. 2007). Each register keeps
 * the most leading zeros of its hashes: the more distinct hashes, the more zeros. `relativeError` is the standard
 * deviation of the estimate relative to the true number: 1.04 / sqrt(2^bits) for 2^bits registers.
 */
export const hyperLogLog = (relativeError: number) => {
  const bits = Math.min(18, Math.max(4, Math.ceil(2 * Math.log2(1.04 / relativeError))))
  const registers = 1 << bits
  const raise = (ranks: Buffer, register: number, rank: number): void => {
    if (rank > ranks.readUInt8(register)) ranks.writeUInt8(rank, register)
  }
  return {
    zero: (): Buffer => Buffer.alloc(registers),
    /** Adds a hash of 64 bits, as two halves. */
    add: (ranks: Buffer, high: number, low: number): void => raise(ranks, high >>> (32 - bits), Math.clz32(low) + 1),
    merge: (left: Buffer, right: Buffer): Buffer => {
      for (const [register, rank] of right.entries()) raise(left, register, rank)
      return left
    },
    estimate: (ranks: Buffer): number => {
      let sum = 0
      let empty = 0
      for (const rank of ranks) {
        sum += 2 ** -rank
        if (rank === 0) empty++
      }
      const estimate = (biasOf(registers) * registers * registers) / sum
      // Flajolet's correction for few elements, from the registers that are still empty.
      return Math.round(estimate <= 2.5 * registers && empty > 0 ? registers * Math.log(registers / empty) : estimate)
    }
  }
}

const biasOf = (registers: number): number => {
  switch (registers) {
    case 16:
      return 0.673
    case 32:
      return 0.697
    case 64:
      return 0.709
    default:
      return 0.7213 / (1 + 1.079 / registers)
  }
}
