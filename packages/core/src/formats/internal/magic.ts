/** Recognises files that are not text. */

const startsWith = (bytes: Uint8Array, magic: string | ReadonlyArray<number>): boolean => {
  const expected = typeof magic === "string" ? Buffer.from(magic, "latin1") : magic
  return bytes.length >= expected.length && expected.every((byte, index) => bytes[index] === byte)
}

// Letters alone may be the beginning of a text, but the bytes that follow them in such a file cannot.
const hasControl = (bytes: Uint8Array): boolean => bytes.subarray(0, 64).some((byte) => byte < 9)

/** The kind of a file that is not UTF-8 text, from its first bytes, and what to do with it. */
export const sniff = (bytes: Uint8Array): string | undefined => {
  if (startsWith(bytes, [0x1f, 0x8b, 8])) return "a gzip file; give it a name that ends with .gz"
  if (startsWith(bytes, [0x50, 0x4b, 3, 4])) return "a zip file; unpack it"
  if (startsWith(bytes, [0x28, 0xb5, 0x2f, 0xfd])) return "a zstd file; unpack it"
  if (startsWith(bytes, [0xff, 0xfe]) || startsWith(bytes, [0xfe, 0xff])) return "text in UTF-16; convert it to UTF-8"
  if (startsWith(bytes, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0])) return "an xz file; unpack it"
  if (!hasControl(bytes)) return undefined
  if (startsWith(bytes, "PAR1") || startsWith(bytes, "PARE")) return "a Parquet file; read it with Dataset.parquet"
  if (startsWith(bytes, "ORC")) return "an ORC file; convert it to Parquet"
  if (startsWith(bytes, "Obj\u0001")) return "an Avro file; convert it to Parquet"
  if (startsWith(bytes, "ARROW1")) return "an Arrow file; convert it to Parquet"
  if (startsWith(bytes, "BZh")) return "a bzip2 file; unpack it"
  return undefined
}
