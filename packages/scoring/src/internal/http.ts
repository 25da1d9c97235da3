import { BadAnswer, type Reason, TimedOut, Unreachable } from "../ScoreError.ts"
import type { Words } from "./words.ts"

const isError = (u: unknown): u is Error & { readonly code?: unknown; readonly cause?: unknown } => u instanceof Error

/** The innermost error with a code: undici and Node wrap each other's. */
const rootOf = (cause: unknown): { readonly code: string; readonly detail: string } => {
  let code = "UNKNOWN"
  let detail = String(cause)
  for (let at: unknown = cause, depth = 0; isError(at) && depth < 8; at = at.cause, depth++) {
    if (at.message !== "" || code === "UNKNOWN") detail = at.message
    if (typeof at.code === "string") code = at.code
    else if (at.name === "HTTPParserError") code = "HPE_INVALID"
  }
  return { code, detail: detail === "" ? code : detail }
}

/** What a failure of undici means. */
export const reasonOf = (error: unknown, millis: number, words: Words): Reason => {
  const { code, detail } = rootOf(error)
  if (code === "UND_ERR_CONNECT_TIMEOUT") return new TimedOut({ phase: "connect", millis })
  // The peer closed the connection in the middle of an answer. The parser reports it, but the connection failed.
  if (code === "UND_ERR_RES_EXCEEDED_MAX_SIZE" || (code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE")) {
    const what = code.startsWith("HPE_") ? `not HTTP: ${words(detail)}` : "larger than 64 MiB"
    return new BadAnswer({ detail: what, body: "", row: undefined })
  }
  return new Unreachable({ code, detail: words(detail) })
}

/** The fields of an answer's head, by their names in lower case. */
export type Fields = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/** A field that came more than once is one list. */
export const fieldOf = (headers: Fields, name: string): string | undefined => {
  const value = headers[name]
  return value === undefined || typeof value === "string" ? value : value.join(", ")
}

/** Why a protocol cannot read an answer with these headers; `undefined` if it can. */
export const wrongContent = (
  headers: Fields,
  accepts: ReadonlyArray<string> | undefined,
  words: Words
): string | undefined => {
  const coding = fieldOf(headers, "content-encoding")
  if (coding !== undefined && coding.trim().toLowerCase() !== "identity") {
    return `its content encoding is ${words(coding)}, but none was asked for`
  }
  const header = fieldOf(headers, "content-type")
  const type = header?.split(";", 1)[0]?.trim().toLowerCase() ?? ""
  if (accepts === undefined || type === "" || accepts.includes(type)) return undefined
  return `its content type is ${words(type)}, expected ${accepts.join(" or ")}, or none`
}
