//! What can be made to go wrong, by name.

/// Every point at which a process can be ended, each reached at one place of the sources. They stand beside the durable
/// steps: what is written before a point is there after a restart, what comes behind it is not.
pub const POINTS: [&str; 49] = [
    // The server, where the database changes.
    "migrate_before",
    "migrate_after",
    "submission_before_commit",
    "submission_after_commit_before_reply",
    "claim_before_commit",
    "claim_after_commit_before_reply",
    "heartbeat_before_commit",
    "heartbeat_after_commit_before_reply",
    "change_before_commit",
    "change_after_commit",
    "resume_before_report",
    "dispatch_before_send",
    "dispatch_after_send_before_mark",
    "dispatch_after_mark",
    "finish_checked_before_commit",
    "finish_after_commit_before_settle",
    "settle_after_commit_before_wake",
    "fail_after_commit_before_reply",
    "refuse_after_commit_before_reply",
    "published_after_commit_before_wake",
    "wake_between_jobs",
    "cancel_after_commit_before_order",
    "stopped_after_commit_before_reply",
    "retry_after_commit_before_reply",
    "order_after_commit_before_reply",
    "order_reported_after_commit_before_reply",
    "lapse_before_commit",
    "lapse_after_commit",
    // The server, where bytes are stored.
    "piece_before_blob",
    "piece_after_blob_before_row",
    "piece_after_row_before_reply",
    "file_after_blob_before_seal",
    "file_after_seal_before_discard",
    "log_after_archive_before_seal",
    // The build client.
    "client_claimed_before_journal",
    "client_journal_written_before_rename",
    "client_journal_before_start",
    "client_step_before_journal",
    "client_uploaded_before_report",
    "client_log_stored_before_report",
    "client_reported_before_journal",
    "client_cleaned_before_forget",
    // The watcher and its publisher.
    "publish_fetched_before_tools",
    "publisher_state_before_snapshot",
    "publisher_snapshot_before_swap",
    "publisher_swap_before_prune",
    "publish_done_before_report",
    "publish_order_started_before_removal",
    "publish_order_removed_before_report",
];

/// A rule that a test build can be told to break, to see that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A result is taken without comparing the job's version.
    DropCasOnFinish,
    /// The fencing token is not looked at: who held the job once may write.
    FenceByClient,
    /// Hints leave the outbox before the transport has them.
    MarkBeforeConfirm,
    /// Hints are published to RabbitMQ without the mandatory flag, and none is declared a queue.
    PublishWithoutMandatory,
    /// Leases lapse by the wall clock.
    ExpireByWallClock,
    /// A server that starts or was paused does not give every lease its full time again.
    NoRearm,
    /// Hints are acknowledged before the claim that they are for.
    AckBeforeClaim,
    /// The row that names stored bytes is written before the bytes.
    RowBeforeBlob,
    /// Log bytes that are sent again are not compared.
    SkipOverlapCompare,
    /// A job that is being cancelled takes a result.
    FinishWhileCancelling,
    /// What the repository tool leaves behind is not looked at.
    TrustTool,
    /// The repository's index is replaced in place.
    PublishInPlace,
    /// Bodies are not compared with their digest.
    TrustBodies,
}

impl Mutation {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::DropCasOnFinish,
        Self::FenceByClient,
        Self::MarkBeforeConfirm,
        Self::PublishWithoutMandatory,
        Self::ExpireByWallClock,
        Self::NoRearm,
        Self::AckBeforeClaim,
        Self::RowBeforeBlob,
        Self::SkipOverlapCompare,
        Self::FinishWhileCancelling,
        Self::TrustTool,
        Self::PublishInPlace,
        Self::TrustBodies,
    ];

    /// Its name in `PYBIT_TRIAL_MUTATION`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropCasOnFinish => "drop-cas-on-finish",
            Self::FenceByClient => "fence-by-client",
            Self::MarkBeforeConfirm => "mark-before-confirm",
            Self::PublishWithoutMandatory => "publish-without-mandatory",
            Self::ExpireByWallClock => "expire-by-wall-clock",
            Self::NoRearm => "no-rearm",
            Self::AckBeforeClaim => "ack-before-claim",
            Self::RowBeforeBlob => "row-before-blob",
            Self::SkipOverlapCompare => "skip-overlap-compare",
            Self::FinishWhileCancelling => "finish-while-cancelling",
            Self::TrustTool => "trust-tool",
            Self::PublishInPlace => "publish-in-place",
            Self::TrustBodies => "trust-bodies",
        }
    }
}
