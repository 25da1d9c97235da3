import { Array as Arr, Effect } from "effect"
import type { Protocol } from "../Protocol.ts"
import type { ScoreError } from "../ScoreError.ts"
import { setupError } from "./setup.ts"

/** Everything in a request except its body. */
interface Target {
  readonly origin: string
  /** With the query. */
  readonly path: string
  readonly method: Protocol["method"]
  readonly headers: Readonly<Record<string, string>>
}

/** A URL that batches are sent to, and what is known about it. */
export interface Endpoint {
  readonly name: string
  readonly target: Target
  inFlight: number
  /** Whether there ever was an answer, which proves that the name and the address are right. */
  answered: boolean
}

/** The endpoints of a scorer. */
export interface Endpoints {
  readonly names: string
  /** Bytes of the head of a request, for the endpoint with the longest URL; computed, not measured. */
  readonly headBytes: number
  /** The endpoint with the fewest requests in flight, in turn among equals; not `except`, if there are several. */
  readonly pick: (except: Endpoint | undefined) => Endpoint
}

/** A URL for messages: without its query, which may hold a secret. */
const nameOf = (url: URL): string => url.origin + url.pathname

export const parseEndpoint = (input: string | URL): Effect.Effect<URL, ScoreError> => {
  const text = String(input)
  const url = URL.parse(text)
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    // The text before an @ may be a password, even if the URL does not parse.
    const shown = text.includes("@") ? `...${text.slice(text.lastIndexOf("@"))}` : text
    return Effect.fail(
      setupError(`"${shown}" in \`endpoints\` is not an HTTP URL; write it in full, such as http://host:8080/score`)
    )
  }
  return url.username === "" && url.password === ""
    ? Effect.succeed(url)
    : Effect.fail(
        setupError(`${nameOf(url)}: credentials do not belong in the URL, put them in \`headers\` as Redacted`)
      )
}

// `PUT /score HTTP/1.1`, `host`, `connection`, `content-length` and the given ones.
const headSize = (method: string, url: URL, headers: Readonly<Record<string, string>>): number =>
  `${method} ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\ncontent-length: 400000\r\n\r\n`
    .length + Object.entries(headers).reduce((n, [name, value]) => n + name.length + value.length + 4, 0)

export const make = (
  urls: Arr.NonEmptyReadonlyArray<URL>,
  method: Protocol["method"],
  headers: Readonly<Record<string, string>>
): Endpoints => {
  const endpoints = Arr.map(urls, (url): Endpoint => ({
    name: nameOf(url),
    target: { origin: url.origin, path: url.pathname + url.search, method, headers },
    inFlight: 0,
    answered: false
  }))
  let turn = 0
  return {
    names: endpoints.map(({ name }) => name).join(", "),
    headBytes: urls.reduce((most, url) => Math.max(most, headSize(method, url, headers)), 0),
    pick: (except) => {
      let best: Endpoint | undefined
      turn++
      for (let i = 0; i < endpoints.length; i++) {
        const endpoint = endpoints[(turn + i) % endpoints.length]
        if (endpoint === undefined || (endpoint === except && endpoints.length > 1)) continue
        if (best === undefined || endpoint.inFlight < best.inFlight) best = endpoint
      }
      return best ?? endpoints[0]
    }
  }
}
