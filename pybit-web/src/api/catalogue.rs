//! What the farm serves, and what it refuses.

use poem::Response;
use pybit_core::Error;
use pybit_core::model::{BlockRule, BlockSubject, RuleId};
use serde::Deserialize;

use crate::call::{Call, created, nothing, ok};
use crate::error::ApiResult;

/// The most that is kept of a rule's reason, in characters.
const REASON: usize = 500;

/// A rule to be added; a number is taken and ignored, so that a listed rule can be sent as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRule {
    #[serde(default, rename = "id")]
    _id: Option<RuleId>,
    subject: BlockSubject,
    pattern: String,
    reason: String,
}

/// `GET /catalogue`
pub(crate) async fn show(call: Call) -> ApiResult<Response> {
    ok(&call.state.farm.storage().catalogue().await?)
}

/// `POST /rules`
pub(crate) async fn add_rule(mut call: Call) -> ApiResult<Response> {
    let NewRule { _id: _, subject, pattern, reason } = call.json().await?;
    if reason.chars().count() > REASON {
        let message = format!("the reason must be at most {REASON} characters long");
        return Err(Error::invalid(message).with_code("invalid_reason").into());
    }
    let rule = BlockRule { id: RuleId(0), subject, pattern, reason };
    rule.check()?;
    created(&call.state.farm.storage().add_rule(&rule).await?)
}

/// `DELETE /rules/{id}`
pub(crate) async fn remove_rule(call: Call) -> ApiResult<Response> {
    let id: RuleId = call.id("id")?;
    if call.state.farm.storage().remove_rule(id).await? {
        return Ok(nothing());
    }
    Err(Error::not_found(format!("there is no rule {id}")).with_code("unknown_rule").into())
}
