/**
 * Elements at places that exist. Another place is a bug of ours, and a defect.
 *
 * There is a function for each kind of array: V8 compiles one that has met a single kind into a load from memory.
 */

/** Thrown for a place that an array does not have. */
export const outside = (at: number): never => {
  throw new RangeError(`there is no element at ${at}`)
}

export const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] ?? outside(at)

export const int32At = (values: Int32Array, at: number): number => values[at] ?? outside(at)

export const uint32At = (values: Uint32Array, at: number): number => values[at] ?? outside(at)

export const float64At = (values: Float64Array, at: number): number => values[at] ?? outside(at)

/** Whether a value that was found at a place is an element, which may be `undefined` itself. */
export const isElement = <A>(value: A | undefined, values: ReadonlyArray<A>, at: number): value is A =>
  value !== undefined || Object.hasOwn(values, at)

/** An element of any type. Not for the inner loops: all arrays of a program meet here. */
export const elementAt = <A>(values: ReadonlyArray<A>, at: number): A => {
  const value = values[at]
  return isElement(value, values, at) ? value : outside(at)
}
