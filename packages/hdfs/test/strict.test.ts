import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { Response } from "../src/internal/response.ts"
import { readAll, reason } from "./support/client.ts"
import { serveRaw } from "./support/rawServer.ts"
import { cluster, content, withClient } from "./support/wrongCluster.ts"

describe("HTTP/1.1 as strict as llhttp", () => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
  const ok = `HTTP/1.1 200 OK\r\nContent-Length: 20\r\n`
  const broken: ReadonlyArray<readonly [title: string, bytes: string]> = [
    ["another protocol", "ICY 200 OK\r\n\r\n"],
    ["HTTP/0.9", content],
    ["HTTP/2.0", `HTTP/2.0 200 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["HTTP/1.2", `HTTP/1.2 200 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status of two digits", `HTTP/1.1 20 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status of four digits", `HTTP/1.1 2000 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status behind two blanks", `HTTP/1.1  200 OK\r\nContent-Length: 20\r\n\r\n${content}`],
    ["a status line that ends with LF", `HTTP/1.1 200 OK\nContent-Length: 20\r\n\r\n${content}`],
    ["a header that ends with LF", `${ok.slice(0, -2)}\n\r\n${content}`],
    ["a header that ends with CR", `${ok.slice(0, -2)}\r\r\n\r\n${content}`],
    ["a head that ends with LF LF", `${ok}\n${content}`],
    ["a folded header", `${ok}X: a\r\n b\r\n\r\n${content}`],
    ["a folded length", `HTTP/1.1 200 OK\r\nContent-Length:\r\n 20\r\n\r\n${content}`],
    ["a header without a colon", `${ok}Nonsense\r\n\r\n${content}`],
    ["a header without a name", `${ok}: a\r\n\r\n${content}`],
    ["a blank before the colon", `${ok}X : a\r\n\r\n${content}`],
    ["a NUL in a header", `${ok}X: a\0b\r\n\r\n${content}`],
    ["two lengths", `${ok}Content-Length: 21\r\n\r\n${content}`],
    ["two lengths that are the same", `${ok}Content-Length: 20\r\n\r\n${content}`],
    ["a list of lengths", `HTTP/1.1 200 OK\r\nContent-Length: 20, 20\r\n\r\n${content}`],
    ["a length with a sign", `HTTP/1.1 200 OK\r\nContent-Length: +20\r\n\r\n${content}`],
    ["a length and chunks", `${ok}Transfer-Encoding: chunked\r\n\r\n14\r\n${content}\r\n0\r\n\r\n`],
    ["chunks and a length", `${chunked.slice(0, -2)}Content-Length: 20\r\n\r\n14\r\n${content}\r\n0\r\n\r\n`],
    ["an unknown transfer coding", `HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n${content}`],
    [
      "a transfer coding before the chunks",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n14\r\n${content}\r\n0\r\n\r\n`
    ],
    ["identity as a transfer coding", `HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n${content}`],
    ["a content coding", `${ok}Content-Encoding: gzip\r\n\r\n${content}`],
    ["an unknown content coding", `${ok}Content-Encoding: lines\r\n\r\n${content}`],
    ["no chunk size", `${chunked}\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size that is not a number", `${chunked}xy\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size with a sign", `${chunked}-14\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size with 0x", `${chunked}0x14\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size and a blank", `${chunked}14 \r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size beyond all numbers", `${chunked}ffffffffffffffff\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk size that ends with LF", `${chunked}14\n${content}\r\n0\r\n\r\n`],
    ["a chunk longer than its size", `${chunked}13\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk that ends with LF", `${chunked}14\r\n${content}\n0\r\n\r\n`],
    ["an invalid chunk extension", `${chunked}14; a\r\n${content}\r\n0\r\n\r\n`],
    ["a chunk extension without an end", `${chunked}14;${"a".repeat(9000)}`],
    ["a trailer that is not a header", `${chunked}14\r\n${content}\r\n0\r\nNonsense\r\n\r\n`]
  ]
  for (const [title, bytes] of broken) {
    it.live(`${title} is an error of the protocol`, () =>
      Effect.gen(function* () {
        const data = yield* serveRaw(cluster((_, socket) => void socket.end(bytes, "latin1")))
        yield* withClient({ nameNodes: [data.url] }, (hdfs) =>
          Effect.gen(function* () {
            yield* reason(readAll(hdfs), "Protocol")
            yield* reason(hdfs.readRange("/f", 0, 20), "Protocol")
          })
        )
        // In the head nothing of it is data.
        const parts: Array<Uint8Array> = []
        const response = new Response((part) => parts.push(part))
        response.feed(Buffer.from(bytes, "latin1"))
        assert.isDefined(response.malformed)
        assert.strictEqual(response.head === undefined ? parts.length : 0, 0)
      }).pipe(Effect.scoped)
    )
  }

  const fine: ReadonlyArray<readonly [title: string, bytes: string]> = [
    ["a length", `${ok}\r\n${content}`],
    ["no reason", `HTTP/1.1 200\r\nContent-Length: 20\r\n\r\n${content}`],
    ["odd case and blanks", `HTTP/1.1 200 \xe9\r\ncONTENT-lENGTH: \t20 \t\r\nX:\r\n\r\n${content}`],
    ["HTTP/1.0", `HTTP/1.0 200 OK\r\n\r\n${content}`],
    ["interim answers", `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${ok}\r\n${content}`],
    ["chunks", `${chunked}0a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n`],
    ["extensions and trailers", `${chunked}14;a;b=c;d="e;\\"f"\r\n${content}\r\n000;last\r\nX: y\r\n\r\n`],
    ["an identity coding", `${ok}Content-Encoding: identity\r\n\r\n${content}`]
  ]
  for (const [title, bytes] of fine) {
    it(`${title}: the same however the bytes are cut`, () => {
      const run = (cuts: ReadonlyArray<number>) => {
        let text = ""
        const response = new Response((part) => (text += Buffer.from(part).toString("latin1")))
        const all = Buffer.from(bytes, "latin1")
        const at = [0, ...cuts.map((cut) => cut % all.length).toSorted((a, b) => a - b), all.length]
        for (let i = 1; i < at.length; i++) response.feed(all.subarray(at[i - 1], at[i]))
        return [response.malformed, response.end(), response.head?.status, text]
      }
      fc.assert(
        fc.property(fc.array(fc.nat(1000)), (cuts) => {
          assert.deepStrictEqual(run(cuts), [undefined, true, 200, content])
        })
      )
    })
  }
})
