//! Detached OpenPGP signatures of an index, verified by `gpgv` against the keys of a file.

use std::path::Path;

use pybit_core::{Error, ErrorKind, Result};

use crate::exec::Exec;
use crate::gpgv::{self, STATUS};

/// The largest signature or key file, in bytes.
pub(super) const MAX_SIGNATURE: u64 = 1 << 20;

/// Verifies that a key of the file `key`, armoured or not, has signed `text`. `what` names the text in a refusal.
///
/// One good signature is enough: an index that is signed by an old and a new key is read with either.
pub(super) async fn verify(
    exec: &Exec,
    what: &str,
    text: &[u8],
    signature: &[u8],
    key: &Path,
) -> Result<()> {
    let unreadable = |e: std::io::Error| {
        let message = format!("the key file {} cannot be read: {e}", key.display());
        Error::invalid(message).with_code("invalid_configuration").with_source(e)
    };
    if std::fs::metadata(key).map_err(unreadable)?.len() > MAX_SIGNATURE {
        return Err(refused(what, "the key file is larger than 1 MiB"));
    }
    let keys = gpgv::dearmoured(&std::fs::read(key).map_err(unreadable)?);
    let keys = keys.filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| refused(what, "the key file holds no OpenPGP keys"))?;
    let signature = gpgv::dearmoured(signature);
    let signature = signature.ok_or_else(|| refused(what, "its signature is broken"))?;

    let room = tempfile::Builder::new().prefix("pybit-gpgv-").tempdir().map_err(|e| no_room(&e))?;
    let place = |name: &str, bytes: &[u8]| {
        let path = room.path().join(name);
        std::fs::write(&path, bytes).map(|()| path).map_err(|e| no_room(&e))
    };
    let (ring, text) = (place("keys.gpg", &keys)?, place("text", text)?);
    let signature = place("signature", &signature)?;
    let args = ["--".to_owned(), signature.display().to_string(), text.display().to_string()];
    let said = gpgv::status(exec, room.path(), &ring, &args).await?;
    judge(&said).map_or(Ok(()), |why| Err(refused(what, &why)))
}

/// The reason why gpgv's status lines (`doc/DETAILS` of `GnuPG`) show no good signature; nothing where they show one. Signatures by keys that are not
/// there, or that have expired, do not count; a wrong one refuses the text whatever the others say.
fn judge(said: &str) -> Option<String> {
    let lines = said.lines().filter_map(|l| l.strip_prefix(STATUS));
    let lines: Vec<Vec<&str>> = lines.map(|l| l.split_ascii_whitespace().collect()).collect();
    let (mut good, mut why) = (false, None);
    for signature in lines.split(|line| line.first() == Some(&"NEWSIG")) {
        let of = |word: &str| signature.iter().find(|line| line.first() == Some(&word));
        let key = |line: &[&str]| line.get(1).copied().unwrap_or("unknown").to_owned();
        for word in ["BADSIG", "NODATA", "UNEXPECTED"] {
            if of(word).is_some() {
                return Some(
                    "its signature is wrong: it is not the text that was signed".to_owned(),
                );
            }
        }
        for (word, fault) in [
            ("ERRSIG", "is not in the key file, or cannot be checked"),
            ("EXPSIG", "made a signature that has expired"),
            ("EXPKEYSIG", "has expired"),
            ("REVKEYSIG", "was revoked"),
        ] {
            if let Some(line) = of(word) {
                why = Some(format!("the key {} of its signature {fault}", key(line)));
            }
        }
        // `VALIDSIG` ends with the signature's class, 00 or 01 for a document, and the primary key's fingerprint.
        let is_document = |line: &Vec<&str>| line.len() == 11 && matches!(line[9], "00" | "01");
        good |= of("GOODSIG").is_some() && of("VALIDSIG").is_some_and(is_document);
    }
    if good { None } else { why.or_else(|| Some("it has no good signature".to_owned())) }
}

fn refused(what: &str, why: &str) -> Error {
    let message = format!("{what} is refused: {why}");
    Error::new(ErrorKind::Denied, message).with_code("bad_signature")
}

fn no_room(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("a signature cannot be verified: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_signature_is_enough_and_a_wrong_one_is_too_many() {
        let valid = "VALIDSIG F 2026-11-23 1 0 4 0 22 10 00 F";
        let asked = |lines: &[&str]| {
            let said: String = lines.iter().flat_map(|line| [STATUS, line, "\n"]).collect();
            judge(&said)
        };
        let good = ["NEWSIG", "GOODSIG 01 Ann", valid];
        assert_eq!(asked(&good), None);
        let other = ["NEWSIG", "ERRSIG 0F 1 8 00 1 9", "NO_PUBKEY 0F", "FAILURE gpgv 1"];
        assert_eq!(asked(&[&good[..], &other].concat()), None, "the new key of a roll-over");
        for (lines, words) in [
            (&[][..], "no good"),
            (&other[..], "0F"),
            (&["NEWSIG", "BADSIG 0F Ann"], "wrong"),
            (&["NODATA 4"], "wrong"),
            (&["NEWSIG", "GOODSIG 01 Ann", valid, "NEWSIG", "BADSIG 0F Ann"], "wrong"),
            (&["NEWSIG", "GOODSIG 01 Ann", "NEWSIG", valid], "no good"),
            (&["NEWSIG", "EXPKEYSIG 0F Ann", valid], "expired"),
            (&["NEWSIG", "REVKEYSIG 0F Ann", valid], "revoked"),
            (&["NEWSIG", "GOODSIG 01 Ann", "VALIDSIG F"], "no good"),
            (&["NEWSIG", "GOODSIG 01 Ann", &valid.replace(" 00 ", " 10 ")], "no good"),
        ] {
            let why = asked(lines).unwrap_or_else(|| panic!("{lines:?} is taken"));
            assert!(why.contains(words), "{lines:?}: {why}");
        }
    }
}
