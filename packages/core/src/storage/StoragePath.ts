/**
 * Paths of a storage, for those who write a `Storage.Backend`: names, globs, and the walk through directories that
 * match them. With these, a backend reads the same paths as all others.
 *
 * @since 0.1.0
 */
import * as glob from "./internal/glob.ts"
import * as path from "./internal/path.ts"

/**
 * The names from the root down; the root itself is the empty list.
 *
 * @category models
 * @since 0.1.0
 */
export type Segments = path.Segments

/**
 * One segment of a glob: a name, a pattern, or `**`.
 *
 * @category models
 * @since 0.1.0
 */
export type Pattern = path.Pattern

/**
 * A name in a directory.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry = glob.Entry

/**
 * What {@link list} needs from a backend.
 *
 * @category models
 * @since 0.1.0
 */
export type Tree = glob.Tree

/**
 * The names of the path of a URI (`/a/b%20c`): percent escapes are decoded, and `.` and `..` are resolved. Escaped
 * characters pass through `literal`, by default unchanged; with `Glob.escape`, they are not taken for a glob.
 * `InvalidPath` for an escape that is not UTF-8 or stands for a slash, and for `..` above the root.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decode = path.decodeSegments

/**
 * The path of a URI, from which {@link decode} yields the same names.
 *
 * @category codecs
 * @since 0.1.0
 */
export const encode = path.formatSegments

/**
 * The patterns that segments stand for.
 *
 * @category codecs
 * @since 0.1.0
 */
export const patterns = path.patternsOf

/**
 * Lists a path as `Storage.list` does: the entries of a directory, the file, or everything that the patterns match,
 * each once, in the order of their code points. Only directories along the patterns are read.
 *
 * @category getters
 * @since 0.1.0
 */
export const list = glob.list

/**
 * Orders names by code point, as UTF-8 bytes do.
 *
 * @category getters
 * @since 0.1.0
 */
export const compare = path.compareCodePoints

/**
 * Where a range begins and ends in a file of that length. `EndOfFile` if it lies outside.
 *
 * @category getters
 * @since 0.1.0
 */
export const resolveRange = path.resolveRange

/**
 * The reason that forbids a rename, whatever the storage holds: the root cannot move, and nothing can move into itself.
 *
 * @category getters
 * @since 0.1.0
 */
export const renameObstacle = path.renameObstacle

/**
 * The reason why the root is not deleted.
 *
 * @category errors
 * @since 0.1.0
 */
export const rootIsKept = path.rootIsKept
