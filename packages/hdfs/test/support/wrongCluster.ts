/** A cluster of one file in one process, whose NameNode and DataNode send what a test wants: bytes that no healthy server sends. */
import type * as Net from "node:net"
import * as Client from "./client.ts"
import { answer, json, type RawRequest, type Script } from "./rawServer.ts"

/** With time for servers on a busy machine: everything here ends by itself. */
export const withClient: typeof Client.withClient = (options, use, auth) =>
  Client.withClient({ readTimeout: "20 seconds", operationTimeout: "30 seconds", ...options }, use, auth)

export const content = "0123456789abcdefghij"
export const range = ({ url }: RawRequest) => {
  const offset = Number(url.searchParams.get("offset"))
  const length = url.searchParams.get("length")
  return content.slice(offset, length === null ? undefined : offset + Number(length))
}

/** A cluster of one file `content`, in one process; `data` is its DataNode. */
export const cluster = (
  data: (request: RawRequest, socket: Net.Socket, n: number) => void,
  other: Partial<Record<string, (request: RawRequest) => Uint8Array>> = {}
): Script => {
  let n = 0
  return (request, socket, _, server) => {
    const { operation, url } = request
    if (url.pathname.startsWith("/data")) return data(request, socket, n++)
    const own = other[operation]
    if (own !== undefined) return socket.write(own(request))
    switch (operation) {
      case "GETFILESTATUS":
        return socket.write(json({ FileStatus: { ...Client.fileStatus, length: content.length } }))
      case "GETFILEBLOCKLOCATIONS":
        return socket.write(json({ BlockLocations: { BlockLocation: [] } }))
      default:
        return socket.write(json({ Location: `${server.url}/data${url.search}` }))
    }
  }
}

export const block = (offset: number, length: number, hosts: ReadonlyArray<string>) => ({
  offset,
  length,
  corrupt: false,
  hosts,
  names: hosts.map((host) => `${host}:9866`),
  topologyPaths: hosts
})

export const good = (request: RawRequest, socket: Net.Socket) => void socket.end(answer(200, range(request)))

export const http = (head: string, body = "") =>
  Buffer.from(`${head.replaceAll("\n", "\r\n")}\r\n\r\n${body}`, "latin1")
