//! Who asks, and whether they may.
//!
//! A token is 256 random bits; the storage keeps and finds it by its SHA-256 alone, so neither a stolen database nor the
//! time of a lookup says anything about a token that works.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use poem::Request;
use poem::http::{StatusCode, header};
use pybit_core::model::{Grant, Principal, Role, Token};
use sha2::{Digest, Sha256};

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};

/// What every secret starts with.
const PREFIX: &str = "pbt_";
/// Hexadecimal digits after the prefix.
const DIGITS: usize = 64;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, without a token.
    All,
    /// Whoever signs with a secret that the handler knows.
    Signed,
    /// Tokens of these roles.
    Roles(&'static [Role]),
    /// The same, and for tools that know no tokens also as the password of HTTP Basic, under any user name. Never for what a
    /// browser could be made to ask: it sends such a password along by itself.
    Hook(&'static [Role]),
}

impl Access {
    /// People's tools that change something.
    pub(crate) const SUBMIT: Self = Self::Roles(&[Role::Submit, Role::Admin]);
    /// Tools that tell of new source.
    pub(crate) const HOOK: Self = Self::Hook(&[Role::Submit, Role::Admin]);
    /// Operators.
    pub(crate) const ADMIN: Self = Self::Roles(&[Role::Admin]);
    /// Build clients, each by its own name; an administrator's token names none.
    pub(crate) const CLIENT: Self = Self::Roles(&[Role::Client]);
    /// Watchers.
    pub(crate) const PUBLISH: Self = Self::Roles(&[Role::Publish, Role::Admin]);
    /// Whoever builds from or publishes uploaded files.
    pub(crate) const FETCH: Self =
        Self::Roles(&[Role::Submit, Role::Client, Role::Publish, Role::Admin]);
}

/// A new secret.
pub(crate) fn new_secret() -> String {
    format!("{PREFIX}{}", hex::encode(rand::random::<[u8; DIGITS / 2]>()))
}

/// What the storage keeps of a secret.
pub(crate) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Whether it has the form of a secret; another is refused without asking the storage.
pub(crate) fn is_secret(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX);
    digits.is_some_and(|d| {
        d.len() == DIGITS && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Refuses what no route takes: two `Authorization` headers, and a token in the query, where logs would keep it.
pub(crate) fn refuse_misplaced(request: &Request) -> ApiResult<()> {
    if request.headers().get_all(header::AUTHORIZATION).iter().count() > 1 {
        let message = "there is more than one Authorization header";
        return Err(ApiError::malformed("two_authorizations", message));
    }
    let query = request.uri().query().unwrap_or_default();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let is_token = |(name, value): &(String, String)| {
        let name = name.to_ascii_lowercase();
        is_secret(value) || ["token", "access_token", "authorization"].contains(&name.as_str())
    };
    if pairs.iter().any(is_token) {
        let message = "a token in the address is refused: it would end up in logs";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "token_in_query", message));
    }
    Ok(())
}

/// The caller, where the route needs one: a missing, unknown, expired or revoked token is the same 401, one that may not
/// do this is 403.
pub(crate) async fn admit(
    state: &AppState,
    request: &Request,
    access: Access,
) -> ApiResult<Option<Principal>> {
    let (roles, secret) = match access {
        Access::All | Access::Signed => return Ok(None),
        Access::Roles(roles) => (roles, bearer(request).map(str::to_owned)),
        Access::Hook(roles) => {
            (roles, bearer(request).map(str::to_owned).or_else(|| basic(request)))
        }
    };
    let unknown = || match access {
        Access::Hook(_) => ApiError::unauthenticated().with_challenge("Basic realm=\"pybit\""),
        _ => ApiError::unauthenticated(),
    };
    let digest = digest(&secret.ok_or_else(unknown)?);
    let token = state.tokens.find(state.farm.storage().as_ref(), &digest).await?;
    let now = state.farm.clock().now();
    let valid = |t: &Token| t.revoked_at.is_none() && t.expires_at.is_none_or(|end| end > now);
    let token = token.filter(valid).ok_or_else(unknown)?;
    if !roles.contains(&token.grant.role) {
        let message = format!("a token of the role {} may not do this", token.grant.role);
        return Err(ApiError::denied(message));
    }
    Ok(Some(Principal { name: token.name, grant: token.grant }))
}

fn bearer(request: &Request) -> Option<&str> {
    credentials(request, "bearer").filter(|secret| is_secret(secret))
}

/// The password of HTTP Basic (RFC 7617), where it is a token; whom the user name names does not matter.
fn basic(request: &Request) -> Option<String> {
    let decoded = BASE64_STANDARD.decode(credentials(request, "basic")?).ok()?;
    let (_, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    is_secret(password).then(|| password.to_owned())
}

/// What follows the scheme in `Authorization`.
fn credentials<'a>(request: &'a Request, wanted: &str) -> Option<&'a str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

/// Checks that role and client fit: a client's name is given exactly for the role `client`.
pub(crate) fn check_grant(grant: &Grant) -> pybit_core::Result<()> {
    if (grant.role == Role::Client) == grant.client.is_some() {
        return Ok(());
    }
    let message = "name the build client for a token of the role client, and for no other";
    Err(pybit_core::Error::invalid(message).with_code("invalid_grant"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_one_form() {
        let secret = new_secret();
        assert!(is_secret(&secret) && secret != new_secret());
        for other in
            ["", "pbt_", "pbt_abc", &secret[4..], &secret.to_uppercase(), &format!("{secret}0")]
        {
            assert!(!is_secret(other), "{other}");
        }
    }

    #[test]
    fn what_is_kept_does_not_hold_the_secret() {
        let secret = new_secret();
        assert_eq!(digest(&secret).len(), 64);
        assert!(!digest(&secret).contains(&secret[4..]));
    }
}
