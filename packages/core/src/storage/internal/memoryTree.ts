/**
 * The files of `memory:`. Each function is one synchronous step, and therefore atomic. If it cannot do something, it
 * returns the reason and changes nothing.
 */
import * as StorageError from "../StorageError.ts"
import type { RenameOptions } from "./model.ts"
import { renameObstacle, type Segments } from "./path.ts"

interface File {
  readonly _tag: "File"
  readonly bytes: Uint8Array
  readonly modified: number
}

export interface Directory {
  readonly _tag: "Directory"
  readonly children: Map<string, Node>
  modified: number
}

export type Node = File | Directory

/** The reason why there is nothing at a path. */
export type Absent = StorageError.NotFound | StorageError.NotADirectory

export const directory = (modified: number): Directory => ({ _tag: "Directory", children: new Map(), modified })

export const isNode = (found: Node | StorageError.Reason): found is Node =>
  found._tag === "File" || found._tag === "Directory"

export const lookup = (root: Directory, segments: Segments): Node | Absent => {
  let node: Node = root
  for (const name of segments) {
    if (node._tag === "File") return new StorageError.NotADirectory()
    const child = node.children.get(name)
    if (child === undefined) return new StorageError.NotFound()
    node = child
  }
  return node
}

/** The directory, created with its parents if it is missing. */
export const makeDirectories = (
  root: Directory,
  segments: Segments,
  now: number
): Directory | StorageError.NotADirectory => {
  let node = root
  for (const name of segments) {
    const child = node.children.get(name)
    if (child === undefined) {
      const created = directory(now)
      node.children.set(name, created)
      node.modified = now
      node = created
    } else if (child._tag === "File") {
      return new StorageError.NotADirectory()
    } else {
      node = child
    }
  }
  return node
}

/** Why a file cannot be written here, if it cannot. */
export const writeObstacle = (
  root: Directory,
  segments: Segments,
  overwrite: boolean
): StorageError.Reason | undefined => {
  const found = lookup(root, segments)
  switch (found._tag) {
    case "Directory":
      return new StorageError.IsADirectory()
    case "File":
      return overwrite ? undefined : new StorageError.AlreadyExists()
    case "NotADirectory":
      return found
    case "NotFound":
      return undefined
  }
}

/** Puts a file, with its parents, in a place that is empty or has a file. */
export const write = (
  root: Directory,
  segments: Segments,
  bytes: Uint8Array,
  overwrite: boolean,
  now: number
): StorageError.Reason | undefined => {
  const name = segments.at(-1)
  const obstacle = writeObstacle(root, segments, overwrite)
  if (obstacle !== undefined) return obstacle
  // The root is a directory, so the file is written into it.
  if (name === undefined) return new StorageError.IsADirectory()
  const parent = makeDirectories(root, segments.slice(0, -1), now)
  if (parent._tag === "NotADirectory") return parent
  parent.children.set(name, { _tag: "File", bytes, modified: now })
  parent.modified = now
  return undefined
}

/** Why a node cannot be moved to a path, if it cannot. */
const renameRefusal = (
  root: Directory,
  node: Node,
  target: Segments,
  options: RenameOptions | undefined
): StorageError.Reason | undefined => {
  const found = lookup(root, target)
  if (isNode(found)) {
    const replaces = options?.overwrite === true && node._tag === "File" && found._tag === "File" && found !== node
    return replaces ? undefined : new StorageError.AlreadyExists()
  }
  if (found._tag === "NotADirectory") return found
  const folder = lookup(root, target.slice(0, -1))
  return options?.parents === false && folder._tag === "NotFound" ? folder : undefined
}

/** What is wrong with a rename, and whether the source is at fault. */
export interface Refused {
  readonly isSource: boolean
  readonly reason: StorageError.Reason
}

export const rename = (
  root: Directory,
  source: Segments,
  target: Segments,
  options: RenameOptions | undefined,
  now: number
): Refused | undefined => {
  const node = lookup(root, source)
  if (!isNode(node)) return { isSource: true, reason: node }
  const impossible = renameObstacle(source, target)
  if (impossible !== undefined) return impossible
  const refusal = renameRefusal(root, node, target, options)
  if (refusal !== undefined) return { isSource: false, reason: refusal }
  const parent = makeDirectories(root, target.slice(0, -1), now)
  const holder = lookup(root, source.slice(0, -1))
  const oldName = source.at(-1)
  const newName = target.at(-1)
  if (parent._tag !== "Directory" || holder._tag !== "Directory" || oldName === undefined || newName === undefined) {
    return { isSource: false, reason: new StorageError.NotADirectory() }
  }
  holder.children.delete(oldName)
  parent.children.set(newName, node)
  holder.modified = parent.modified = now
  return undefined
}

/** Deletes, and returns whether something existed. */
export const remove = (
  root: Directory,
  segments: Segments,
  recursive: boolean,
  now: number
): boolean | StorageError.NotEmpty => {
  const name = segments.at(-1)
  const node = lookup(root, segments)
  const parent = lookup(root, segments.slice(0, -1))
  if (name === undefined || !isNode(node) || parent._tag !== "Directory") return false
  if (node._tag === "Directory" && node.children.size > 0 && !recursive) return new StorageError.NotEmpty()
  parent.children.delete(name)
  parent.modified = now
  return true
}
