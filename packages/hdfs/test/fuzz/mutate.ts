import type { Random } from "./random.ts"

/** An answer before it is bytes. */
export interface Answer {
  readonly status: number
  readonly headers: ReadonlyArray<string>
  readonly body: Buffer
  /** Whether the body is bytes of the file. Nobody can notice wrong bytes there, so the only fault is an early end. */
  readonly isData: boolean
}

/** The bytes on the wire, and how they are sent. */
export interface Wire {
  readonly what: string
  readonly bytes: Buffer
  /** `keep`: the connection stays; `end`, `reset`: it is closed behind the bytes; `flood`: more and more bytes follow. */
  readonly then: "keep" | "end" | "reset" | "flood"
  /** Bytes of which each is sent alone, a moment after the other. */
  readonly slowFrom?: number | undefined
}

const latin1 = (text: string) => Buffer.from(text, "latin1")

const head = (statusLine: string, headers: ReadonlyArray<string>) =>
  latin1(`${[statusLine, ...headers].map((line) => `${line}\r\n`).join("")}\r\n`)

const lines = ({ status }: Answer) => `HTTP/1.1 ${status} Reason`

const lengthOf = ({ body }: Answer) => `Content-Length: ${body.length}`

/** The body in chunks; `size` writes the line of one. */
const chunked = (random: Random, body: Buffer, size: (length: number, last: boolean) => string, end = "\r\n") => {
  const parts: Array<Buffer> = []
  let at = 0
  while (at < body.length) {
    const length = 1 + random.below(Math.min(body.length - at, 30_000))
    parts.push(latin1(size(length, false)), body.subarray(at, at + length), latin1(end))
    at += length
  }
  parts.push(latin1(size(0, true)), latin1("\r\n"))
  return Buffer.concat(parts)
}

const plainSize = (length: number) => `${length.toString(16)}\r\n`

/** The answer as it should be, framed in one of the ways there are. */
export const right = (random: Random, answer: Answer): Wire => {
  const { body, headers } = answer
  switch (random.below(4)) {
    case 0: {
      const chunks = chunked(random, body, plainSize)
      return {
        what: "right, in chunks",
        bytes: Buffer.concat([head(lines(answer), [...headers, "Transfer-Encoding: chunked"]), chunks]),
        then: "keep"
      }
    }
    case 1:
      return {
        what: "right, to the end",
        bytes: Buffer.concat([head(lines(answer), [...headers, "Connection: close"]), body]),
        then: "end"
      }
    default:
      return {
        what: "right, by its length",
        bytes: Buffer.concat([head(lines(answer), [...headers, lengthOf(answer)]), body]),
        then: "keep"
      }
  }
}

const noise = (random: Random, length: number) => Buffer.from(Array.from({ length }, () => random.below(256)))

const flip = (random: Random, bytes: Buffer, below: number) => {
  const copy = Buffer.from(bytes)
  for (let i = 0; i <= random.below(3); i++) {
    const at = random.below(Math.max(1, below))
    copy[at] = random.chance(0.5)
      ? (copy[at] ?? 0) ^ (1 << random.below(8))
      : random.pick([0, 9, 10, 13, 32, 44, 58, 255])
  }
  return copy
}

const oddStatusLines = [
  "HTTP/1.1 200",
  "HTTP/1.0 200 OK",
  "HTTP/2.0 200 OK",
  "HTTP/1.1 20 OK",
  "HTTP/1.1 2000 OK",
  "HTTP/1.1  200 OK",
  "HTTP/1.1 099 OK",
  "HTTP/1.1 999 OK",
  "http/1.1 200 OK",
  "ICY 200 OK",
  "HTTP/1.1 -20 OK",
  "",
  "\r\nHTTP/1.1 200 OK",
  "HTTP/1.1 200 OK\r",
  "HTTP/1.1 200 O\0K",
  `HTTP/1.1 200 ${"x".repeat(70_000)}`
] as const

const oddHeaders = [
  " folded: yes",
  "\tfolded: yes",
  "No colon",
  ": no name",
  "Blank : before",
  "Nul: a\0b",
  "Cr: a\rb",
  "Transfer-Encoding: gzip",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: chunked, gzip",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding:",
  "Content-Encoding: gzip",
  "Content-Encoding: x",
  "Content-Length: 100000000000000000",
  "Content-Length: 18446744073709551617",
  "Content-Length: -1",
  "Content-Length: 0",
  "Content-Length: 1",
  "Content-Length: 0x10",
  "Content-Length: 5, 5",
  "Content-Length: 5;",
  "Content-Length:",
  "Content-Type: text/html",
  "Connection: upgrade\r\nUpgrade: websocket",
  "Keep-Alive: timeout=-1",
  "Location: http://127.0.0.1:1/x",
  "__proto__: x",
  `Long: ${"x".repeat(70_000)}`,
  `${"X: y\r\n".repeat(3000)}X: y`
] as const

