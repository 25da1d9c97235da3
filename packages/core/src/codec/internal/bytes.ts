import { byteAt } from "./elements.ts"

/**
 * Thrown by a codec for a value that it cannot encode. The place in the value is found afterwards, so that other rows
 * do not pay for it.
 */
export class Refused {
  readonly found: string
  readonly path: string | undefined
  constructor(found: string, path?: string) {
    this.found = found
    this.path = path
  }
}

/** Thrown by a codec for bytes that no codec wrote. */
export class Malformed {
  readonly detail: string
  constructor(detail: string) {
    this.detail = detail
  }
}

/** A growing buffer. The fields are public because the codecs write into it byte by byte. */
export class Writer {
  bytes: Buffer
  position = 0
  /** Fields sorted, `-0` as `0`: equal values have equal bytes. */
  canonical = false
  depth = 0

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
  }

  private viewed: { readonly bytes: Buffer; readonly view: DataView } | undefined

  /** The buffer by words. */
  get view(): DataView {
    const { bytes, viewed } = this
    if (viewed?.bytes === bytes) return viewed.view
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.viewed = { bytes, view }
    return view
  }

  /** Makes room for `more` bytes. */
  ensure(more: number): void {
    const needed = this.position + more
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(grown, 0, 0, this.position)
    this.bytes = grown
  }

  varint(value: number): void {
    this.ensure(8)
    const { bytes } = this
    while (value > 0x7f) {
      bytes[this.position++] = (value % 128) | 0x80
      value = Math.floor(value / 128)
    }
    bytes[this.position++] = value
  }

  /** Appends a piece of another buffer. */
  copy(from: Uint8Array, start: number, end: number): void {
    const length = end - start
    this.ensure(length)
    const { bytes, position } = this
    // A native call costs more than a short loop.
    if (length < 48) for (let i = 0; i < length; i++) bytes[position + i] = byteAt(from, start + i)
    else bytes.set(from.subarray(start, end), position)
    this.position = position + length
  }

  /** The bytes that were written. The writer must not be used after this. */
  take(): Buffer {
    return this.bytes.subarray(0, this.position)
  }
}

/** A position in a buffer. */
export class Reader {
  bytes: Buffer
  position: number
  end: number
  depth = 0

  constructor(bytes: Buffer, position = 0, end = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  byte(): number {
    if (this.position >= this.end) throw new Malformed("the bytes end within a value")
    return byteAt(this.bytes, this.position++)
  }

  varint(): number {
    const first = this.byte()
    return first < 0x80 ? first : this.longVarint(first)
  }

  private longVarint(first: number): number {
    let value = first & 0x7f
    let scale = 128
    for (let i = 1; i < 8; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new Malformed("a length has more than eight bytes")
  }

  /** Skips `length` bytes and returns their start. */
  take(length: number): number {
    const start = this.position
    if (length > this.end - start) throw new Malformed("the bytes end within a value")
    this.position = start + length
    return start
  }
}
