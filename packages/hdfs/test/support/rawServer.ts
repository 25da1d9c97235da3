import { Effect } from "effect"
import * as Net from "node:net"

/** A request as it arrived, with its whole body. */
export interface RawRequest {
  readonly method: string
  readonly url: URL
  /** `op` of the query. */
  readonly operation: string
  readonly body: Buffer
}

export interface RawServer {
  readonly url: string
  readonly seen: ReadonlyArray<RawRequest>
  /** The most bytes that one connection was sent. */
  readonly mostSent: () => number
}

/** What the server does with the `n`-th request (from 0) on its connection: it may send any bytes. */
export type Script = (request: RawRequest, socket: Net.Socket, n: number, server: RawServer) => void

const headEnd = Buffer.from("\r\n\r\n")
const lastChunk = Buffer.from("0\r\n\r\n")

/** The end of the request that begins with these bytes, -1 while it is not all there; chunks are as the client writes them. */
const endOf = (bytes: Buffer): number => {
  const end = bytes.indexOf(headEnd)
  if (end < 0) return -1
  const head = bytes.toString("latin1", 0, end).toLowerCase()
  const from = end + headEnd.length
  if (head.includes("transfer-encoding: chunked")) {
    const last = bytes.indexOf(lastChunk, from)
    return last < 0 ? -1 : last + lastChunk.length
  }
  const to = from + Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0)
  return to <= bytes.length ? to : -1
}

/** A server on the loopback that speaks HTTP only as well as its script does. */
export const serveRaw = (script: Script, options?: { readonly onHead?: (socket: Net.Socket, head: string) => void }) =>
  Effect.acquireRelease(
    Effect.callback<RawServer & { readonly close: () => void }>((resume) => {
      const seen: Array<RawRequest> = []
      const sockets = new Set<Net.Socket>()
      let most = 0
      const state: { server: RawServer } = { server: { url: "", seen, mostSent: () => most } }
      const server = Net.createServer((socket) => {
        sockets.add(socket)
        let bytes = Buffer.alloc(0)
        let headSeen = false
        socket.on("error", () => undefined)
        socket.on("close", () => {
          sockets.delete(socket)
          most = Math.max(most, socket.bytesWritten)
        })
        socket.on("data", (more) => {
          bytes = Buffer.concat([bytes, more])
          const head = bytes.indexOf(headEnd)
          if (!headSeen && head >= 0) {
            headSeen = true
            options?.onHead?.(socket, bytes.toString("latin1", 0, head))
          }
          for (let end = endOf(bytes); end >= 0; end = endOf(bytes)) {
            const [method = "", target = "/"] = bytes.toString("latin1", 0, end).split(" ", 2)
            const url = new URL(target, state.server.url)
            const body = bytes.subarray(bytes.indexOf(headEnd) + headEnd.length, end)
            bytes = bytes.subarray(end)
            headSeen = false
            const request = { method, url, operation: url.searchParams.get("op") ?? "", body }
            script(request, socket, seen.push(request) - 1, state.server)
          }
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = address !== null && typeof address === "object" ? address.port : 0
        state.server = { url: `http://127.0.0.1:${port}`, seen, mostSent: () => most }
        resume(
          Effect.succeed({
            ...state.server,
            close: () => {
              for (const socket of sockets) socket.destroy()
              server.close()
            }
          })
        )
      })
    }),
    (server) => Effect.sync(server.close)
  )

/** An answer of HTTP/1.1 with its length. */
export const answer = (status: number, body: string | Uint8Array, headers: ReadonlyArray<string> = []): Buffer =>
  Buffer.concat([
    Buffer.from(
      [`HTTP/1.1 ${status} Reason`, ...headers, `Content-Length: ${Buffer.byteLength(body)}`, "", ""].join("\r\n")
    ),
    Buffer.from(body)
  ])

export const json = (value: unknown, status = 200): Buffer =>
  answer(status, JSON.stringify(value), ["Content-Type: application/json"])
