import type { Claim, Memory } from "./model.ts"

/**
 * A budget shared by all the operators of an executor's tasks. Each may hold an equal share of it. An operator that
 * starts while others hold everything gets a quarter of its share at once, so that it never waits for them.
 */
export const make = (options: Pick<Memory, "total" | "blockBytes">): Memory => {
  let held = 0
  let claims = 0
  return {
    ...options,
    claim: (): Claim => {
      let own = 0
      let open = true
      claims++
      return {
        resize: (bytes) => {
          const share = options.total / claims
          if (bytes > own && (bytes > share || (held - own + bytes > options.total && bytes > share / 4))) return false
          held += bytes - own
          own = bytes
          return true
        },
        release: () => {
          if (!open) return
          open = false
          held -= own
          claims--
        }
      }
    }
  }
}
