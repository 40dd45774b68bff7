//! What the farm serves, and what it refuses.

use poem::Response;
use pybit_core::Error;
use pybit_core::model::{BlockRule, BlockSubject, Catalogue, RuleId};
use pybit_core::protocol::CatalogueReply;
use serde::Deserialize;

use crate::call::{Call, created, nothing, ok};
use crate::error::ApiResult;
use crate::hooks;

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

/// Whether to change anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    dry_run: bool,
}

/// `PUT /catalogue`
pub(crate) async fn replace(mut call: Call) -> ApiResult<Response> {
    let Wish { dry_run } = call.query()?;
    let mut wanted: Catalogue = call.json().await?;
    let (by, now) = (call.who()?.name.clone(), call.state.farm.clock().now());
    for moved in wanted.moves.iter_mut().flatten() {
        (moved.by, moved.at) = (by.clone(), Some(now));
    }
    hooks::check(&wanted.hook_rules)?;
    wanted.rules.iter().try_for_each(|rule| check_reason(&rule.reason))?;
    let changes = call.state.farm.storage().replace_catalogue(&wanted, dry_run).await?;
    ok(&CatalogueReply { changes, applied: !dry_run })
}

fn check_reason(reason: &str) -> pybit_core::Result<()> {
    if reason.chars().count() <= REASON {
        return Ok(());
    }
    let message = format!("the reason must be at most {REASON} characters long");
    Err(Error::invalid(message).with_code("invalid_reason"))
}

/// `POST /rules`
pub(crate) async fn add_rule(mut call: Call) -> ApiResult<Response> {
    let NewRule { _id: _, subject, pattern, reason } = call.json().await?;
    check_reason(&reason)?;
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
