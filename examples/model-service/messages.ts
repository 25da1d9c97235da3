/**
 * How the embedded model service reads requests and writes answers for any path: whole bodies, JSON, and methods.
 *
 * @since 0.1.0
 */
import type * as Http from "node:http"

/** Answers with JSON. */
export const json = (
  response: Http.ServerResponse,
  status: number,
  value: unknown,
  headers?: Http.OutgoingHttpHeaders
): void => {
  const body = JSON.stringify(value)
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers
  })
  response.end(body)
}

/** Answers with the reason why there is no other answer. */
export const refuse = (
  response: Http.ServerResponse,
  status: number,
  error: string,
  headers?: Http.OutgoingHttpHeaders
): void => json(response, status, { error }, headers)

/** A new buffer, so that a view of it is aligned for float32. */
const joined = (chunks: ReadonlyArray<Buffer>, length: number): Uint8Array<ArrayBuffer> => {
  const body = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    body.set(chunk, offset)
    offset += chunk.byteLength
  }
  return body
}

/** Calls `done` with the whole body, or answers 413 and discards the rest of it. */
export const readBody = (
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  limit: number,
  done: (body: Uint8Array<ArrayBuffer>) => void
): void => {
  const announced = Number(request.headers["content-length"] ?? 0)
  let chunks: Array<Buffer> | undefined = []
  let length = 0
  const tooLarge = () => {
    chunks = undefined
    refuse(response, 413, `body is larger than ${limit} bytes`)
  }
  if (announced > limit) tooLarge()
  request.on("data", (chunk: Buffer) => {
    if (chunks === undefined) return
    length += chunk.byteLength
    chunks.push(chunk)
    if (length > limit) tooLarge()
  })
  request.on("end", () => {
    if (chunks !== undefined) done(joined(chunks, length))
  })
}

/** Calls the handler of the request's method, or answers 405 with the allowed methods. */
export const only = (
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  handlers: Readonly<Record<string, () => void>>
): void => {
  const handler = handlers[request.method ?? ""]
  if (handler !== undefined) return handler()
  const allow = Object.keys(handlers).join(", ")
  request.resume()
  refuse(response, 405, `method ${request.method} not allowed: use ${allow}`, { allow })
}
