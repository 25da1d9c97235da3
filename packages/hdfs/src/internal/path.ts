/** Why a path is not valid in HDFS, or `undefined`. HDFS paths are absolute, without `.`, `..` and empty segments. */
export const badPath = (path: string): string | undefined => {
  if (!path.startsWith("/")) return `the path ${JSON.stringify(path)} is not absolute`
  if (path === "/") return undefined
  const segments = path.split("/").slice(1)
  if (segments.includes("..") || segments.includes("."))
    return "the path has a . or .. segment; HDFS does not resolve them"
  if (segments.slice(0, -1).includes("")) return "the path has an empty segment (//)"
  if (path.includes("\0")) return "the path has a NUL character"
  return undefined
}

/** Without the trailing slash. */
const trim = (path: string): string => (path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path)

/** For a URL. */
export const encodePath = (path: string): string => trim(path).split("/").map(encodeURIComponent).join("/")

export const parent = (path: string): string => {
  const end = trim(path).lastIndexOf("/")
  return end <= 0 ? "/" : path.slice(0, end)
}

export const name = (path: string): string => trim(path).slice(trim(path).lastIndexOf("/") + 1)

export const child = (directory: string, name: string): string =>
  directory === "/" ? `/${name}` : `${trim(directory)}/${name}`
