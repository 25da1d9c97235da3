/** The most characters of a service's answer that an error quotes. */
const wordLimit = 256

/** The text of a service, made fit to print: without the secrets that were sent to it, on one line, and shortened. */
export type Words = (said: string | ArrayBuffer) => string

const decoder = new TextDecoder()

// Control and format characters (bidirectional marks, zero-width ones), lone surrogates, private and unassigned ones,
// and the separators of lines and paragraphs: they would garble a terminal, forge a line of a log or hide text.
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu

const named: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

const escape = (text: string): string =>
  text.replace(unprintable, (char) => {
    const code = (char.codePointAt(0) ?? 0).toString(16)
    return named[char] ?? (code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`)
  })

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;"
}

/** A secret in the forms in which a page, a JSON document or a URL would repeat it. */
const spellings = (secret: string): ReadonlyArray<string> => {
  const text = secret.toWellFormed()
  const html = text.replace(/[&<>"']/g, (char) => entities[char] ?? char)
  return [
    secret,
    encodeURIComponent(text),
    encodeURI(text),
    JSON.stringify(text).slice(1, -1),
    html,
    html.replaceAll("&#34;", "&quot;"),
    html.replaceAll("&#39;", "&#x27;")
  ]
}

/** Makes texts of services that got these secrets fit to print. */
export const make = (secrets: ReadonlyArray<string>): Words => {
  // The longest first: a secret may begin with another one.
  const hidden = [...new Set(secrets.filter((secret) => secret !== "").flatMap(spellings))].toSorted(
    (a, b) => b.length - a.length
  )
  const longest = hidden[0]?.length ?? 0
  const pattern =
    hidden.length === 0
      ? undefined
      : new RegExp(hidden.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "gi")
  // A character of a string takes at most three bytes; a secret that begins within the limit is read to its end.
  const bytes = 3 * (wordLimit + longest)
  return (said) => {
    const text = typeof said === "string" ? said : decoder.decode(said.slice(0, bytes))
    let shown = ""
    let at = 0
    for (const match of pattern === undefined ? [] : text.matchAll(pattern)) {
      if (match.index >= wordLimit) break
      shown += `${escape(text.slice(at, match.index))}<redacted>`
      at = match.index + match[0].length
    }
    if (at < wordLimit) shown += escape(text.slice(at, wordLimit))
    return text.length > Math.max(at, wordLimit) ? `${shown}...` : shown
  }
}

const sensitive = /auth|cookie|token|secret|key|pass|pwd|credential|session|signature|^sig$/i

// A shorter part of a credential may just as well be an ordinary word of a service.
const shortestPart = 6

const partsOf = (value: string): ReadonlyArray<string> => {
  const [, scheme, rest] = /^\s*([a-z][\w-]*)\s+(.+)$/is.exec(value) ?? [undefined, "", value]
  const credential = rest?.trim() ?? ""
  const decoded = scheme?.toLowerCase() === "basic" ? Buffer.from(credential, "base64").toString("utf8") : ""
  const pairs = credential.split(/[,;\s]+/).map((pair) => /^[\w.-]+="?([^"]+)"?$/.exec(pair)?.[1] ?? "")
  return [credential, decoded, decoded.slice(decoded.indexOf(":") + 1), ...pairs].filter(
    (part) => part.length >= shortestPart
  )
}

/**
 * The parts of a request that must never be printed: headers that are given as secrets or have the names of secrets,
 * with their parts, and query parameters with the names of secrets.
 */
export const secretsOf = (
  headers: Iterable<{ readonly name: string; readonly value: string; readonly secret: boolean }>,
  urls: Iterable<URL>
): ReadonlyArray<string> => {
  const secrets: Array<string> = []
  for (const { name, secret, value } of headers) {
    if (secret || sensitive.test(name)) secrets.push(value, ...partsOf(value))
  }
  for (const url of urls) {
    for (const [name, value] of url.searchParams) if (sensitive.test(name)) secrets.push(value)
  }
  return secrets
}
