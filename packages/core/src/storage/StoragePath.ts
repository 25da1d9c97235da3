/**
 * What the paths of a storage are made of, for those who write a `Storage.Backend`: names and globs, and the way through directories
 * that match them. With these a backend reads the same paths as all others.
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
 * What a backend gives for {@link list}.
 *
 * @category models
 * @since 0.1.0
 */
export type Tree = glob.Tree

/**
 * The names of the path of a URI (`/a/b%20c`): percent escapes are decoded, `.` and `..` resolved. What was escaped passes through
 * `literal`, by default as it is; with `Glob.escape` no glob is seen in it. `InvalidPath` for an escape that is not UTF-8 or stands for a slash, and
 * for `..` above the root.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decode = path.decodeSegments

/**
 * The path of a URI, such that {@link decode} gives the same names back.
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
 * Lists a path as `Storage.list` does: the entries of a directory, the file, or all that the patterns match, each once, in the order of
 * their code points. Only directories on the way are read.
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
 * Where a range begins and ends in a file of that length. `EndOfFile` where it lies outside.
 *
 * @category getters
 * @since 0.1.0
 */
export const resolveRange = path.resolveRange

/**
 * What forbids a rename, whatever the storage holds: the root stays, and nothing moves into itself.
 *
 * @category getters
 * @since 0.1.0
 */
export const renameObstacle = path.renameObstacle

/**
 * The reason for which the root is not deleted.
 *
 * @category errors
 * @since 0.1.0
 */
export const rootIsKept = path.rootIsKept
