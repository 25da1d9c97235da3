/** Describes the values that a codec refuses. */
import { Option } from "effect"
import type { Refused } from "./bytes.ts"
import { MAX_DEPTH, typedArrays } from "./tags.ts"

/** The description of values that are nested too deeply. */
export const TOO_DEEP = `data nested deeper than ${MAX_DEPTH} levels, or a cycle,`

export const isPlainObject = (value: object): value is Record<string, unknown> => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Names the class of a value that is not plain data. */
export const describe = (value: object): string => {
  const name: unknown = value.constructor?.name
  return `an instance of ${typeof name === "string" && name !== "" ? name : "a class without a name"}`
}

/** The place in the value of the first part that `writePlain` refuses: `["user", "onClick"]`. */
const locate = (
  value: unknown,
  path: string,
  depth = 0
): { readonly path: string; readonly found: string } | undefined => {
  if (typeof value === "function" || typeof value === "symbol") return { path, found: `a ${typeof value}` }
  if (typeof value !== "object" || value === null) return undefined
  if (depth >= MAX_DEPTH) return { path, found: TOO_DEEP }
  const first = (entries: Iterable<readonly [string, unknown]>) => {
    for (const [step, item] of entries) {
      const found = locate(item, path + step, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (Array.isArray(value)) return first(value.map((item, index) => [`[${index}]`, item] as const))
  if (value instanceof Map) {
    return first(
      [...value].flatMap(
        ([key, item]) =>
          [
            [".key", key],
            [`.get(${String(key)})`, item]
          ] as const
      )
    )
  }
  if (value instanceof Set) return first([...value].map((item) => [".item", item] as const))
  if (Option.isOption(value)) return Option.isSome(value) ? locate(value.value, `${path}.value`, depth + 1) : undefined
  if (isPlainObject(value)) {
    return Object.getOwnPropertySymbols(value).length > 0
      ? { path, found: "a field whose name is a symbol" }
      : first(Object.entries(value).map(([name, item]) => [`.${name}`, item] as const))
  }
  if (
    value instanceof Date ||
    value instanceof ArrayBuffer ||
    value instanceof DataView ||
    value instanceof Uint8Array ||
    typedArrays.some((kind) => value instanceof kind)
  ) {
    return undefined
  }
  return { path, found: describe(value) }
}

/** How a message describes a value that was refused. */
export const refusal = (refused: Refused, row: unknown): { readonly path: string; readonly found: string } =>
  refused.path === undefined
    ? (locate(row, "row") ?? { path: "row", found: refused.found })
    : { path: `row${refused.path}`, found: refused.found }
