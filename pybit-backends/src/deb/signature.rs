//! Inline OpenPGP signatures, verified by `gpgv` against a keyring (docs/decisions/0010-gpgv-verifies.md).

use std::path::Path;

use pybit_core::upload::Signer;
use pybit_core::{Error, ErrorKind, Result};

use crate::description::{LARGEST, SIGNED};
use crate::exec::Exec;
use crate::gpgv::{self, ARMOURED, STATUS};

/// The text that a signature covers, and whose it is.
#[derive(Debug)]
pub(super) struct Signed {
    /// As gpgv has written it: what no signature covers is not in it.
    pub(super) text: Vec<u8>,
    /// The primary key.
    pub(super) signer: Signer,
}

/// Verifies the one inline signature of `bytes`; refusals as [`UploadReader`](pybit_core::upload::UploadReader) says.
///
/// `what` begins the sentence of a refusal: `the .changes`.
pub(super) async fn verify(
    exec: &Exec,
    what: &str,
    bytes: &[u8],
    keyring: &Path,
) -> Result<Signed> {
    if bytes.len() > LARGEST {
        return Err(Error::invalid(format!("{what} is refused: it is larger than 1 MiB")));
    }
    if !bytes.starts_with(SIGNED.as_bytes()) {
        return Err(refused("unsigned", what, "it is not signed; sign it with debsign"));
    }
    let room = tempfile::Builder::new().prefix("pybit-gpgv-").tempdir().map_err(|e| no_room(&e))?;
    let (sent, text) = (room.path().join("sent"), room.path().join("text"));
    std::fs::write(&sent, bytes).map_err(|e| no_room(&e))?;
    let at = std::path::absolute(keyring).map_err(|e| no_room(&e))?;
    let shown = |p: &Path| p.display().to_string();
    let args = ["--output".to_owned(), shown(&text), "--".to_owned(), shown(&sent)];
    let said = gpgv::status(exec, room.path(), &at, &args).await?;
    let signer = judge(what, &said, keyring)?;
    let text = std::fs::read(&text).map_err(|e| no_room(&e))?;
    Ok(Signed { text, signer })
}

/// Whose signature it is, from gpgv's status lines (`doc/DETAILS` of GnuPG): exactly one signature, good, by a key that is
/// neither expired nor revoked.
fn judge(what: &str, said: &str, keyring: &Path) -> Result<Signer> {
    let lines = said.lines().filter_map(|l| l.strip_prefix(STATUS));
    let lines: Vec<Vec<&str>> = lines.map(|l| l.split_ascii_whitespace().collect()).collect();
    let of = |word: &'static str| lines.iter().filter(move |l| l.first() == Some(&word));
    let key = |line: &[&str]| line.get(1).copied().unwrap_or("unknown").to_owned();
    let bad = |why: String| refused("bad_signature", what, &why);
    // Of a key that is not there gpgv knows no more than what the signature names: its fingerprint or its id.
    if let Some(line) = of("ERRSIG").next() {
        let named = line.get(7).filter(|f| f.len() >= 40).or(line.get(1)).copied();
        let named = named.unwrap_or("unknown");
        if of("NO_PUBKEY").next().is_some() {
            let why = format!("the key {named} is not in the keyring {}", name_of(keyring));
            return Err(refused("unknown_key", what, &why));
        }
        return Err(bad(format!("the signature by {named} cannot be checked")));
    }
    let faults = [
        ("BADSIG", "is wrong: the text is not the one that was signed"),
        ("EXPSIG", "has expired"),
        ("EXPKEYSIG", "is by a key that has expired"),
        ("REVKEYSIG", "is by a key that was revoked"),
    ];
    for (word, why) in faults {
        if let Some(line) = of(word).next() {
            return Err(bad(format!("the signature by {} {why}", key(line))));
        }
    }
    let failed = of("FAILURE").chain(of("NODATA")).chain(of("UNEXPECTED")).next().is_some();
    let one = of("NEWSIG").count() == 1 && of("GOODSIG").count() == 1;
    match of("VALIDSIG").collect::<Vec<_>>().as_slice() {
        [valid] if one && !failed => signer(valid).ok_or_else(|| bad(UNCLEAR.to_owned())),
        _ => Err(bad(UNCLEAR.to_owned())),
    }
}

const UNCLEAR: &str = "it must have exactly one signature that gpgv finds good";

/// `VALIDSIG` ends with the signature's class, 00 or 01 for a text, and the primary key's fingerprint.
fn signer(valid: &[&str]) -> Option<Signer> {
    let [.., class, primary] = valid else { return None };
    let digits = primary.len() >= 40 && primary.bytes().all(|b| b.is_ascii_hexdigit());
    let text = matches!(*class, "00" | "01");
    (valid.len() == 11 && digits && text).then(|| Signer(primary.to_ascii_uppercase()))
}

