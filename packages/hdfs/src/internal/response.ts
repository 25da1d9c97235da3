/** The status and headers of an answer. */
export interface Head {
  readonly status: number
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

/** Bytes of the head, including answers such as `100 Continue` before it and trailers after it. */
const maxHead = 64 * 1024
const maxChunkLine = 4 * 1024
/** Answers such as `100 Continue` before the answer. */
const maxInterim = 16

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\r]*)?$/
const headerName = new RegExp(`^${token}+$`)
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/
/** Whether a header may have this value. */
export const isHeaderValue = (value: string): boolean => headerValue.test(value)

const chunkLine = new RegExp(`^([0-9A-Fa-f]{1,14})(?:;${token}+(?:=(?:${token}+|"(?:[^"\\\\\\r]|\\\\.)*"))?)*$`)

const isBlank = (text: string, at: number) => text.charCodeAt(at) === 32 || text.charCodeAt(at) === 9

/** Without the blanks around it; `trim` removes other characters too. */
const unpadded = (text: string): string => {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text, from)) from++
  while (to > from && isBlank(text, to - 1)) to--
  return text.slice(from, to)
}

/** What is wrong with the headers that say how a body is sent. */
const wrongCoding = (headers: Head["headers"]): string | undefined => {
  const transfer = headers["transfer-encoding"]
  if (transfer !== undefined && String(transfer).toLowerCase() !== "chunked") {
    return `an unknown Transfer-Encoding, ${String(transfer).slice(0, 100)}`
  }
  const content = headers["content-encoding"]
  return content === undefined || String(content).toLowerCase() === "identity"
    ? undefined
    : `a Content-Encoding nobody asked for, ${String(content).slice(0, 100)}`
}

/**
 * Takes an HTTP/1.1 answer apart: its head, then a body by its length, in chunks, or to the end of the connection. As
 * strict as llhttp, Node's own parser: an answer that is not framed as in RFC 9112 is malformed, and none of the rest
 * is taken for data.
 */
export class Response {
  /** Set when the head has arrived. */
  head: Head | undefined
  /** What is wrong with it. */
  malformed: string | undefined
  /** Answers such as `100 Continue` so far. */
  interim = 0
  private readonly onBody: (part: Uint8Array) => void
  private readonly wanted: number
  private received = 0
  /** The line so far. */
  private text = ""
  private state: "status" | "header" | "bytes" | "size" | "after" | "trailer" | "done" = "status"
  private version = "1"
  private status = 0
  private headers = new Map<string, string>()
  private cookies: Array<string> = []
  private headBytes = 0
  private chunked = false
  /** Bytes left of the body, or of its chunk. */
  private remaining = Number.POSITIVE_INFINITY

  /** `onBody` gets views of the input; a body of more than `wanted` bytes is malformed, except that of an error. */
  constructor(onBody: (part: Uint8Array) => void, wanted = Number.POSITIVE_INFINITY) {
    this.onBody = onBody
    this.wanted = wanted
  }

  get done(): boolean {
    return this.state === "done"
  }

  /** Whether the connection can be used for another exchange after the answer. */
  get isKept(): boolean {
    const { headers } = this.head ?? {}
    const isFramed = this.remaining !== Number.POSITIVE_INFINITY
    return isFramed && this.version === "1" && !/(?:^|[\s,])close(?:$|[\s,])/i.test(String(headers?.["connection"]))
  }

