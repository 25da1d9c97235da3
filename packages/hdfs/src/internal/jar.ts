import * as Fs from "node:fs"
import * as Zlib from "node:zlib"

const local = { signature: 0x04034b50, length: 30 }
const central = { signature: 0x02014b50, length: 46 }
const end = { signature: 0x06054b50, length: 22 }

/**
 * Rewrites a jar with its entries uncompressed, as `jar -0` does. What it cannot read (more than 65,535 entries or 4 GiB) it leaves
 * as it is.
 */
export const storeEntries = (path: string): void => {
  const jar = Fs.readFileSync(path)
  const at = jar.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]))
  if (at < 0 || jar.readUInt32LE(at) !== end.signature) return
  const entries = jar.readUInt16LE(at + 10)
  let header = jar.readUInt32LE(at + 16)
  if (entries === 0xffff || header === 0xffffffff) return

  const parts: Array<Uint8Array> = []
  const directory: Array<Uint8Array> = []
  let offset = 0
  for (let i = 0; i < entries; i++) {
    if (jar.readUInt32LE(header) !== central.signature) return
    const compressed = jar.readUInt32LE(header + 20)
    const nameLength = jar.readUInt16LE(header + 28)
    const name = jar.subarray(header + central.length, header + central.length + nameLength)
    const from = jar.readUInt32LE(header + 42)
    const start = from + local.length + jar.readUInt16LE(from + 26) + jar.readUInt16LE(from + 28)
    const raw = jar.subarray(start, start + compressed)
    const bytes = jar.readUInt16LE(header + 10) === 0 ? raw : Zlib.inflateRawSync(raw)

    // What both headers have: version, flags, method, time and date, checksum, lengths; no extra field.
    const shared = Buffer.alloc(26)
    shared.writeUInt16LE(20, 0)
    // Without the bit of a checksum that follows the data.
    shared.writeUInt16LE(jar.readUInt16LE(header + 8) & ~8, 2)
    jar.copy(shared, 6, header + 12, header + 20)
    shared.writeUInt32LE(bytes.length, 14)
    shared.writeUInt32LE(bytes.length, 18)
    shared.writeUInt16LE(nameLength, 22)

    const localHeader = Buffer.alloc(local.length)
    localHeader.writeUInt32LE(local.signature, 0)
    shared.copy(localHeader, 4)
    const centralHeader = Buffer.alloc(central.length)
    centralHeader.writeUInt32LE(central.signature, 0)
    centralHeader.writeUInt16LE(jar.readUInt16LE(header + 4), 4)
    shared.copy(centralHeader, 6)
    jar.copy(centralHeader, 36, header + 36, header + 42)
    centralHeader.writeUInt32LE(offset, 42)

    parts.push(localHeader, name, bytes)
    directory.push(centralHeader, name)
    offset += localHeader.length + name.length + bytes.length
    header += central.length + nameLength + jar.readUInt16LE(header + 30) + jar.readUInt16LE(header + 32)
  }
  const directoryLength = directory.reduce((sum, each) => sum + each.length, 0)
  const footer = Buffer.alloc(end.length)
  footer.writeUInt32LE(end.signature, 0)
  footer.writeUInt16LE(entries, 8)
  footer.writeUInt16LE(entries, 10)
  footer.writeUInt32LE(directoryLength, 12)
  footer.writeUInt32LE(offset, 16)

  Fs.writeFileSync(path, Buffer.concat([...parts, ...directory, footer]))
}
