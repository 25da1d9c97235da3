/** The JSON of WebHDFS's answers. */
import { Schema } from "effect"
import * as M from "../HdfsModel.ts"
import { decoder } from "./transport.ts"

/** The answer to an operation that returns nothing, if it is not empty. */
export const AnyAnswer = decoder(Schema.Struct({}))
export const BooleanAnswer = decoder(Schema.Struct({ boolean: Schema.Boolean }))
export const PathAnswer = decoder(Schema.Struct({ Path: Schema.String }))
export const FileStatusAnswer = decoder(Schema.Struct({ FileStatus: M.FileStatus }))
const FileStatuses = Schema.Struct({ FileStatuses: Schema.Struct({ FileStatus: Schema.Array(M.FileStatus) }) })
export const FileStatusesAnswer = decoder(FileStatuses)
export const ListingAnswer = decoder(
  Schema.Struct({
    DirectoryListing: Schema.Struct({ partialListing: FileStatuses, remainingEntries: Schema.Number })
  })
)
export const ContentSummaryAnswer = decoder(Schema.Struct({ ContentSummary: M.ContentSummary }))
export const QuotaUsageAnswer = decoder(Schema.Struct({ QuotaUsage: M.QuotaUsage }))
export const FileChecksumAnswer = decoder(Schema.Struct({ FileChecksum: M.FileChecksum }))
export const BlockLocationsAnswer = decoder(
  Schema.Struct({
    BlockLocations: Schema.Struct({ BlockLocation: Schema.Array(M.BlockLocation) })
  })
)
export const AclStatusAnswer = decoder(Schema.Struct({ AclStatus: M.AclStatus }))
export const XAttrsAnswer = decoder(
  Schema.Struct({
    XAttrs: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.optional(Schema.NullOr(Schema.String)) }))
  })
)
// The names come as JSON within JSON.
export const XAttrNamesAnswer = decoder(
  Schema.Struct({ XAttrNames: Schema.fromJsonString(Schema.Array(Schema.String)) })
)
export const StoragePoliciesAnswer = decoder(
  Schema.Struct({
    BlockStoragePolicies: Schema.Struct({ BlockStoragePolicy: Schema.Array(M.StoragePolicy) })
  })
)
export const StoragePolicyAnswer = decoder(Schema.Struct({ BlockStoragePolicy: M.StoragePolicy }))
export const ErasureCodingPolicyAnswer = decoder(M.ErasureCodingPolicy)
export const ErasureCodingPoliciesAnswer = decoder(
  Schema.Struct({
    ErasureCodingPolicies: Schema.Struct({ ErasureCodingPolicyInfo: Schema.Array(M.ErasureCodingPolicyInfo) })
  })
)
export const ErasureCodingCodecsAnswer = decoder(
  Schema.Struct({ ErasureCodingCodecs: Schema.Record(Schema.String, Schema.String) })
)
export const SnapshotDiffAnswer = decoder(Schema.Struct({ SnapshotDiffReport: M.SnapshotDiffReport }))
export const SnapshotDiffListingAnswer = decoder(Schema.Struct({ SnapshotDiffReportListing: M.SnapshotDiffListing }))
export const SnapshottableAnswer = decoder(
  Schema.Struct({
    SnapshottableDirectoryList: Schema.NullOr(Schema.Array(M.SnapshottableDirectory))
  })
)
export const SnapshotListAnswer = decoder(Schema.Struct({ SnapshotList: Schema.NullOr(Schema.Array(M.Snapshot)) }))
export const TrashRootsAnswer = decoder(Schema.Struct({ Paths: Schema.NullOr(Schema.Array(M.TrashRoot)) }))
export const ServerDefaultsAnswer = decoder(Schema.Struct({ FsServerDefaults: M.ServerDefaults }))
export const FsStatusAnswer = decoder(Schema.Struct({ FsStatus: M.FsStatus }))
export const TokenAnswer = decoder(Schema.Struct({ Token: Schema.NullOr(Schema.Struct({ urlString: Schema.String })) }))
export const LongAnswer = decoder(Schema.Struct({ long: Schema.Number }))
