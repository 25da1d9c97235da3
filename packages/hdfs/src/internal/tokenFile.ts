/** A token of a Hadoop credentials file. */
export interface HadoopToken {
  readonly alias: string
  readonly kind: string
  readonly service: string
  /** In the form of `Token.encodeToUrlString`, for the `delegation` parameter. */
  readonly urlString: string
}

class Reader {
  readonly bytes: Uint8Array
  position: number
  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = bytes
    this.position = position
  }
  get done(): boolean {
    return this.position >= this.bytes.length
  }
  byte(): number {
    const value = this.bytes[this.position++]
    if (value === undefined) throw new RangeError(`ends at byte ${this.bytes.length}`)
    return value
  }
  take(length: number): Uint8Array {
    if (length < 0 || this.position + length > this.bytes.length) {
      throw new RangeError(`a field of ${length} bytes at byte ${this.position} of ${this.bytes.length}`)
    }
    this.position += length
    return this.bytes.subarray(this.position - length, this.position)
  }
  /** Hadoop's `WritableUtils.readVInt`. */
  vint(): number {
    const first = (this.byte() << 24) >> 24
    if (first >= -112) return first
    const negative = first < -120
    let value = 0
    for (let left = negative ? -(first + 120) : -(first + 112); left > 0; left--) value = value * 256 + this.byte()
    return negative ? -value - 1 : value
  }
  /** Protobuf's varint; lengths and tags fit 32 bits. */
  varint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new RangeError("a varint of more than five bytes")
  }
  text(): string {
    return decoder.decode(this.take(this.vint()))
  }
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

const vint = (value: number): Array<number> => {
  if (value <= 127) return [value]
  const bytes: Array<number> = []
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [(-112 - bytes.length) & 0xff, ...bytes]
}

const field = (bytes: Uint8Array) => [...vint(bytes.length), ...bytes]

const urlString = (identifier: Uint8Array, password: Uint8Array, kind: string, service: string): string =>
  Buffer.from([
    ...field(identifier),
    ...field(password),
    ...field(encoder.encode(kind)),
    ...field(encoder.encode(service))
  ]).toString("base64url")

const make = (alias: string, identifier: Uint8Array, password: Uint8Array, kind: string, service: string) => ({
  alias,
  kind,
  service,
  urlString: urlString(identifier, password, kind, service)
})

const readWritable = (reader: Reader): Array<HadoopToken> => {
  const tokens: Array<HadoopToken> = []
  for (let count = reader.vint(); count > 0; count--) {
    const alias = reader.text()
    const identifier = reader.take(reader.vint())
    const password = reader.take(reader.vint())
    tokens.push(make(alias, identifier, password, reader.text(), reader.text()))
  }
  return tokens
}

/** The length-delimited fields of a protobuf message, by number. */
const fields = (reader: Reader): ReadonlyArray<readonly [number, Uint8Array]> => {
  const found: Array<readonly [number, Uint8Array]> = []
  while (!reader.done) {
    const tag = reader.varint()
    if ((tag & 7) !== 2) throw new RangeError(`an unknown wire type at byte ${reader.position}`)
    found.push([tag >>> 3, reader.take(reader.varint())])
  }
  return found
}

const readProtobuf = (reader: Reader): Array<HadoopToken> => {
  const tokens: Array<HadoopToken> = []
  const empty = new Uint8Array()
  for (const [number, entry] of fields(new Reader(reader.take(reader.varint())))) {
    if (number !== 1) continue
    const pair = new Map(fields(new Reader(entry)))
    const token = new Map(fields(new Reader(pair.get(2) ?? empty)))
    tokens.push(
      make(
        decoder.decode(pair.get(1) ?? empty),
        token.get(1) ?? empty,
        token.get(2) ?? empty,
        decoder.decode(token.get(3) ?? empty),
        decoder.decode(token.get(4) ?? empty)
      )
    )
  }
  return tokens
}

/** Reads both formats of Hadoop's `Credentials`; throws a `RangeError` that says what is wrong with the bytes. */
export const parseTokenFile = (bytes: Uint8Array): ReadonlyArray<HadoopToken> => {
  const reader = new Reader(bytes)
  if (decoder.decode(reader.take(4)) !== "HDTS") throw new RangeError("it does not begin with HDTS")
  const version = reader.byte()
  if (version === 0) return readWritable(reader)
  if (version === 1) return readProtobuf(reader)
  throw new RangeError(`version ${version} is unknown`)
}
