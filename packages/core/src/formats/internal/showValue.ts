/** Shows a value in an error, as one short line whatever the value is. */

const most = 100

const shortened = (_: string, value: unknown): unknown => {
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "string") return value.slice(0, most)
  if (typeof value === "number" && !Number.isFinite(value)) return String(value)
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`
  return Array.isArray(value) && value.length > most ? value.slice(0, most) : value
}

export const showValue = (value: unknown): string => {
  let text: string | undefined
  try {
    text =
      typeof value === "bigint"
        ? `${value}n`
        : typeof value === "number" || value === undefined || (value instanceof Date && Number.isNaN(value.getTime()))
          ? String(value)
          : ArrayBuffer.isView(value)
            ? `${value.constructor.name} of ${value.byteLength} bytes`
            : JSON.stringify(value, shortened)
  } catch {
    // A value that cannot be JSON, such as a cycle, is named by its kind.
  }
  const shown = text ?? Object.prototype.toString.call(value)
  return shown.length <= most ? shown : `${shown.slice(0, most)}...`
}
