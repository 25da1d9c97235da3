import { Effect } from "effect"
import * as Net from "node:net"

/**
 * A SOCKS 5 proxy that connects from its own address. A NameNode knows a DataNode by the address that its calls come
 * from; without this, all would be 127.0.0.1, and equally near to every reader. It makes no connection before it is
 * `open`.
 */
export const relay = (localAddress: string, open: Promise<unknown>) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket>; readonly port: number }>(
      (resume) => {
        const sockets = new Set<Net.Socket>()
        const hold = (socket: Net.Socket, other: () => Net.Socket | undefined) => {
          sockets.add(socket)
          socket.setNoDelay(true)
          socket.on("error", () => socket.destroy())
          socket.on("close", () => {
            sockets.delete(socket)
            other()?.destroy()
          })
        }
        const server = Net.createServer((socket) => {
          let upstream: Net.Socket | undefined
          let received = Buffer.alloc(0)
          let greeted = false
          hold(socket, () => upstream)
          const onData = (chunk: Buffer) => {
            received = Buffer.concat([received, chunk])
            if (!greeted) {
              if (received.length < 2 || received.length < 2 + received.readUInt8(1)) return
              received = received.subarray(2 + received.readUInt8(1))
              greeted = true
              socket.write(Buffer.from([5, 0]))
            }
            // CONNECT to an IPv4 address and a port, the only request a daemon makes.
            if (received.length < 10) return
            socket.off("data", onData)
            socket.pause()
            const rest = received.subarray(10)
            void open.then(() => {
              if (socket.destroyed) return
              const target = Net.connect(
                { host: received.subarray(4, 8).join("."), port: received.readUInt16BE(8), localAddress },
                () => {
                  socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
                  target.write(rest)
                  socket.pipe(target)
                  target.pipe(socket)
                }
              )
              upstream = target
              hold(target, () => socket)
            })
          }
          socket.on("data", onData)
        })
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = address !== null && typeof address === "object" ? address.port : 0
          resume(Effect.succeed({ server, sockets, port }))
        })
      }
    ),
    ({ server, sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )
