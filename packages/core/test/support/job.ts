/** A job that a second process builds too; run by itself it prints the fingerprint. */
import { Dataset, Job, Plan } from "@sluice/core"
import { Effect, Schema } from "effect"

export const job = Job.make("job", {
  payload: Schema.Struct({ upTo: Schema.Number, at: Schema.Date }),
  action: ({ at, upTo }) =>
    Dataset.range(0, upTo, { partitions: 2 }).pipe(
      Dataset.map((n) => n + at.getTime()),
      Dataset.mapEffect((n) => Effect.succeed(n), { concurrency: 4 }),
      Dataset.zipWithIndex,
      Dataset.collect
    )
})

if (import.meta.main) console.log(Plan.fingerprint(job.action({ upTo: 5, at: new Date(0) }).spec.plan, "job"))
