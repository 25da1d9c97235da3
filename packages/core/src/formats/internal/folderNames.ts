/** Names of folders that hold the value of a column, as Hive and Spark write them: `country=DE`. */
import { schemeOf } from "../../storage/internal/path.ts"

// The folder of rows without a value. Spark puts the empty string there too, because a folder name cannot say it in
// another way.
const none = "__HIVE_DEFAULT_PARTITION__"

// As Hive's and Spark's `escapePathName`.
const escape = (name: string): string =>
  name.replace(
    // oxlint-disable-next-line no-control-regex
    /[\u0000-\u001f\u007f"#%'*/:=?\\{[\]^]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`
  )

// As Spark's `unescapePathName`: anything that is not an escape stays as it is.
const unescape = (name: string): string =>
  name.replace(/%([0-9A-Fa-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

// A name that would be hidden, or be taken for no value, gets its first character escaped: readers unescape any
// character.
const escapeFirst = (name: string): string =>
  `%${name.charCodeAt(0).toString(16).toUpperCase()}${escape(name.slice(1))}`

/** The folder of a value. */
export const folderName = (column: string, value: string | null): string => {
  const name = column.startsWith(".") ? escapeFirst(column) : escape(column)
  const text = value === null || value === "" ? none : value === none ? escapeFirst(value) : escape(value)
  return `${name}=${text}`
}

/** A name below a folder. A URI is decoded by the storage, so that a percent sign in a name has to be escaped once more. */
export const below = (folder: string, name: string): string =>
  `${folder}/${schemeOf(folder, () => false) === undefined ? name : name.replaceAll("%", "%25")}`

/**
 * The values in the folder names of a path; the empty string if there is no value. If two folders name the same column,
 * the inner one counts.
 */
export const valuesOf = (path: string): ReadonlyMap<string, string> => {
  const values = new Map<string, string>()
  const isUri = schemeOf(path, () => false) !== undefined
  for (const segment of path.split("/").slice(0, -1)) {
    const name = isUri ? decodeURIComponent(segment) : segment
    const at = name.indexOf("=")
    if (at > 0) values.set(unescape(name.slice(0, at)), name.slice(at + 1) === none ? "" : unescape(name.slice(at + 1)))
  }
  return values
}
