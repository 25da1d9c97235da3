/** Thrown by a codec for a value it does not take. The path is completed on the way up. */
export class Refused {
  readonly path: Array<string> = []
  readonly found: string
  constructor(found: string) {
    this.found = found
  }
}

/** Thrown by a codec for bytes no codec wrote. */
export class Malformed {
  readonly detail: string
  constructor(detail: string) {
    this.detail = detail
  }
}

/** A growing buffer. */
export class Writer {
  bytes: Buffer
  position = 0
  /** Fields sorted, `-0` as `0`: equal values have equal bytes. */
  canonical = false
  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
  }
}

/** A position in a buffer. */
export class Reader {
  bytes: Buffer
  position: number
  end: number
  constructor(bytes: Buffer, position = 0, end = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }
}
