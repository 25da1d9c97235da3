/** The folder for temporary files of this process, and what happens to the folders of others. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, Random, Schedule, Schema } from "effect"
import { Identity, isGone, self } from "../../storage/internal/identity.ts"
import { reason } from "./store.ts"

const OwnerJson = Schema.fromJsonString(Identity)
const OWNER = "owner.json"

// Other programs may have folders whose names begin the same way.
const isOurs = (name: string): boolean => /^sluice-\d+-[0-9a-f]{8}$/.test(name)

// The owner file is written just after the folder is made. A process that cannot be seen from here, in another
// container or on another host, touches its owner file every minute.
const namelessMillis = 60 * 60_000
const silentMillis = 24 * 60 * 60_000
const ownerBytes = 4096

const age = ({ mtimeMs }: fs.Stats): number => Date.now() - mtimeMs

/** Who owns a folder, and when that was last confirmed. A link, a pipe or a device in its place is not opened: any user may put one there. */
const ownerOf = (directory: string): { readonly owner: Identity; readonly stats: fs.Stats } | undefined => {
  let fd: number | undefined
  try {
    fd = fs.openSync(
      path.join(directory, OWNER),
      fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK
    )
    const stats = fs.fstatSync(fd)
    if (!stats.isFile() || stats.size > ownerBytes) return undefined
    return { owner: Schema.decodeSync(OwnerJson)(fs.readFileSync(fd, "utf8")), stats }
  } catch {
    // Missing, or not completely written.
    return undefined
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

const isLeft = (directory: string): boolean => {
  const stats = fs.lstatSync(directory)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.()) return false
  const found = ownerOf(directory)
  return found === undefined ? age(stats) > namelessMillis : isGone(found.owner) || age(found.stats) > silentMillis
}

/** Deletes the folders of dead processes. */
const sweep = (parent: string): void => {
  for (const name of fs.readdirSync(parent)) {
    if (!isOurs(name)) continue
    const directory = path.join(parent, name)
    try {
      if (isLeft(directory)) fs.rmSync(directory, { recursive: true, force: true })
    } catch {
      // Another process was faster, or the folder is not ours to delete.
    }
  }
}

/** A folder of this process, deleted with the scope. Folders of dead processes are deleted at once. */
export const makeFolder = Effect.fnUntraced(function* (parent: string = os.tmpdir()) {
  const suffix = (yield* Random.nextIntBetween(0, 0xffffffff)).toString(16).padStart(8, "0")
  const own = path.join(parent, `sluice-${process.pid}-${suffix}`)
  const owner = path.join(own, OWNER)
  yield* Effect.acquireRelease(
    Effect.try({
      try: () => {
        fs.mkdirSync(parent, { recursive: true })
        sweep(parent)
        // Not `recursive`, which would accept a folder or a link that somebody else has put there.
        fs.mkdirSync(own, { mode: 0o700 })
        fs.writeFileSync(owner, JSON.stringify(self), { flag: "wx", mode: 0o600 })
      },
      catch: (error) => reason(own, error)
    }),
    () => Effect.sync(() => fs.rmSync(own, { recursive: true, force: true }))
  )
  yield* Effect.try(() => fs.utimesSync(owner, new Date(), new Date())).pipe(
    Effect.ignore,
    Effect.repeat(Schedule.spaced("1 minute")),
    Effect.delay("1 minute"),
    Effect.forkScoped
  )
  return own
})
