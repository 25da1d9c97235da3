import { Effect } from "effect"
import type * as E from "../HdfsError.ts"
import type * as M from "../HdfsModel.ts"

/** Files whose block locations are kept. */
const maxLocations = 1000

/** The block locations that a client has seen. They only decide preferences, so old ones do no harm. */
export class Blocks {
  /** Data transfer addresses by host name, for `excludedatanodes`. */
  private readonly transferAddresses = new Map<string, string>()
  private readonly files = new Map<string, ReadonlyArray<M.BlockLocation>>()

  /** Remembers the blocks of a file; `from` is the first byte of their range. */
  see(path: string, from: number, blocks: ReadonlyArray<M.BlockLocation>): void {
    for (const block of blocks) {
      block.hosts.forEach((host, i) => {
        const name = block.names[i]
        if (name !== undefined) this.transferAddresses.set(host, name)
      })
    }
    if (from !== 0) return
    this.files.delete(path)
    this.files.set(path, blocks)
    // The oldest files have most probably been read already.
    for (const oldest of this.files.size > maxLocations ? this.files.keys().take(1) : []) this.files.delete(oldest)
  }

  /** The blocks of a file as last seen, if they reach `end`; otherwise the result of `ask`. */
  of(
    path: string,
    end: number,
    ask: Effect.Effect<ReadonlyArray<M.BlockLocation>, E.HdfsError>
  ): Effect.Effect<ReadonlyArray<M.BlockLocation>, E.HdfsError> {
    const known = this.files.get(path)
    const last = known?.at(-1)
    return known !== undefined && last !== undefined && end <= last.offset + last.length ? Effect.succeed(known) : ask
  }

  /** The value of `excludedatanodes` for some hosts. */
  addresses(hosts: Iterable<string>): ReadonlyArray<string> {
    return Array.from(hosts).flatMap((host) => this.transferAddresses.get(host) ?? [])
  }
}
