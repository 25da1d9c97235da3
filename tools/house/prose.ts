/**
 * Turns of phrase in comments, messages and documents that a native reader stumbles over.
 */
import { walk } from "./sources.ts"
import type { Files, Finding, Module } from "./sources.ts"
import type { Phrase } from "./words.ts"

/** Stands for anything that is not prose. It is not white space, so no phrase reaches across it. */
const GAP = "\0"

/** The text of a module with everything but its comments and messages replaced, offset by offset. */
const proseOf = ({ comments, program, text }: Module): string => {
  const spans: Array<{ readonly start: number; readonly end: number; readonly prose: string }> = []
  for (const { end, start, type } of comments) {
    const whole = text.slice(start, end)
    spans.push({
      start,
      end,
      prose:
        type === "Line"
          ? // Comments on lines that follow each other are one text.
            whole.replace(/^\/\//, "  ")
          : `${GAP}${whole
              .slice(1, -1)
              .replace(/^\*+/, (stars) => " ".repeat(stars.length))
              .replaceAll(/(\n[ \t]*)\*/g, "$1 ")
              .replace(/\*$/, " ")}${GAP}`
    })
  }
  const addText = (start: number, end: number): void => {
    const prose = text.slice(start, end)
    // A single word is a name.
    if (/\s/.test(prose.trim())) spans.push({ start, end, prose: prose.replaceAll(/\\n/g, "  ") })
  }
  walk(program, (node) => {
    if (node.type === "Literal" && typeof node.value === "string") addText(node.start + 1, node.end - 1)
    // A piece of a template includes the back quote or brace at its ends or not, as the parser has it: no phrase has.
    if (node.type === "TemplateElement") addText(node.start, node.end)
  })
  spans.sort((a, b) => a.start - b.start)
  let prose = ""
  for (const span of spans) {
    if (span.start < prose.length) continue
    prose += text.slice(prose.length, span.start).replaceAll(/\S/g, GAP) + span.prose
  }
  return prose + text.slice(prose.length).replaceAll(/\S/g, GAP)
}

/** A phrase where a space stands for any white space, line ends included. */
const compile = ({ find }: Phrase): RegExp => new RegExp(find.source.replaceAll(" ", "\\s+"), `g${find.flags}`)

/** Every phrase of the list in comments, messages and Markdown. Tests of these rules plant them, so they are left out. */
export const proseRule = (
  files: Files,
  modules: ReadonlyMap<string, Module>,
  phrases: ReadonlyArray<Phrase>
): ReadonlyArray<Finding> => {
  const compiled = phrases.map((phrase) => ({ ...phrase, find: compile(phrase) }))
  const findings: Array<Finding> = []
  for (const [path, text] of files) {
    if (path.startsWith("tools/test/") || path === "package.json") continue
    const module = modules.get(path)
    if (module === undefined && !path.endsWith(".md")) continue
    const prose = module === undefined ? text : proseOf(module)
    const lineAt = module?.lineAt ?? ((offset: number) => text.slice(0, offset).split("\n").length)
    for (const { find, instead } of compiled) {
      for (const match of prose.matchAll(find)) {
        const words = match[0].replaceAll(/\s+/g, " ")
        findings.push({
          rule: "prose",
          file: path,
          line: lineAt(match.index),
          message: `"${words}": rather ${instead}`
        })
      }
    }
  }
  return findings
}
