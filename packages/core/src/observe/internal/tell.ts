import { Clock, Effect } from "effect"
import type { Event, Events } from "../Events.ts"

/** The fields that every event of a job begins with. */
export interface EventHead {
  readonly job: string
  readonly name: string
  readonly at: number
}

/** Publishes an event of a job. It is made only if somebody listens, because there are two for each task. */
export type Tell = (event: (head: EventHead) => Event) => Effect.Effect<void>

export const tellOf =
  (events: Events["Service"], job: Omit<EventHead, "at">): Tell =>
  (event) =>
    Effect.suspend(() =>
      events.hasListeners()
        ? Effect.flatMap(Clock.currentTimeMillis, (at) => events.publish(event({ ...job, at })))
        : Effect.void
    )
