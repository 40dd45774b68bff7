//! The tokens that a farm starts with.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{Grant, Role};
use pybit_core::storage::{NewToken, Storage};
use pybit_core::{Error, ErrorKind, Result};

use crate::auth;
use crate::private_file::{self, Refused};

/// Makes the administrator's token where the file is not there yet, and returns it, to be shown once.
///
/// The storage gets only its SHA-256; the secret is in the file, mode 0600. A file that is there is kept, and the storage
/// is told of its token where it does not know it; a token that was revoked stays so.
pub async fn ensure_admin_token(storage: &dyn Storage, path: &Path) -> Result<Option<String>> {
    let grant = Grant::of(Role::Admin);
    ensure_role_token(storage, path, &grant).await
}

/// Makes a token of any role in a file, as [`ensure_admin_token`] does; it is called after its client or role.
pub async fn ensure_role_token(
    storage: &dyn Storage,
    path: &Path,
    grant: &Grant,
) -> Result<Option<String>> {
    auth::check_grant(grant)?;
    let (secret, is_new) = match read(path)? {
        Some(secret) => (secret, false),
        None => (write_new(path)?, true),
    };
    let sha256 = auth::digest(&secret);
    match storage.token(&sha256).await? {
        Some(known) if known.grant != *grant => {
            let message = format!(
                "the token in {} is for the role {}, not for {}; give each its own file",
                path.display(),
                known.grant.role,
                grant.role
            );
            return Err(Error::invalid(message).with_code("invalid_configuration"));
        }
        Some(known) if known.revoked_at.is_some() => {
            tracing::warn!(file = %path.display(), "the token in this file was revoked; remove it for a new one");
        }
        Some(_) => {}
        None => {
            let client = grant.client.as_ref().map(ToString::to_string);
            let name = client.unwrap_or_else(|| grant.role.to_string());
            let token = NewToken { name, sha256, grant: grant.clone(), expires_at: None };
            storage.add_token(&token, SystemClock.now()).await?;
        }
    }
    Ok(is_new.then_some(secret))
}

/// The secret in the file; one that others can read is none any more, and is refused.
fn read(path: &Path) -> Result<Option<String>> {
    let text = match private_file::read(path, 1000) {
        Ok(text) => text,
        Err(Refused::Unreadable(e)) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(Refused::Unreadable(e)) => return Err(failure("read", path, &e)),
        Err(Refused::Open) => {
            let message = format!(
                "the token file {} can be read by others: run chmod 600 on it, or remove it for a new token",
                path.display()
            );
            return Err(Error::invalid(message).with_code("invalid_configuration"));
        }
    };
    let secret = text.trim();
    if auth::is_secret(secret) {
        return Ok(Some(secret.to_owned()));
    }
    let message =
        format!("{} holds no pybit token; remove it and a new one is made", path.display());
    Err(Error::invalid(message).with_code("invalid_configuration"))
}

/// Writes a new secret, whole or not at all.
fn write_new(path: &Path) -> Result<String> {
    let fail = |e: io::Error| failure("write", path, &e);
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    let secret = auth::new_secret();
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut file =
        fs::File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(fail)?;
    let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
    // A link, unlike a rename, never replaces a token that another process wrote meanwhile.
    let placed = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    placed.and_then(|()| fs::File::open(dir)?.sync_all()).map_err(fail)?;
    Ok(secret)
}

fn failure(verb: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot {verb} the token file {}: {error}", path.display());
    Error::new(ErrorKind::Unavailable, message)
}
