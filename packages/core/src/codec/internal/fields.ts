/** Fields of rows with any name, including the names that every object inherits. */

/** A field: `undefined` where it is missing. */
export const fieldOf = (row: Readonly<Record<string, unknown>>, name: string): unknown => {
  const value = row[name]
  return value !== undefined && name in Object.prototype && !Object.hasOwn(row, name) ? undefined : value
}

// True for every object, but the compiler does not know that.
const hasFields = (row: object): row is Readonly<Record<string, unknown>> =>
  typeof row === "object" || typeof row === "function"

/** Reads a field, as {@link fieldOf} does. */
export const fieldGetter = (name: string): ((row: object) => unknown) =>
  name in Object.prototype
    ? (row) => (hasFields(row) ? fieldOf(row, name) : undefined)
    : (row) => (hasFields(row) ? row[name] : undefined)

/** Sets a field of a new row. `__proto__` would set what the row inherits from. */
export const setField = (row: Record<string, unknown>, name: string, value: unknown): void => {
  if (name === "__proto__") {
    Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true })
  } else {
    row[name] = value
  }
}

/** An object with one field and nothing inherited; with none where its value is `undefined`. */
export const only = (name: string, value: unknown): object => {
  const row: Record<string, unknown> = Object.create(null)
  // The object has no `__proto__` that could be set.
  if (value !== undefined) row[name] = value
  return row
}