/// Refuses a keyring that is not there, empty, or armoured, which gpgv does not read.
pub(super) fn check_keyring(keyring: &Path) -> Result<()> {
    let refuse = |why: String| {
        let message = format!("the keyring {} cannot be used: {why}", keyring.display());
        Err(Error::invalid(message).with_code("invalid_configuration"))
    };
    match std::fs::read(keyring) {
        Err(error) => refuse(error.to_string()),
        Ok(bytes) if bytes.is_empty() => refuse("it is empty".to_owned()),
        Ok(bytes) if bytes.starts_with(ARMOURED) => {
            refuse("it is armoured; write it anew with \"gpg --dearmor\"".to_owned())
        }
        Ok(_) => Ok(()),
    }
}

/// A keyring as a stranger may know it: not where it lies.
fn name_of(keyring: &Path) -> String {
    keyring.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn refused(code: &'static str, what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("{what} is refused: {why}")).with_code(code)
}

fn no_room(error: &std::io::Error) -> Error {
    let message = format!("a signature cannot be verified: {error}");
    Error::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    /// What gpgv says of a good signature, with lines put in place of its own.
    fn said(lines: &[&str]) -> String {
        lines.iter().flat_map(|line| [STATUS, line, "\n"]).collect()
    }

    fn valid() -> String {
        format!("VALIDSIG {KEY} 2026-11-23 1 0 4 0 22 10 01 {KEY}")
    }

    #[test]
    fn one_good_signature_is_one_signer() {
        let valid = valid();
        let good = said(&["NEWSIG", "KEY_CONSIDERED x 0", "GOODSIG 01234567 Ann <a@b>", &valid]);
        let keyring = Path::new("/etc/pybit/bookworm.gpg");
        assert_eq!(judge("the .changes", &good, keyring).unwrap(), Signer(KEY.to_owned()));
        let refused: [(&[&str], &str, &str); 12] = [
            (&[], "bad_signature", "exactly one"),
            (&["NODATA 1"], "bad_signature", "exactly one"),
            (&["NEWSIG", "GOODSIG 01 Ann"], "bad_signature", "exactly one"),
            (&["NEWSIG", "NEWSIG", "GOODSIG 01 Ann", &valid], "bad_signature", "exactly one"),
            (
                &["NEWSIG", "GOODSIG 01 A", &valid, "NEWSIG", "GOODSIG 01 A", &valid],
                "bad_signature",
                "one",
            ),
            (
                &["NEWSIG", "GOODSIG 01 Ann", &valid, "FAILURE gpgv 1"],
                "bad_signature",
                "exactly one",
            ),
            (&["NEWSIG", "GOODSIG 01 Ann", "VALIDSIG 01 01"], "bad_signature", "exactly one"),
            (&["NEWSIG", "BADSIG 0F0F Ann"], "bad_signature", "0F0F is wrong"),
            (
                &["NEWSIG", "EXPKEYSIG 0F0F Ann", &valid],
                "bad_signature",
                "0F0F is by a key that has expired",
            ),
            (&["NEWSIG", "REVKEYSIG 0F0F Ann", &valid], "bad_signature", "revoked"),
            (
                &[
                    "NEWSIG",
                    "GOODSIG 01 A",
                    &valid,
                    "NEWSIG",
                    "ERRSIG 0F 1 8 01 1 9",
                    "NO_PUBKEY 0F",
                ],
                "unknown_key",
                "0F is not in the keyring bookworm",
            ),
            (&["NEWSIG", "ERRSIG 0F 1 8 01 1 4"], "bad_signature", "0F cannot be checked"),
        ];
        for (lines, code, words) in refused {
            let error = judge("the .changes", &said(lines), keyring).unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, code), "{lines:?}");
            assert!(error.message().contains(words), "{lines:?}: {}", error.message());
        }
        let other_class = valid.replace(" 01 ", " 10 ");
        judge("x", &said(&["NEWSIG", "GOODSIG 01 Ann", &other_class]), keyring).unwrap_err();
    }

    #[test]
    fn a_keyring_is_checked_before_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys.gpg");
        assert_eq!(check_keyring(&file).unwrap_err().code(), "invalid_configuration");
        for (bytes, words) in [(&b""[..], "empty"), (b"-----BEGIN PGP PUBLIC KEY", "dearmor")] {
            std::fs::write(&file, bytes).unwrap();
            assert!(check_keyring(&file).unwrap_err().message().contains(words));
        }
        std::fs::write(&file, b"\x99").unwrap();
        check_keyring(&file).unwrap();
    }
}