const oddBodies = [
  "",
  "null",
  "{}",
  "[]",
  "<html><body>Please log in</body></html>",
  "<".repeat(100_000),
  "[".repeat(100_000),
  `{"a":`.repeat(20_000),
  `{"__proto__":{"boolean":true}}`,
  `{"RemoteException":{"exception":"StandbyException","message":"standby"}}`,
  `{"RemoteException":{"exception":"RetriableException","message":"later"}}`,
  `{"RemoteException":{"exception":"IOException","message":null}}`,
  `{"RemoteException":{"exception":1}}`,
  `{"RemoteException":{"exception":"IOException","message":"${"between local host is: ".repeat(5000)}"}}`,
  "\u{feff}{}",
  '"\ud800"'
] as const

const oddNumbers = ["-1", "1e17", "1.5", "null", '"7"', "9007199254740993", "1e999", "[]", "true"] as const

/** Changes values in JSON, or takes some away. */
const mutateJson = (random: Random, body: string): string => {
  switch (random.below(4)) {
    case 0:
      return body.replace(/:(\d+)/g, (all) => (random.chance(0.2) ? `:${random.pick(oddNumbers)}` : all))
    case 1:
      return body.replace(/"(\w+)":/g, (all, name: string) => (random.chance(0.1) ? `"${name}x":` : all))
    case 2:
      return body.slice(0, random.below(body.length + 1))
    default:
      return body.replace(/"[^"]*"/g, (all) =>
        random.chance(0.1) ? random.pick(['"' + "x".repeat(1000) + '"', '""', '".."', '"a/b"', "7", "null"]) : all
      )
  }
}

const sizeLines: readonly [(n: number) => string, ...ReadonlyArray<(n: number) => string>] = [
  (n) => `${(n + 1).toString(16)}\r\n`,
  (n) => `${Math.max(0, n - 1).toString(16)}\r\n`,
  (n) => `${n.toString(16)} \r\n`,
  (n) => `${n.toString(16)}\n`,
  (n) => `+${n.toString(16)}\r\n`,
  (n) => `0x${n.toString(16)}\r\n`,
  (n) => `g${n.toString(16)}\r\n`,
  (n) => `${n.toString(16)}; a\r\n`,
  (n) => `${n.toString(16)};${"x".repeat(10_000)}\r\n`,
  () => "\r\n",
  () => "ffffffffffffffffff\r\n",
  () => "1fffffffffffff\r\n"
]

/** What a fault is made of: the answer, as it should be and on the wire. */
interface Given {
  readonly random: Random
  readonly answer: Answer
  readonly good: Wire
  /** Bytes of the head of `good`. */
  readonly headBytes: number
}

type Fault = (given: Given) => Wire

const framed = ({ body }: Answer, statusLine: string, all: ReadonlyArray<string>, content: Buffer = body): Buffer =>
  Buffer.concat([head(statusLine, all), content])

const keepOrEnd = (random: Random): Wire["then"] => random.pick(["keep", "end"])

const oddStatus: Fault = ({ answer, random }) => {
  const line = random.pick(oddStatusLines)
  const bytes = framed(answer, line, [...answer.headers, lengthOf(answer)])
  return { what: `status line ${line.slice(0, 20)}`, bytes, then: "keep" }
}

const oddHeader: Fault = ({ answer, random }) => {
  const odd = random.pick(oddHeaders)
  const length = lengthOf(answer)
  const all = random.chance(0.5) ? [...answer.headers, odd, length] : [odd, ...answer.headers, length]
  return { what: `header ${odd.slice(0, 40)}`, bytes: framed(answer, lines(answer), all), then: keepOrEnd(random) }
}

/** Without the length of what comes; not with chunks, whose frames would be data. */
const oddHeaderAlone: Fault = ({ answer, random }) => {
  const odd = random.pick(oddHeaders)
  const bytes = framed(answer, lines(answer), [...answer.headers, odd])
  return { what: `only header ${odd.slice(0, 40)}`, bytes, then: keepOrEnd(random) }
}

const flippedHead: Fault = ({ good, headBytes, random }) => ({
  what: "flips in the head",
  bytes: flip(random, good.bytes, headBytes),
  then: good.then
})

const cut: Fault = ({ good, random }) => ({
  what: "cut",
  bytes: good.bytes.subarray(0, random.below(good.bytes.length + 1)),
  then: random.pick(["end", "reset", "keep"])
})

const moreBehind: Fault = ({ answer, good, random }) => {
  const rest = random.pick([noise(random, 100), good.bytes, latin1("HTTP/1.1 200 OK\r\n\r\n"), latin1("\r\n")])
  // Nothing can follow a body that only ends with the connection.
  const bytes = good.then === "end" && answer.isData ? good.bytes : Buffer.concat([good.bytes, rest])
  return { what: "more behind it", bytes, then: good.then }
}

