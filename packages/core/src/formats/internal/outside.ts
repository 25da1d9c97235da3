/** Stands where an index is one of our own: without a value there, the fault is ours. */
export const outside = (index: number): never => {
  throw new RangeError(`there is nothing at ${index}`)
}
