/**
 * Starts a real Kerberos realm on this machine: MIT's KDC on a loopback port, with a database, principals and keytabs of its own.
 *
 * Nothing of the system is read or changed; the process is ended and the files are removed when the scope closes. It needs
 * `krb5kdc`, `kdb5_util`, `kadmin.local` and `kinit` (Debian: krb5-kdc, krb5-admin-server, krb5-user).
 *
 * @since 0.1.0
 */
import { Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { awaitPort, exec, freePorts, type HadoopError } from "../internal/processes.ts"

/**
 * A running realm.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kdc {
  /** `SLUICE.TEST`. */
  readonly realm: string
  /** The `krb5.conf` of the realm's clients, for `KRB5_CONFIG` or `-Djava.security.krb5.conf`. */
  readonly config: string
  /** Makes sure that these principals exist (`HTTP/localhost`), with random keys; yields a new file with the keys. */
  readonly keytab: (principals: ReadonlyArray<string>) => Effect.Effect<string, HadoopError>
  /**
   * Logs in with a keytab, as `kinit -kt` does; yields the variables that give a program the ticket: `KRB5_CONFIG` and
   * `KRB5CCNAME`. The ticket lives for 8 hours, or `lifetime`, such as `2s`.
   */
  readonly login: (
    principal: string,
    keytab: string,
    options?: { readonly lifetime?: string | undefined }
  ) => Effect.Effect<Readonly<Record<string, string>>, HadoopError>
}

const realm = "SLUICE.TEST"
// Debian keeps the servers outside an ordinary user's `PATH`.
const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`

/**
 * Why no KDC can run here, or `undefined` if its programs are installed.
 *
 * @category guards
 * @since 0.1.0
 */
export const unavailable: Effect.Effect<string | undefined> = Effect.sync(() => {
  const folders = path.split(Path.delimiter)
  const missing = ["krb5kdc", "kdb5_util", "kadmin.local", "kinit"].filter(
    (program) => !folders.some((folder) => Fs.existsSync(Path.join(folder, program)))
  )
  return missing.length === 0
    ? undefined
    : `${missing.join(", ")} not on the PATH: apt-get install krb5-kdc krb5-admin-server krb5-user`
})

/** Java and MIT both read it. Java asks by UDP otherwise, and both look up names in DNS. */
const clientConfig = (port: number) => `[libdefaults]
  default_realm = ${realm}
  udp_preference_limit = 1
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  ticket_lifetime = 8h
[realms]
  ${realm} = {
    kdc = 127.0.0.1:${port}
  }
`

const serverConfig = (port: number, file: (name: string) => string) => `[realms]
  ${realm} = {
    database_name = ${file("principal")}
    key_stash_file = ${file("stash")}
    acl_file = ${file("acl")}
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:${port}
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }
[logging]
  kdc = FILE:${file("kdc.log")}
`

const end = (server: ChildProcess.ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return resume(Effect.void)
    server.once("exit", () => resume(Effect.void))
    server.kill("SIGKILL")
  })

/** Runs the KDC as long as the scope is open. */
const serve = (env: NodeJS.ProcessEnv, log: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const out = Fs.openSync(log, "a")
      const server = ChildProcess.spawn("krb5kdc", ["-n", "-r", realm], { env, stdio: ["ignore", out, out] })
      Fs.closeSync(out)
      return server
    }),
    end
  )

/**
 * Makes a realm and runs its KDC as long as the scope is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Kdc, HadoopError, Scope.Scope> = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-kdc-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  const [port = 0] = yield* freePorts(1)
  const file = (name: string) => Path.join(directory, name)
  const config = file("krb5.conf")
  yield* Effect.sync(() => {
    Fs.writeFileSync(config, clientConfig(port))
    Fs.writeFileSync(file("kdc.conf"), serverConfig(port, file))
  })
  const env = { ...process.env, PATH: path, KRB5_CONFIG: config, KRB5_KDC_PROFILE: file("kdc.conf") }
  const password = "not a secret: this realm lives for a test"
  yield* exec("kdb5_util", ["create", "-r", realm, "-s", "-P", password], { env })
  yield* serve(env, file("kdc.log"))
  yield* awaitPort(port)

  const admin = (...args: ReadonlyArray<string>) => exec("kadmin.local", ["-r", realm, ...args], { env })
  const known = new Set<string>()
  let files = 0
  const keytab = Effect.fnUntraced(function* (principals: ReadonlyArray<string>) {
    for (const principal of principals) {
      if (known.has(principal)) continue
      yield* admin("addprinc", "-randkey", principal)
      known.add(principal)
    }
    const target = file(`keytab-${++files}`)
    yield* admin("ktadd", "-norandkey", "-k", target, ...principals)
    return target
  })
  const login: Kdc["login"] = Effect.fnUntraced(function* (principal, keys, options) {
    const environment = { KRB5_CONFIG: config, KRB5CCNAME: `FILE:${file(`ticket-${++files}`)}` }
    const lifetime = options?.lifetime === undefined ? [] : ["-l", options.lifetime]
    yield* exec("kinit", [...lifetime, "-kt", keys, principal], { env: { ...env, ...environment } })
    return environment
  })
  return { realm, config, keytab, login }
}).pipe(Effect.withSpan("Kdc.make"))
