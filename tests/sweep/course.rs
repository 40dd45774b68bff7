//! What is done with the farm while one of its processes ends.

/// A course of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// A package is built and published.
    Build,
    /// A build is cancelled while it runs, and tried again.
    Cancel,
    /// A build client is killed while it builds, and is back after its lease.
    Lapse,
    /// A build client is told to end while it builds, and is back later.
    Leave,
    /// A package waits for another, which comes.
    Wait,
    /// A build client stands still with its result in hand until its lease is over, and reports then.
    Late,
    /// A package is published and taken out again.
    Remove,
}

impl Course {
    /// The course that reaches a point.
    pub(crate) fn of(point: &str) -> Self {
        match point {
            "cancel_after_commit_before_order"
            | "stopped_after_commit_before_reply"
            | "retry_after_commit_before_reply" => Self::Cancel,
            "resume_before_report" => Self::Late,
            "order_after_commit_before_reply"
            | "order_reported_after_commit_before_reply"
            | "publish_order_started_before_removal"
            | "publish_order_removed_before_report" => Self::Remove,
            "lapse_before_commit" | "lapse_after_commit" => Self::Lapse,
            "refuse_after_commit_before_reply" => Self::Leave,
            "fail_after_commit_before_reply"
            | "published_after_commit_before_wake"
            | "wake_between_jobs" => Self::Wait,
            _ => Self::Build,
        }
    }
}

/// The role whose process a point is in.
pub(crate) fn role_of(point: &str) -> &'static str {
    match point.split('_').next() {
        Some("client") => "client",
        Some("publish" | "publisher") => "watcher",
        _ => "web",
    }
}
