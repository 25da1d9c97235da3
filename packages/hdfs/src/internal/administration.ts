/** The operations of administration: policies, snapshots, quotas, and information about the cluster and its user. */
import { Effect, Redacted } from "effect"
import * as E from "../HdfsError.ts"
import * as Answers from "./answers.ts"
import { type Asking, nothing } from "./asking.ts"
import type { Cluster, Policies, Quotas, Snapshots } from "./contract.ts"
import * as Listing from "./listing.ts"
import * as WebHdfs from "./webhdfs.ts"

export const policies = ({ ask, get, put }: Asking): Policies => ({
  getAllStoragePolicies: Effect.map(
    get("GETALLSTORAGEPOLICY", "", Answers.StoragePoliciesAnswer),
    (answer) => answer.BlockStoragePolicies.BlockStoragePolicy
  ),
  getStoragePolicy: (path) =>
    Effect.map(get("GETSTORAGEPOLICY", path, Answers.StoragePolicyAnswer), (answer) => answer.BlockStoragePolicy),
  setStoragePolicy: (path, policy) => put("SETSTORAGEPOLICY", path, { storagepolicy: policy }),
  unsetStoragePolicy: (path) => ask({ method: "POST", operation: "UNSETSTORAGEPOLICY", path }, nothing),
  satisfyStoragePolicy: (path) => put("SATISFYSTORAGEPOLICY", path),
  getErasureCodingPolicy: (path) =>
    get("GETECPOLICY", path, (exchange, body) =>
      ["", "null", "{}"].includes(body.trim()) ? Effect.undefined : Answers.ErasureCodingPolicyAnswer(exchange, body)
    ),
  setErasureCodingPolicy: (path, policy) => put("SETECPOLICY", path, { ecpolicy: policy }),
  unsetErasureCodingPolicy: (path) => ask({ method: "POST", operation: "UNSETECPOLICY", path }, nothing),
  getErasureCodingPolicies: Effect.map(
    get("GETECPOLICIES", "", Answers.ErasureCodingPoliciesAnswer),
    (answer) => answer.ErasureCodingPolicies.ErasureCodingPolicyInfo
  ),
  getErasureCodingCodecs: Effect.map(
    get("GETECCODECS", "", Answers.ErasureCodingCodecsAnswer),
    (answer) => answer.ErasureCodingCodecs
  ),
  enableErasureCodingPolicy: (policy) => put("ENABLEECPOLICY", "", { ecpolicy: policy }),
  disableErasureCodingPolicy: (policy) => put("DISABLEECPOLICY", "", { ecpolicy: policy })
})

export const snapshots = ({ ask, get, put }: Asking): Snapshots => ({
  allowSnapshot: (path) => put("ALLOWSNAPSHOT", path),
  disallowSnapshot: (path) => put("DISALLOWSNAPSHOT", path),
  createSnapshot: (path, name) => {
    const call: WebHdfs.Call = { method: "PUT", operation: "CREATESNAPSHOT", path, params: { snapshotname: name } }
    return Effect.map(ask(call, Answers.PathAnswer, "never"), (answer) => answer.Path)
  },
  renameSnapshot: (path, from, to) => put("RENAMESNAPSHOT", path, { oldsnapshotname: from, snapshotname: to }, "never"),
  deleteSnapshot: (path, name) =>
    ask({ method: "DELETE", operation: "DELETESNAPSHOT", path, params: { snapshotname: name } }, nothing, "never"),
  getSnapshotDiff: (path, from, to) =>
    Effect.map(
      get("GETSNAPSHOTDIFF", path, Answers.SnapshotDiffAnswer, { oldsnapshotname: from, snapshotname: to }),
      (answer) => answer.SnapshotDiffReport
    ),
  getSnapshotDiffListing: (path, from, to) => Listing.getSnapshotDiffListing(get, path, from, to),
  getSnapshottableDirectories: Effect.map(
    get("GETSNAPSHOTTABLEDIRECTORYLIST", "", Answers.SnapshottableAnswer),
    (answer) => answer.SnapshottableDirectoryList ?? []
  ),
  getSnapshots: (path) =>
    Effect.map(get("GETSNAPSHOTLIST", path, Answers.SnapshotListAnswer), (answer) => answer.SnapshotList ?? [])
})

export const quotas = ({ get, put }: Asking): Quotas => ({
  getQuotaUsage: (path) =>
    Effect.map(get("GETQUOTAUSAGE", path, Answers.QuotaUsageAnswer), (answer) => answer.QuotaUsage),
  setQuota: (path, { namespace, space }) =>
    put("SETQUOTA", path, { namespacequota: namespace, storagespacequota: space }),
  setQuotaByStorageType: (path, type, space) =>
    put("SETQUOTABYSTORAGETYPE", path, { storagetype: type, storagespacequota: space })
})

export const cluster = ({ ask, get, put }: Asking): Cluster => ({
  getHomeDirectory: Effect.map(get("GETHOMEDIRECTORY", "", Answers.PathAnswer), (answer) => answer.Path),
  getTrashRoot: (path) => Effect.map(get("GETTRASHROOT", path, Answers.PathAnswer), (answer) => answer.Path),
  getTrashRoots: (options) =>
    Effect.map(
      get("GETTRASHROOTS", "", Answers.TrashRootsAnswer, { allusers: options?.allUsers ?? false }),
      (answer) => answer.Paths ?? []
    ),
  getServerDefaults: Effect.map(
    get("GETSERVERDEFAULTS", "", Answers.ServerDefaultsAnswer),
    (answer) => answer.FsServerDefaults
  ),
  getStatus: Effect.map(get("GETSTATUS", "", Answers.FsStatusAnswer), (answer) => answer.FsStatus),
  getDelegationToken: (options) =>
    get(
      "GETDELEGATIONTOKEN",
      "",
      (exchange, body) =>
        Effect.flatMap(Answers.TokenAnswer(exchange, body), ({ Token }) =>
          Token === null
            ? Effect.fail(
                WebHdfs.failAt(
                  exchange,
                  new E.Unsupported({ detail: "the cluster is not secured and gives no delegation tokens" })
                )
              )
            : Effect.succeed(Redacted.make(Token.urlString, { label: "delegation token" }))
        ),
      { renewer: options?.renewer, service: options?.service, kind: options?.kind }
    ),
  renewDelegationToken: (token) =>
    Effect.map(
      ask(
        { method: "PUT", operation: "RENEWDELEGATIONTOKEN", path: "", params: { token: Redacted.value(token) } },
        Answers.LongAnswer
      ),
      (answer) => answer.long
    ),
  cancelDelegationToken: (token) => put("CANCELDELEGATIONTOKEN", "", { token: Redacted.value(token) }, "never")
})