const inChunks = (answer: Answer, chunks: Buffer) =>
  framed(answer, lines(answer), [...answer.headers, "Transfer-Encoding: chunked"], chunks)

const oddChunk: Fault = ({ answer, random }) => {
  const size = random.pick(sizeLines)
  const odd = random.below(3)
  let n = 0
  const chunks = chunked(random, answer.body, (length) => (n++ === odd ? size(length) : plainSize(length)))
  return { what: "a chunk of another size", bytes: inChunks(answer, chunks), then: keepOrEnd(random) }
}

const oddChunkEnds: Fault = ({ answer, random }) => {
  const end = random.pick(["", "\n", "\r", "\r\n\r\n", "x\r\n"])
  const chunks = chunked(random, answer.body, plainSize, end)
  return { what: "chunks that end otherwise", bytes: inChunks(answer, chunks), then: keepOrEnd(random) }
}

const otherBody: Fault = ({ answer, random }) => {
  const text = latin1(random.pick(oddBodies))
  const status = random.pick([200, 200, 201, 204, 206, 301, 304, 307, 400, 401, 403, 404, 500, 502, 503])
  // Not as many bytes as were asked for: those would be data.
  const isAsLong = answer.isData && text.length === answer.body.length
  const content = isAsLong ? Buffer.concat([text, latin1(" ")]) : text
  return {
    what: `${status} with another body`,
    bytes: framed(answer, `HTTP/1.1 ${status} Reason`, [`Content-Length: ${content.length}`], content),
    then: keepOrEnd(random)
  }
}

const interim: Fault = ({ good, random }) => {
  const status = random.pick([100, 101, 102, 103, 199])
  const one = head(`HTTP/1.1 ${status} Interim`, random.chance(0.3) ? ["Connection: upgrade", "Upgrade: x"] : [])
  const times = random.pick([1, 3, 40, 4000])
  const all = [...Array.from({ length: times }, () => one), random.chance(0.8) ? good.bytes : Buffer.alloc(0)]
  return { what: `${times} times ${status}`, bytes: Buffer.concat(all), then: good.then }
}

const onlyNoise: Fault = ({ random }) => ({
  what: "noise",
  bytes: noise(random, random.below(3000)),
  then: random.pick(["keep", "end", "reset"])
})

const silence: Fault = ({ random }) => ({
  what: "silence",
  bytes: Buffer.alloc(0),
  then: random.pick(["keep", "end", "reset"])
})

const slow: Fault = ({ good, headBytes, random }) => ({
  ...good,
  what: "slow",
  slowFrom: random.pick([0, headBytes, Math.max(0, good.bytes.length - 20)])
})

const floodOfBody: Fault = ({ answer, random }) => {
  const { headers } = answer
  const all = random.pick([
    [...headers],
    [...headers, "Content-Length: 9007199254740991"],
    [...headers, "Transfer-Encoding: chunked"]
  ])
  const bytes = framed(answer, random.pick([lines(answer), "HTTP/1.1 500 No"]), all)
  return { what: "flood of a body", bytes, then: "flood" }
}

const floodOfHead: Fault = ({ answer }) => ({
  what: "flood of a head",
  bytes: latin1(`${lines(answer)}\r\nX: `),
  then: "flood"
})

/** Bytes that are missing, or JSON that says something else. */
const otherContent: Fault = ({ answer, random }) => {
  const { body, headers, isData } = answer
  const sized = (length: number) => [...headers, `Content-Length: ${length}`]
  if (isData) {
    const bytes = framed(answer, lines(answer), sized(body.length), body.subarray(0, random.below(body.length + 1)))
    return { what: "fewer bytes than said", bytes, then: random.pick(["end", "reset", "keep"]) }
  }
  const content = random.chance(0.3)
    ? flip(random, body, body.length)
    : Buffer.from(mutateJson(random, body.toString()))
  return { what: "other JSON", bytes: framed(answer, lines(answer), sized(content.length), content), then: "keep" }
}

const faults: readonly [Fault, ...ReadonlyArray<Fault>] = [
  oddStatus,
  oddHeader,
  oddHeaderAlone,
  flippedHead,
  cut,
  moreBehind,
  oddChunk,
  oddChunkEnds,
  otherBody,
  interim,
  onlyNoise,
  silence,
  slow,
  floodOfBody,
  floodOfHead,
  // A quarter of all.
  otherContent,
  otherContent,
  otherContent,
  otherContent,
  otherContent
]

/** One thing wrong with an answer, or with how it is sent. */
export const wrong = (random: Random, answer: Answer): Wire => {
  const good = right(random, answer)
  const headBytes = good.bytes.indexOf("\r\n\r\n") + 4
  return random.pick(faults)({ random, answer, good, headBytes })
}
