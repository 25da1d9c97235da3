/** Chooses the hosts on which a task should run that reads bytes from several hosts. */

// As Spark's `FilePartition.preferredLocations`: a host with a hundredth of the bytes is not worth preferring.
const mostHosts = 3

/** The hosts with the most bytes, the most first; names break ties, so that a plan is stable. */
export const heaviestHosts = (
  parts: Iterable<{ readonly hosts: ReadonlyArray<string>; readonly bytes: number }>
): ReadonlyArray<string> => {
  const weights = new Map<string, number>()
  for (const { bytes, hosts } of parts) {
    // A part of unknown size counts, too.
    for (const host of hosts) weights.set(host, (weights.get(host) ?? 0) + Math.max(1, bytes))
  }
  return [...weights]
    .toSorted(([one, ofOne], [other, ofOther]) => ofOther - ofOne || (one < other ? -1 : 1))
    .slice(0, mostHosts)
    .map(([host]) => host)
}
