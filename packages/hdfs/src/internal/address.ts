/**
 * What is wrong with the addresses of NameNodes, `undefined` if each is an `http:` or `https:` URL. `source` says where they were set.
 */
export const wrongAddress = (source: string, nameNodes: ReadonlyArray<string>): string | undefined => {
  const wrong = nameNodes.find((address) => !/^https?:$/.test(URL.parse(address)?.protocol ?? ""))
  if (wrong === undefined) return undefined
  // The text before an @ may be a password.
  const shown = wrong.includes("@") ? `...${wrong.slice(wrong.lastIndexOf("@"))}` : wrong
  return `${source}: "${shown}" is not the HTTP address of a NameNode; write it as http://host:9870`
}
