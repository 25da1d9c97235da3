import type { HttpClientError } from "effect/http/HttpClientError"
import { BadAnswer, type Reason, TimedOut, Unreachable } from "../ScoreError.ts"

const decoder = new TextDecoder()

/** The first bytes of an answer for people. */
export const firstBytes = (answer: ArrayBuffer): string =>
  // Control characters would garble a terminal, and binary answers have plenty of them.
  // oxlint-disable-next-line no-control-regex
  decoder.decode(answer.slice(0, 256)).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "\u00b7")

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

/** What a failure of the HTTP client means. */
export const reasonOf = (error: HttpClientError, millis: number): Reason => {
  const { code, detail } = rootOf("cause" in error.reason ? error.reason.cause : error)
  if (code === "UND_ERR_CONNECT_TIMEOUT") return new TimedOut({ phase: "connect", millis })
  // The peer went away in the middle of an answer: its parser says so, but it is the connection that failed.
  if (code === "UND_ERR_RES_EXCEEDED_MAX_SIZE" || (code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE")) {
    const what = code.startsWith("HPE_") ? `not HTTP: ${detail}` : "larger than 64 MiB"
    return new BadAnswer({ detail: what, body: "", row: undefined })
  }
  return new Unreachable({ code, detail })
}
