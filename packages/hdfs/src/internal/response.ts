/** The status and headers of an answer. */
export interface Head {
  readonly status: number
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

const maxHead = 64 * 1024

/** Takes an HTTP/1.1 answer apart: its head, then a body by its length, in chunks, or to the end of the connection. */
export class Response {
  /** Once it is there. */
  head: Head | undefined
  /** What is wrong with it. */
  malformed: string | undefined
  /** Whether the connection may be used again after the body. */
  reusable = false
  private readonly onBody: (part: Uint8Array) => void
  private text = ""
  private state: "head" | "bytes" | "size" | "after" | "trailer" | "done" = "head"
  private chunked = false
  /** Of the body, or of its chunk. */
  private remaining = Number.POSITIVE_INFINITY

  /** `onBody` gets views of what is fed. */
  constructor(onBody: (part: Uint8Array) => void) {
    this.onBody = onBody
  }

  get done(): boolean {
    return this.state === "done"
  }

  feed(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && this.state !== "done" && this.malformed === undefined) at = this.step(bytes, at)
    // What comes behind the answer belongs to nobody.
    if (at < bytes.length) this.reusable = false
  }

  /** The connection has ended; yields whether the answer has too, which some bodies end with. */
  end(): boolean {
    if (this.state === "bytes" && this.remaining === Number.POSITIVE_INFINITY) this.state = "done"
    return this.done
  }

  /** Takes some bytes from `at` on; yields where it stopped. */
  private step(bytes: Uint8Array, at: number): number {
    if (this.state === "bytes") {
      const end = Math.min(bytes.length, at + this.remaining)
      this.remaining -= end - at
      if (this.remaining === 0) this.state = this.chunked ? "after" : "done"
      this.onBody(bytes.subarray(at, end))
      return end
    }
    const newline = bytes.indexOf(10, at)
    const end = newline === -1 ? bytes.length : newline + 1
    this.text += Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString("latin1")
    if (this.text.length > maxHead) this.malformed = "a head of more than 64 KiB"
    else if (newline !== -1) this.line()
    return end
  }

  /** A line is complete; a head is with its empty line. */
  private line(): void {
    if (this.state === "head") {
      if (this.text.endsWith("\n\r\n") || this.text.endsWith("\n\n")) this.onHead()
      return
    }
    const line = this.text.trimEnd()
    this.text = ""
    if (this.state === "after") this.state = "size"
    else if (this.state === "trailer") {
      if (line === "") this.state = "done"
    } else {
      const size = /^[0-9a-f]{1,12}(?=\s*(;|$))/i.exec(line)
      if (size === null) {
        this.malformed = "a body in chunks without their sizes"
        return
      }
      this.remaining = Number.parseInt(size[0], 16)
      this.state = this.remaining === 0 ? "trailer" : "bytes"
    }
  }

  private onHead(): void {
    const [first = "", ...lines] = this.text.trimEnd().split("\n")
    this.text = ""
    const found = /^HTTP\/1\.([01]) (\d{3})\b/.exec(first)
    if (found === null) {
      this.malformed = "an answer that is not HTTP/1.1"
      return
    }
    const status = Number(found[2])
    // `100 Continue` and the like come before the answer.
    if (status < 200) return
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(":")
      if (colon <= 0) continue
      const name = line.slice(0, colon).trim().toLowerCase()
      const value = line.slice(colon + 1).trim()
      const before = headers[name]
      headers[name] = before === undefined ? value : `${before}, ${value}`
    }
    this.head = { status, headers }
    const length = headers["content-length"]
    this.chunked = /\bchunked$/i.test(headers["transfer-encoding"] ?? "")
    if (status === 204 || status === 304) this.remaining = 0
    else if (this.chunked || length === undefined) this.remaining = Number.POSITIVE_INFINITY
    else if (/^\d{1,15}$/.test(length)) this.remaining = Number(length)
    else this.malformed = `a Content-Length of ${length}`
    this.state = this.remaining === 0 ? "done" : this.chunked ? "size" : "bytes"
    this.reusable =
      found[1] === "1" &&
      !/\bclose\b/i.test(headers["connection"] ?? "") &&
      (this.chunked || this.remaining !== Number.POSITIVE_INFINITY)
  }
}
