//! Access tokens.

use std::time::Duration;

use poem::Response;
use pybit_core::Error;
use pybit_core::clock::Timestamp;
use pybit_core::model::{Grant, TokenId};
use pybit_core::protocol::{NewTokenReply, NewTokenRequest};
use pybit_core::storage::NewToken;

use crate::auth;
use crate::call::{Call, created, nothing, ok};
use crate::error::ApiResult;

/// `GET /tokens`: never a secret, which the farm does not know itself.
pub(crate) async fn list(call: Call) -> ApiResult<Response> {
    ok(&call.state.farm.storage().tokens().await?)
}

/// `POST /tokens`
pub(crate) async fn create(mut call: Call) -> ApiResult<Response> {
    let request: NewTokenRequest = call.json().await?;
    let printable = |c: char| !c.is_control() && c.is_ascii();
    if !(1..=64).contains(&request.name.len()) || !request.name.chars().all(printable) {
        let message = "a token's name must be 1 to 64 printable characters";
        return Err(Error::invalid(message).with_code("invalid_token_name").into());
    }
    if request.name.starts_with(auth::ACCOUNT) {
        let message =
            "a token's name must not begin as those of accounts do where actors are named";
        return Err(Error::invalid(message).with_code("invalid_token_name").into());
    }
    let grant = Grant { role: request.role, client: request.client, names: request.names };
    auth::check_grant(&grant)?;
    let farm = &call.state.farm;
    let now = farm.clock().now();
    let expires_at = expiry(request.expires_in_days, now)?;
    let secret = auth::new_secret();
    let new = NewToken { name: request.name, sha256: auth::digest(&secret), grant, expires_at };
    let token = farm.storage().add_token(&new, now).await?;
    created(&NewTokenReply { token, secret })
}

/// When what is made `now` ends by itself.
pub(super) fn expiry(days: Option<u32>, now: Timestamp) -> ApiResult<Option<Timestamp>> {
    match days {
        Some(days @ 1..=3650) => Ok(Some(now.plus(Duration::from_secs(u64::from(days) * 86_400)))),
        None => Ok(None),
        Some(_) => {
            let message = "it ends after 1 to 3650 days, or never";
            Err(Error::invalid(message).with_code("invalid_expiry").into())
        }
    }
}

/// `DELETE /tokens/{id}`
pub(crate) async fn revoke(call: Call) -> ApiResult<Response> {
    let id: TokenId = call.id("id")?;
    let now = call.state.farm.clock().now();
    let revoked = call.state.farm.storage().revoke_token(id, now).await;
    call.state.tokens.forget();
    if revoked? {
        return Ok(nothing());
    }
    Err(Error::not_found(format!("there is no token {id}")).with_code("unknown_token").into())
}
