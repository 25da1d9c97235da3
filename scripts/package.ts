/**
 * Packs every published package as npm would and lets publint and attw judge the archive. Run `npm run build` first.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")

const run = (command: string, ...args: ReadonlyArray<string>): boolean =>
  spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] }).status === 0

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-pack-"))
try {
  for (const name of Fs.readdirSync(Path.join(root, "packages")).toSorted()) {
    const target = Path.join(folder, name)
    Fs.mkdirSync(target)
    const packed = run("npm", "pack", "--silent", "--workspace", `packages/${name}`, "--pack-destination", target)
    const [archive] = Fs.readdirSync(target)
    if (!packed || archive === undefined) {
      console.error(`packages/${name}: npm pack failed`)
      process.exitCode = 1
      continue
    }
    const file = Path.join(target, archive)
    const published = run("publint", "run", "--strict", file)
    const typed = run("attw", "--profile", "esm-only", "--no-definitely-typed", "--format", "ascii", file)
    if (!published || !typed) process.exitCode = 1
  }
} finally {
  Fs.rmSync(folder, { recursive: true, force: true })
}
