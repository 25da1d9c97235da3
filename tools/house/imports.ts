/**
 * What a module may import: only downward, never in a circle, and from other packages only what they publish.
 */
import { flat, floors } from "./table.ts"
import { locate } from "./sources.ts"
import type { Finding, Module } from "./sources.ts"

/** The folder of the table that a source file of a package belongs to, its `internal/` included. */
const folderOf = (path: string): string | undefined => {
  const place = locate(path)
  if (place === undefined) return undefined
  const { file, pkg } = place
  const [first = "", ...rest] = file.split("/")
  const named = `${pkg}/${first}`
  if (rest.length > 0 || file === "index.ts") {
    if (floors.some((floor) => floor.includes(named))) return named
  }
  return flat.includes(pkg) ? pkg : named
}

const floorOf = (folder: string): number => floors.findIndex((floor) => floor.includes(folder))

/** Imports from a folder that is not below the module's own. */
export const floorRule = (modules: ReadonlyMap<string, Module>): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  for (const { imports, path } of modules.values()) {
    const here = folderOf(path)
    if (here === undefined) continue
    const from = floorOf(here)
    if (from < 0) {
      const message = `${here} has no floor: add it to tools/house/table.ts, or move the file into a folder that has one`
      findings.push({ rule: "floors", file: path, line: 1, message })
      continue
    }
    for (const { line, target } of imports) {
      const there = target === undefined ? undefined : folderOf(target)
      if (there === undefined || there === here) continue
      const to = floorOf(there)
      if (to < 0 || to > from) continue
      const relation = to === from ? "on the same floor as" : "above"
      findings.push({
        rule: "floors",
        file: path,
        line,
        message: `imports ${target}, but ${there} is ${relation} ${here} (tools/house/table.ts lists the floors)`
      })
    }
  }
  return findings
}

type Arrows = ReadonlyMap<string, ReadonlySet<string>>

/** The groups of nodes that can reach each other: Tarjan's strongly connected components of more than one node. */
const circlesOf = (arrows: Arrows): ReadonlyArray<ReadonlyArray<string>> => {
  const order = new Map<string, number>()
  const stack: Array<string> = []
  const onStack = new Set<string>()
  const circles: Array<ReadonlyArray<string>> = []
  const enter = (node: string): number => {
    const index = order.size
    order.set(node, index)
    stack.push(node)
    onStack.add(node)
    let low = index
    for (const next of arrows.get(node) ?? []) {
      if (!order.has(next)) low = Math.min(low, enter(next))
      else if (onStack.has(next)) low = Math.min(low, order.get(next) ?? low)
    }
    if (low === index) {
      const members = stack.splice(stack.indexOf(node))
      for (const member of members) onStack.delete(member)
      if (members.length > 1) circles.push(members.toSorted())
    }
    return low
  }
  for (const node of arrows.keys()) if (!order.has(node)) enter(node)
  return circles
}

/** The shortest way from a node of a circle back to itself, without the node. */
const wayBack = (arrows: Arrows, node: string, members: ReadonlySet<string>): ReadonlyArray<string> => {
  const before = new Map<string, string>()
  const queue = [node]
  for (const at of queue) {
    for (const next of arrows.get(at) ?? []) {
      if (next === node) {
        const way: Array<string> = []
        for (let step: string | undefined = at; step !== undefined && step !== node; step = before.get(step)) {
          way.unshift(step)
        }
        return way
      }
      if (!members.has(next) || before.has(next)) continue
      before.set(next, at)
      queue.push(next)
    }
  }
  return []
}

/** A finding for each node of each circle, those with the shortest way back first. */
const findCircles = (arrows: Arrows, rule: string): ReadonlyArray<Finding> =>
  circlesOf(arrows).flatMap((circle) => {
    const members = new Set(circle)
    return circle
      .map((file) => ({ file, way: wayBack(arrows, file, members) }))
      .toSorted((a, b) => a.way.length - b.way.length)
      .map(({ file, way }) => ({
        rule,
        file,
        line: 1,
        message: `imports itself by way of ${way.join(", ")}`,
        unit: circle.join()
      }))
  })

const addArrow = (arrows: Map<string, Set<string>>, from: string, to: string): void => {
  const targets = arrows.get(from)
  if (targets === undefined) arrows.set(from, new Set([to]))
  else targets.add(to)
}

/** Circles of files, type imports included, and circles of folders. */
export const circleRule = (modules: ReadonlyMap<string, Module>): ReadonlyArray<Finding> => {
  const files = new Map<string, Set<string>>()
  const folders = new Map<string, Set<string>>()
  for (const { imports, path } of modules.values()) {
    const here = folderOf(path)
    for (const { target } of imports) {
      if (target === undefined) continue
      addArrow(files, path, target)
      const there = folderOf(target)
      if (here !== undefined && there !== undefined && here !== there) addArrow(folders, here, there)
    }
  }
  return [...findCircles(files, "circles"), ...findCircles(folders, "folder circles")]
}

/** Imports that do not use a package by its public paths, or use them inside the package. */
export const borderRule = (modules: ReadonlyMap<string, Module>): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  for (const { imports, path } of modules.values()) {
    const here = locate(path)
    for (const { line, specifier, target } of imports) {
      const report = (message: string) => findings.push({ rule: "borders", file: path, line, message })
      if (/^@sluice\/[^/]+\/(?:.*\/)?internal(?:\/|$)/.test(specifier)) {
        report(`${specifier} is private to its package: import a public module`)
      } else if (here !== undefined && new RegExp(`^@sluice/${here.pkg}(?:/|$)`).test(specifier)) {
        report(`${specifier} is this package itself: import the module by its relative path`)
      } else if (here !== undefined && specifier.startsWith(".") && target !== undefined) {
        const there = locate(target)
        if (there?.pkg !== here.pkg) report(`${specifier} leaves the package: import @sluice/<package>/<Module>`)
        else if (there.file === "index.ts") report("the barrel is for users: import the module itself")
      }
    }
  }
  return findings
}
