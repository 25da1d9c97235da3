/**
 * Elements at existing places. Any other place is a bug in Sluice, and a defect.
 *
 * There is one function for each kind of array, because V8 compiles a function that has seen only one kind into a load
 * from memory.
 */

/** Thrown for a place outside of an array. */
export const outside = (at: number): never => {
  throw new RangeError(`there is no element at ${at}`)
}

export const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] ?? outside(at)

export const int32At = (values: Int32Array, at: number): number => values[at] ?? outside(at)

export const uint32At = (values: Uint32Array, at: number): number => values[at] ?? outside(at)

export const float64At = (values: Float64Array, at: number): number => values[at] ?? outside(at)

/** Whether a value found at a place is an element, which may itself be `undefined`. */
export const isElement = <A>(value: A | undefined, values: ReadonlyArray<A>, at: number): value is A =>
  value !== undefined || Object.hasOwn(values, at)

/** An element of any type. Not for inner loops, because all kinds of arrays pass through here. */
export const elementAt = <A>(values: ReadonlyArray<A>, at: number): A => {
  const value = values[at]
  return isElement(value, values, at) ? value : outside(at)
}
