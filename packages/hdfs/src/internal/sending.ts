import { Effect } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"

/**
 * Bytes of a piece: as many as the kernel takes from a connection at once, and few compared with the rest of an
 * upload's memory.
 */
const pieceBytes = 512 * 1024

/**
 * Sends chunks piece by piece: while the server takes a piece, the next is filled. In the meantime the source is asked
 * for more chunks, so that the connection does not wait for it; small chunks are sent together. Chunks are copied, so
 * they are not read again.
 */
export class Sending {
  private readonly send: (piece: Uint8Array, taken: () => void) => void
  private readonly idle: () => void
  private filling: Uint8Array | undefined
  private spare: Uint8Array | undefined
  private filled = 0
  private underWay = false
  private begun = false
  private waiting: (() => void) | undefined

  /** `send` calls its function when the kernel has the piece; `idle` is called when no piece is being sent. */
  constructor(send: (piece: Uint8Array, taken: () => void) => void, idle: () => void) {
    this.send = send
    this.idle = idle
  }

  /**
   * Takes chunks: at once while there is room, but the first only when the connection has taken it, which shows that it
   * works.
   */
  write(chunks: NonEmptyReadonlyArray<Uint8Array>): Effect.Effect<void> {
    let index = 0
    let at = 0
    const go: Effect.Effect<void> = Effect.suspend(() => {
      while (true) {
        const chunk = chunks[index]
        if (chunk === undefined) return this.begun ? Effect.void : this.flush
        if (at < chunk.length) {
          if (this.filled === pieceBytes) return Effect.andThen(this.taken, go)
          at += this.fill(chunk, at)
        } else {
          index++
          at = 0
        }
      }
    })
    return go
  }

  /** Waits until the kernel has everything that was written. */
  readonly flush: Effect.Effect<void> = Effect.suspend(() =>
    this.underWay ? Effect.andThen(this.taken, this.flush) : Effect.void
  )

  /** Waits until the kernel has the piece that is being sent. */
  private readonly taken = Effect.callback<void>((resume) => {
    this.wait(() => resume(Effect.void))
    return Effect.sync(() => this.wait(undefined))
  })

  private wait(waiting: (() => void) | undefined): void {
    this.waiting = waiting
  }

  /** Copies as much of a chunk as there is room for; yields how much. */
  private fill(chunk: Uint8Array, at: number): number {
    const piece = (this.filling ??= Buffer.allocUnsafeSlow(pieceBytes))
    const end = Math.min(chunk.length, at + pieceBytes - this.filled)
    piece.set(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end), this.filled)
    this.filled += end - at
    if (!this.underWay) this.next(piece)
    return end - at
  }

  private next(piece: Uint8Array): void {
    const bytes = piece.subarray(0, this.filled)
    this.filling = this.spare
    this.spare = undefined
    this.filled = 0
    this.underWay = true
    this.send(bytes, () => {
      this.spare = piece
      this.underWay = false
      this.begun = true
      if (this.filled > 0 && this.filling !== undefined) this.next(this.filling)
      else this.idle()
      const { waiting } = this
      this.waiting = undefined
      waiting?.()
    })
  }
}
