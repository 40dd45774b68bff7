//! `Content-Digest` (RFC 9530): bodies that were damaged on their way are told from those that were meant.
//!
//! TCP's sum misses one damaged segment in some thousands, and proxies make it anew over what they hold. TLS leaves
//! nothing of this; farms on a network of their own often do without.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::trial::{self, Mutation};

/// The header's name.
pub const CONTENT_DIGEST: &str = "content-digest";
/// The stable code of a request whose body is not what its header says: 400, and sending it again helps.
pub const DAMAGED: &str = "damaged";

/// The header's value for a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// Whether a body is what the header's value says. Other algorithms than `sha-256` are not looked at; a value without it
/// says nothing.
pub fn is_as_sent(value: &str, body: &[u8]) -> bool {
    let digests = value.split(',').filter_map(|member| member.trim().split_once('='));
    let mut known = digests.filter(|(algorithm, _)| *algorithm == "sha-256").peekable();
    if known.peek().is_none() {
        return true;
    }
    let expected = content_digest(body);
    known.all(|(_, digest)| expected.strip_prefix("sha-256=") == Some(digest))
        || trial::is_broken(Mutation::TrustBodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530, appendix D: the digest of `{"hello": "world"}` and a line's end.
    const EXAMPLE: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    #[test]
    fn the_header_is_that_of_the_standard() {
        assert_eq!(content_digest(b"{\"hello\": \"world\"}\n"), EXAMPLE);
    }

    #[test]
    fn one_bit_makes_another_body() {
        let body = b"{\"hello\": \"world\"}\n";
        for value in [EXAMPLE, &format!("sha-512=:AAAA:, {EXAMPLE}"), "md5=:AAAA:", ""] {
            assert!(is_as_sent(value, body), "{value}");
        }
        for at in 0..body.len() {
            let mut other = *body;
            other[at] ^= 1;
            assert!(!is_as_sent(EXAMPLE, &other));
        }
        for value in ["sha-256=:AAAA:", "sha-256=", &format!("{EXAMPLE}, sha-256=:AAAA:")] {
            assert!(!is_as_sent(value, body), "{value}");
        }
    }
}
