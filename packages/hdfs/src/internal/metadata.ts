/** The operations on the metadata of files and directories: status, access control lists and attributes. */
import { Effect, Option } from "effect"
import type * as M from "../HdfsModel.ts"
import * as Answers from "./answers.ts"
import { type Asking, nothing } from "./asking.ts"
import type { Blocks } from "./blocks.ts"
import type { Acls, Result, Status, XAttrs } from "./contract.ts"
import * as Listing from "./listing.ts"

/** The status of a path, if it exists. */
export const find = (getFileStatus: Status["getFileStatus"], path: string): Result<Option.Option<M.FileStatus>> =>
  getFileStatus(path).pipe(
    Effect.map(Option.some),
    Effect.catchIf(
      (error) => error.reason._tag === "FileNotFound",
      () => Effect.succeedNone
    )
  )

const getFileBlockLocations =
  ({ get }: Asking, known: Blocks): Status["getFileBlockLocations"] =>
  (path, range) =>
    Effect.map(
      get(
        "GETFILEBLOCKLOCATIONS",
        path,
        Answers.BlockLocationsAnswer,
        range === undefined ? {} : { offset: range.offset, length: range.length }
      ),
      ({ BlockLocations }) => {
        known.see(path, range?.offset ?? 0, BlockLocations.BlockLocation)
        return BlockLocations.BlockLocation
      }
    )

/** Block locations are remembered in `known`. */
export const status = (asking: Asking, known: Blocks): Status => {
  const { ask, get, put } = asking
  const getFileStatus = (path: string) =>
    Effect.map(get("GETFILESTATUS", path, Answers.FileStatusAnswer), (answer) => answer.FileStatus)
  return {
    getFileStatus,
    exists: (path) => Effect.map(find(getFileStatus, path), Option.isSome),
    getFileBlockLocations: getFileBlockLocations(asking, known),
    getFileLinkStatus: (path) =>
      Effect.map(get("GETFILELINKSTATUS", path, Answers.FileStatusAnswer), (answer) => answer.FileStatus),
    getLinkTarget: (path) => Effect.map(get("GETLINKTARGET", path, Answers.PathAnswer), (answer) => answer.Path),
    listStatus: (path) => Listing.listStatus(get, path),
    listStatusBatch: (path) => Listing.listStatusBatch(get, path),
    getContentSummary: (path) =>
      Effect.map(get("GETCONTENTSUMMARY", path, Answers.ContentSummaryAnswer), (answer) => answer.ContentSummary),
    getFileChecksum: (path) =>
      Effect.map(get("GETFILECHECKSUM", path, Answers.FileChecksumAnswer), (answer) => answer.FileChecksum),
    checkAccess: (path, action) => get("CHECKACCESS", path, nothing, { fsaction: action }),
    setPermission: (path, permission) => put("SETPERMISSION", path, { permission }),
    setOwner: (path, { group, owner }) => put("SETOWNER", path, { owner, group }),
    setTimes: (path, { accessTime, modificationTime }) =>
      put("SETTIMES", path, { modificationtime: modificationTime ?? -1, accesstime: accessTime ?? -1 }),
    setReplication: (path, replication) =>
      Effect.map(
        ask({ method: "PUT", operation: "SETREPLICATION", path, params: { replication } }, Answers.BooleanAnswer),
        (answer) => answer.boolean
      )
  }
}

export const acls = ({ get, put }: Asking): Acls => ({
  getAclStatus: (path) => Effect.map(get("GETACLSTATUS", path, Answers.AclStatusAnswer), (answer) => answer.AclStatus),
  setAcl: (path, entries) => put("SETACL", path, { aclspec: entries.join(",") }),
  modifyAclEntries: (path, entries) => put("MODIFYACLENTRIES", path, { aclspec: entries.join(",") }),
  // The server requires the field of the permission, empty.
  removeAclEntries: (path, entries) =>
    put("REMOVEACLENTRIES", path, {
      aclspec: entries.map((entry) => (/^(default:)?[^:]*:[^:]*$/.test(entry) ? `${entry}:` : entry)).join(",")
    }),
  removeDefaultAcl: (path) => put("REMOVEDEFAULTACL", path),
  removeAcl: (path) => put("REMOVEACL", path)
})

export const xAttrs = ({ get, put }: Asking): XAttrs => ({
  getXAttrs: Effect.fnUntraced(function* (path: string, names?: ReadonlyArray<string>) {
    const ask = (name: string | undefined) =>
      get("GETXATTRS", path, Answers.XAttrsAnswer, { "xattr.name": name, encoding: "hex" })
    // Several names would need several parameters with the same name; one request for each works as well.
    const answers = names === undefined ? [yield* ask(undefined)] : yield* Effect.forEach(names, (name) => ask(name))
    return new Map(
      answers.flatMap(({ XAttrs }) =>
        XAttrs.map(({ name, value }): [string, Uint8Array] => [
          name,
          new Uint8Array(Buffer.from((value ?? "").replace(/^0x/, ""), "hex"))
        ])
      )
    )
  }),
  listXAttrs: (path) => Effect.map(get("LISTXATTRS", path, Answers.XAttrNamesAnswer), (answer) => answer.XAttrNames),
  setXAttr: (path, name, value, flag) =>
    put(
      "SETXATTR",
      path,
      {
        "xattr.name": name,
        "xattr.value": `0x${Buffer.from(value).toString("hex")}`,
        flag: flag === undefined ? "CREATE,REPLACE" : flag.toUpperCase()
      },
      flag === "create" ? "never" : "always"
    ),
  removeXAttr: (path, name) => put("REMOVEXATTR", path, { "xattr.name": name }, "never")
})
