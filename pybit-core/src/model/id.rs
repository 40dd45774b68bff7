//! Numbers that name things: one type each, so that a job's number is never taken for a submission's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

macro_rules! id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(
            Debug,
            Clone,
            Copy,
            Default,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
        )]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = i64))]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self, Error> {
                let number = s.parse().ok().filter(|n| *n > 0);
                number
                    .map(Self)
                    .ok_or_else(|| Error::not_found(concat!("not a valid ", stringify!($name))))
            }
        }
    };
}

id!(JobId, "Names a job; counted from 1 in a farm.");
id!(SubmissionId, "Names a submission; counted from 1 in a farm.");
id!(UploadId, "Names an upload that a submission can build from.");
id!(StreamId, "Names a growing run of stored bytes: a log, or a file on its way in.");
id!(TokenId, "Names an access token; not the secret itself.");
id!(RuleId, "Names a block rule.");
id!(OrderId, "Names an order to a repository's watcher; counted from 1 in a farm.");
