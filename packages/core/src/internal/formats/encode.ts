/** The last step of writing text. */
import { createGzip } from "node:zlib"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Stream } from "effect"

/** Text as UTF-8, compressed if asked for. */
export const compress =
  (compression: "gzip" | undefined) =>
  <E, R>(text: Stream.Stream<string, E, R>): Stream.Stream<Uint8Array, E, R> => {
    const bytes = Stream.map(text, (piece): Uint8Array => Buffer.from(piece, "utf8"))
    return compression === undefined
      ? bytes
      : NodeStream.pipeThroughDuplex(bytes, {
          evaluate: () => createGzip(),
          // Compressing bytes in memory has no way to fail; if it does, it is a defect.
          onError: (error): never => {
            throw error
          }
        })
  }
