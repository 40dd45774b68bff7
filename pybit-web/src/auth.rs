//! Who asks, and whether they may.
//!
//! A token is 256 random bits; the storage keeps and finds it by its SHA-256 alone, so neither a stolen database nor the
//! time of a lookup says anything about a token that works. A password is checked by `accounts/`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use poem::Request;
use poem::http::{StatusCode, header};
use pybit_core::model::{Grant, Principal, Role, Token};
use sha2::{Digest, Sha256};

use crate::accounts::Claim;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::peer;

/// What the names of accounts start with where actors are named, and no token's name.
pub(crate) const ACCOUNT: &str = "account ";
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
    /// The same, and for tools that know no tokens also HTTP Basic: with an account's name and password, or with a token as
    /// the password, under any user name. Never for what a browser could be made to ask: it sends such a password along by
    /// itself.
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
    let (roles, proof) = match access {
        Access::All | Access::Signed => return Ok(None),
        Access::Roles(roles) => (roles, bearer(request)),
        Access::Hook(roles) => (roles, bearer(request).or_else(|| basic(request))),
    };
    let (kind, who) = match &proof {
        Some(Proof::Secret(secret)) => ("a token", of_token(state, secret).await?),
        Some(Proof::Password { name, password }) => {
            let from = peer::address(request, &state.config.proxies);
            ("an account", of_account(state, Claim { name, password, from }).await?)
        }
        None => ("nobody", None),
    };
    let who = who.ok_or_else(|| match access {
        Access::Hook(_) => ApiError::unauthenticated_hook(),
        _ => ApiError::unauthenticated(),
    })?;
    if !roles.contains(&who.grant.role) {
        let message = format!("{kind} of the role {} may not do this", who.grant.role);
        return Err(ApiError::denied(message));
    }
    Ok(Some(who))
}

async fn of_token(state: &AppState, secret: &str) -> ApiResult<Option<Principal>> {
    let token = state.tokens.find(state.farm.storage().as_ref(), &digest(secret)).await?;
    let now = state.farm.clock().now();
    let valid = |t: &Token| t.revoked_at.is_none() && t.expires_at.is_none_or(|end| end > now);
    Ok(token.filter(valid).map(|t| Principal { name: t.name, grant: t.grant }))
}

async fn of_account(state: &AppState, claim: Claim<'_>) -> ApiResult<Option<Principal>> {
    let now = state.farm.clock().now();
    let account = state.accounts.prove(state.farm.storage().as_ref(), now, claim).await?;
    Ok(account.map(|a| Principal {
        name: format!("{ACCOUNT}{}", a.name),
        grant: Grant { names: a.names, ..Grant::of(a.role) },
    }))
}

/// How a caller proves who it is.
enum Proof {
    /// By what has the form of a token.
    Secret(String),
    /// By an account's password, perhaps.
    Password { name: String, password: String },
}

fn bearer(request: &Request) -> Option<Proof> {
    let secret = credentials(request, "bearer").filter(|secret| is_secret(secret));
    secret.map(|secret| Proof::Secret(secret.to_owned()))
}

/// HTTP Basic (RFC 7617). Where the password is a token, whom the user name names does not matter.
fn basic(request: &Request) -> Option<Proof> {
    let decoded = BASE64_STANDARD.decode(credentials(request, "basic")?).ok()?;
    let (name, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    let (name, password) = (name.to_owned(), password.to_owned());
    Some(if is_secret(&password) {
        Proof::Secret(password)
    } else {
        Proof::Password { name, password }
    })
}

/// Reads who asks, as `make fuzz` calls it.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz_credentials(request: &Request) {
    let _ = (bearer(request), basic(request));
}

/// What follows the scheme in `Authorization`.
fn credentials<'a>(request: &'a Request, wanted: &str) -> Option<&'a str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

/// The most patterns of names that one principal is granted.
const MAX_NAMES: usize = 100;

/// Checks that role, client and names fit: a client's name is given exactly for the role `client`, and names only for `submit`.
pub(crate) fn check_grant(grant: &Grant) -> pybit_core::Result<()> {
    let refuse =
        |message: &str| Err(pybit_core::Error::invalid(message).with_code("invalid_grant"));
    if (grant.role == Role::Client) != grant.client.is_some() {
        return refuse("name the build client for a token of the role client, and for no other");
    }
    if !grant.names.is_empty() && grant.role != Role::Submit {
        return refuse(
            "names of the distribution are granted with the role submit alone; an administrator may submit under all of them",
        );
    }
    if grant.names.len() > MAX_NAMES {
        return refuse("at most 100 patterns of names are granted to one token or account");
    }
    Ok(())
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
