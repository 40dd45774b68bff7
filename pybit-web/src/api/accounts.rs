//! Accounts.

use poem::Response;
use pybit_core::Error;
use pybit_core::model::{AccountName, Grant, Password, Role};
use pybit_core::protocol::{NewAccountRequest, NewPassword};
use pybit_core::storage::{AccountChange, NewAccount};

use super::tokens::expiry;
use crate::auth;
use crate::call::{Call, created, nothing, ok};
use crate::error::ApiResult;

/// `GET /accounts`: never a password, nor what is kept of it.
pub(crate) async fn list(call: Call) -> ApiResult<Response> {
    ok(&call.state.farm.storage().accounts().await?)
}

/// `POST /accounts`
pub(crate) async fn create(mut call: Call) -> ApiResult<Response> {
    let request: NewAccountRequest = call.json().await?;
    if request.role == Role::Client {
        let message =
            "a build client has a token (pybit token create --role client), and no account";
        return Err(Error::invalid(message).with_code("invalid_grant").into());
    }
    let now = call.state.farm.clock().now();
    let expires_at = expiry(request.expires_in_days, now)?;
    check(&request.password)?;
    let hash = call.state.accounts.hash(&request.password).await?;
    let NewAccountRequest { name, role, names, .. } = request;
    auth::check_grant(&Grant { names: names.clone(), ..Grant::of(role) })?;
    let new = NewAccount { name, role, names, hash, expires_at };
    created(&call.state.farm.storage().add_account(&new, now).await?)
}

/// `PUT /accounts/{name}/password`
pub(crate) async fn set_password(mut call: Call) -> ApiResult<Response> {
    let NewPassword { password } = call.json().await?;
    check(&password)?;
    let hash = call.state.accounts.hash(&password).await?;
    change(&call, &AccountChange::Password(hash)).await
}

/// `POST /accounts/{name}/disable`
pub(crate) async fn disable(call: Call) -> ApiResult<Response> {
    change(&call, &AccountChange::Disable).await
}

/// `POST /accounts/{name}/enable`
pub(crate) async fn enable(call: Call) -> ApiResult<Response> {
    change(&call, &AccountChange::Enable).await
}

/// `DELETE /accounts/{name}`
pub(crate) async fn remove(call: Call) -> ApiResult<Response> {
    let name: AccountName = call.name("name")?;
    done(call.state.farm.storage().remove_account(&name).await?, &name)
}

async fn change(call: &Call, change: &AccountChange) -> ApiResult<Response> {
    let name: AccountName = call.name("name")?;
    let farm = &call.state.farm;
    done(farm.storage().change_account(&name, change, farm.clock().now()).await?, &name)
}

fn done(there: bool, name: &AccountName) -> ApiResult<Response> {
    if there {
        return Ok(nothing());
    }
    Err(Error::not_found(format!("there is no account {name}")).with_code("unknown_account").into())
}

/// A password is no token: it would be taken for one where both may stand.
fn check(password: &Password) -> ApiResult<()> {
    if !auth::is_secret(password.expose()) {
        return Ok(());
    }
    let message = "a password must not look like an access token";
    Err(Error::invalid(message).with_code("invalid_password").into())
}
