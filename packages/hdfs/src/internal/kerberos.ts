import { Effect, Redacted } from "effect"
import { Authentication, HdfsError } from "../HdfsError.ts"

/** No login could be obtained. */
export const failure = (detail: string) =>
  new HdfsError({ operation: "AUTHENTICATE", path: "", reason: new Authentication({ detail }) })

/** The part of the `kerberos` package that is used. */
interface KerberosModule {
  readonly GSS_MECH_OID_SPNEGO: number
  readonly initializeClient: (
    service: string,
    options: { readonly mechOID: number }
  ) => Promise<{ readonly step: (challenge: string) => Promise<string> }>
}

const isKerberos = (module: unknown): module is KerberosModule =>
  typeof module === "object" && module !== null && "initializeClient" in module && "GSS_MECH_OID_SPNEGO" in module

/** Tickets by service principal, `HTTP@host`, from the native library. */
export const kerberosTickets = Effect.gen(function* () {
  // Not a dependency, because it is native and few users need it.
  const name: string = "kerberos"
  const loaded: unknown = yield* Effect.tryPromise({
    try: () => import(name),
    catch: () =>
      failure("the npm package kerberos is not installed: npm install kerberos, or use HdfsAuth.layerCommand")
  })
  const module = typeof loaded === "object" && loaded !== null && "default" in loaded ? loaded.default : loaded
  if (!isKerberos(module)) return yield* failure("the npm package kerberos has no initializeClient")
  const mechOID = module.GSS_MECH_OID_SPNEGO
  return (service: string) =>
    Effect.tryPromise({
      try: async () => {
        const client = await module.initializeClient(service, { mechOID })
        return Redacted.make(await client.step(""), { label: "ticket" })
      },
      catch: (cause) =>
        failure(`no ticket for ${service}: ${cause instanceof Error ? cause.message : String(cause)}; run kinit`)
    })
})
