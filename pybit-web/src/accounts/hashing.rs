//! Passwords and what is kept of them: argon2id, as the OWASP Password Storage Cheat Sheet advises.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{Error as Failure, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use pybit_core::model::PasswordHash;
use pybit_core::{Error, ErrorKind, Result};

/// Memory in KiB, passes, lanes. Raise them when machines get faster: what is kept follows, account by account.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What no password has led to, kept as [`hash`] keeps them: it costs as much to check.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What became of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is another password, or nobody's.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and this is to be kept of it from now on.
    Outdated(PasswordHash),
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|e| failed(&e))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// What is to be kept of a password, with a salt of its own.
pub(super) fn hash(password: &str) -> Result<PasswordHash> {
    let salt: [u8; 16] = rand::random();
    let hash = argon2()?.hash_password_with_salt(password.as_bytes(), &salt);
    hash.map_err(|e| failed(&e))?.to_string().parse()
}

/// Checks a password against what is kept of it; where nothing is, it takes as long and is wrong.
pub(super) fn verify(password: &str, kept: Option<&PasswordHash>) -> Result<Verdict> {
    let text = kept.map_or(NOBODYS, PasswordHash::expose);
    let unreadable = |e: Failure| {
        let message = "what is kept of an account's password cannot be checked; set the password anew with `pybit account \
                       passwd`";
        Error::new(ErrorKind::Corrupt, message).with_source(e.to_string())
    };
    let parsed = Phc::new(text).map_err(|e| unreadable(e.into()))?;
    match argon2()?.verify_password(password.as_bytes(), &parsed) {
        Ok(()) if is_outdated(&parsed) => hash(password).map(Verdict::Outdated),
        Ok(()) => Ok(Verdict::Right),
        Err(Failure::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(other) => Err(unreadable(other)),
    }
}

/// Whether it is easier to guess than what is kept today.
fn is_outdated(kept: &Phc) -> bool {
    let strong = |p: Params| p.m_cost() >= MEMORY && p.t_cost() >= PASSES && p.p_cost() >= LANES;
    kept.algorithm != Algorithm::Argon2id.ident()
        || kept.version != Some(Version::V0x13.into())
        || !Params::try_from(kept).is_ok_and(strong)
}

fn failed(error: &impl std::fmt::Display) -> Error {
    Error::internal("a password cannot be hashed").with_source(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(password: &str) -> PasswordHash {
        let argon2 = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8192, 1, 1, None).unwrap(),
        );
        let hash = argon2.hash_password_with_salt(password.as_bytes(), &[7; 16]).unwrap();
        hash.to_string().parse().unwrap()
    }

    #[test]
    fn a_password_is_known_by_what_is_kept_of_it() {
        let kept = hash("correct horse").unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.expose());
        assert_ne!(kept, hash("correct horse").unwrap(), "each has a salt of its own");
        assert_eq!(verify("correct horse", Some(&kept)).unwrap(), Verdict::Right);
        for other in ["correct horsf", "", "correct horse "] {
            assert_eq!(verify(other, Some(&kept)).unwrap(), Verdict::Wrong, "{other}");
        }
    }

    #[test]
    fn nobody_is_checked_as_today_s_accounts_are() {
        let nobody = Phc::new(NOBODYS).unwrap();
        assert!(!is_outdated(&nobody));
        assert_eq!(nobody.hash.unwrap().len(), 32);
        assert_eq!(verify("correct horse", None).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn what_is_kept_in_an_older_way_is_replaced_once() {
        let old = weak("correct horse");
        assert_eq!(verify("wrong horse", Some(&old)).unwrap(), Verdict::Wrong);
        let Verdict::Outdated(new) = verify("correct horse", Some(&old)).unwrap() else {
            panic!("it is outdated")
        };
        assert_eq!(verify("correct horse", Some(&new)).unwrap(), Verdict::Right);
    }

    #[test]
    fn what_cannot_be_checked_says_so_without_showing_it() {
        for text in [
            "$argon2id$v=19$m=19456",
            "$nothing$secret",
            "$argon2id$v=19$m=1,t=0,p=1$c2FsdHNhbHQ$AAAA",
        ] {
            let kept: PasswordHash = text.parse().unwrap();
            match verify("correct horse", Some(&kept)) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(!format!("{error:?}").contains(text));
                }
                Ok(verdict) => assert_eq!(verdict, Verdict::Wrong, "{text}"),
            }
        }
    }
}