  /**
   * Takes the bytes that have arrived; yields how many belong to the answer. Bytes after its end belong to no answer.
   */
  feed(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.length && this.state !== "done" && this.malformed === undefined) at = this.step(bytes, at)
    return at
  }

  /** The connection has ended; yields whether the answer has ended too, because some bodies end with the connection. */
  end(): boolean {
    if (this.state === "bytes" && this.remaining === Number.POSITIVE_INFINITY) this.state = "done"
    return this.done
  }

  /** Takes some bytes from `at` on; yields where it stopped. */
  private step(bytes: Uint8Array, at: number): number {
    if (this.state === "bytes") {
      const end = Math.min(bytes.length, at + this.remaining)
      this.remaining -= end - at
      this.received += end - at
      if (this.isExcess(0)) return end
      if (this.remaining === 0) this.state = this.chunked ? "after" : "done"
      this.onBody(bytes.subarray(at, end))
      return end
    }
    const newline = bytes.indexOf(10, at)
    const end = newline === -1 ? bytes.length : newline + 1
    const fresh = this.text.length < 7
    this.text += Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString("latin1")
    if (this.state === "size" || this.state === "after") {
      if (this.text.length > maxChunkLine) this.malformed = "a chunk with a size line of more than 4 KiB"
    } else {
      this.headBytes += end - at
      if (this.headBytes > maxHead) this.malformed = "a head of more than 64 KiB"
      // A server that speaks another protocol may not end its lines, and would be waited for.
      else if (this.state === "status" && fresh && !"HTTP/1.".startsWith(this.text.slice(0, 7))) {
        this.malformed = "an answer that is not HTTP/1.1"
      }
    }
    if (newline !== -1 && this.malformed === undefined) {
      const line = this.text
      this.text = ""
      if (line.endsWith("\r\n")) this.line(line.slice(0, -2))
      else this.malformed = "a line of the head or between chunks that does not end with CR LF"
    }
    return end
  }

  private line(line: string): void {
    switch (this.state) {
      case "status":
        return this.onStatus(line)
      case "header":
      case "trailer":
        if (line !== "") return this.onHeader(line)
        if (this.state === "trailer") this.state = "done"
        else this.onHead()
        return
      case "after":
        if (line === "") this.state = "size"
        else this.malformed = "a chunk that is longer than its size"
        return
      case "size": {
        const size = Number.parseInt(chunkLine.exec(line)?.[1] ?? "", 16)
        if (!Number.isSafeInteger(size)) {
          this.malformed = "a body in chunks without their sizes"
          return
        }
        if (this.isExcess(size)) return
        this.remaining = size
        this.state = size === 0 ? "trailer" : "bytes"
      }
    }
  }

  /** Whether `more` bytes are more than were wanted: then it is not known which of them are right. */
  private isExcess(more: number): boolean {
    if (this.received + more <= this.wanted || this.status >= 400) return false
    this.malformed = `more than the ${this.wanted} bytes that were asked for: the server ignores the range`
    return true
  }

  private onStatus(line: string): void {
    const found = statusLine.exec(line)
    if (found === null) {
      this.malformed = "an answer that is not HTTP/1.1: no such status line"
      return
    }
    this.version = found[1] ?? "1"
    this.status = Number(found[2])
    this.headers = new Map()
    this.cookies = []
    this.state = "header"
  }

  private onHeader(line: string): void {
    if (isBlank(line, 0)) {
      this.malformed = "a header folded over several lines"
      return
    }
    const colon = line.indexOf(":")
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    const value = unpadded(line.slice(colon + 1))
    if (!headerName.test(name) || !headerValue.test(value)) {
      this.malformed = "a line of the head that is not a header"
      return
    }
    if (this.state === "trailer") return
    const before = this.headers.get(name)
    if (before !== undefined && (name === "content-length" || name === "transfer-encoding")) {
      this.malformed = `more than one ${name} header`
      return
    }
    // A cookie may contain commas.
    if (name === "set-cookie") this.cookies.push(value)
    else this.headers.set(name, before === undefined ? value : `${before}, ${value}`)
  }

  private onHead(): void {
    const { headers, status } = this
    if (status < 200) {
      // `100 Continue` and the like come before the answer; after 101 there is none.
      if (status === 101) this.malformed = "a 101 Switching Protocols nobody asked for"
      else if (++this.interim > maxInterim) this.malformed = `more than ${maxInterim} answers like 100 Continue`
      else this.state = "status"
      return
    }
    const all = Object.fromEntries(headers)
    const head: Head = { status, headers: this.cookies.length === 0 ? all : { ...all, "set-cookie": this.cookies } }
    const length = headers.get("content-length")
    this.chunked = headers.has("transfer-encoding")
    this.malformed = wrongCoding(head.headers)
    if (this.malformed !== undefined) return
    if (this.chunked && (length !== undefined || this.version === "0")) {
      this.malformed = "a Transfer-Encoding beside a Content-Length or in HTTP/1.0"
      return
    }
    if (length !== undefined) {
      this.remaining = /^\d{1,16}$/.test(length) ? Number(length) : Number.NaN
      if (!Number.isSafeInteger(this.remaining)) {
        this.malformed = `a Content-Length of ${length.slice(0, 100)}`
        return
      }
    }
    if (status === 204 || status === 304) this.remaining = 0
    if (this.isExcess(length === undefined ? 0 : this.remaining)) return
    this.head = head
    this.state = this.chunked && this.remaining !== 0 ? "size" : this.remaining === 0 ? "done" : "bytes"
  }
}
