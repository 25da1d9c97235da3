/** The value at an index that the formats themselves computed: if there is none, that is a bug in Sluice. */
export const outside = (index: number): never => {
  throw new RangeError(`there is nothing at ${index}`)
}
