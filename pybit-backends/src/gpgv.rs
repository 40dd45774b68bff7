//! The program `gpgv`: its start, its status lines, and the keys in the form that it reads (docs/decisions/0010-gpgv-verifies.md).

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind, Result};

use crate::exec::{Cmd, Exec, one_line};

/// The longest verification; a second is long.
const GPGV_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes that gpgv may say.
const MAX_OUTPUT: usize = 64 << 10;
/// The beginning of a status line.
pub(crate) const STATUS: &str = "[GNUPG:] ";
/// The beginning of an armoured key or signature.
pub(crate) const ARMOURED: &[u8] = b"-----BEGIN PGP";

/// Runs gpgv with these arguments after its fixed ones and returns its status lines. It reads no configuration: neither a home's nor a
/// default keyring.
pub(crate) async fn status(
    exec: &Exec,
    home: &Path,
    keyring: &Path,
    args: &[String],
) -> Result<String> {
    let shown = |p: &Path| p.display().to_string();
    let fixed = ["gpgv", "--status-fd", "1", "--weak-digest", "SHA1", "--homedir"];
    let mut words: Vec<String> = fixed.map(str::to_owned).to_vec();
    words.extend([shown(home), "--keyring".to_owned(), shown(keyring)]);
    words.extend_from_slice(args);
    let cmd = Cmd::new(words, home).var("LC_ALL", "C.UTF-8").within(GPGV_TIMEOUT);
    let output = exec.output(&cmd, MAX_OUTPUT).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.exit {
        // 0 is a good signature, 1 and 2 are bad ones; the status lines say more than the number.
        Exit::Code(0) => Ok(said),
        Exit::Code(1 | 2) if said.contains(STATUS) => Ok(format!("{said}{STATUS}FAILURE gpgv 1\n")),
        exit => {
            let message = format!("gpgv failed ({exit:?}): {}", one_line(&output.complaint()));
            Err(Error::new(ErrorKind::Unavailable, message).with_code("tool_failed"))
        }
    }
}

/// The bytes of every armoured block of a file, one after the other (RFC 9580, 6.2); the file itself where it is not armoured. `None` where
/// a block is broken.
pub(crate) fn dearmoured(file: &[u8]) -> Option<Vec<u8>> {
    if !file.windows(ARMOURED.len()).any(|part| part == ARMOURED) {
        return Some(file.to_vec());
    }
    let mut lines = std::str::from_utf8(file).ok()?.lines().map(str::trim);
    let mut bytes = Vec::new();
    while lines.by_ref().any(|line| line.as_bytes().starts_with(ARMOURED)) {
        // Headers end at the first empty line.
        if !lines.by_ref().any(str::is_empty) {
            return None;
        }
        let mut text = String::new();
        loop {
            let line = lines.next()?;
            if line.starts_with("-----END PGP") {
                break;
            }
            // The checksum, which no reader has to look at.
            if !line.starts_with('=') {
                text.push_str(line);
            }
        }
        bytes.extend(STANDARD.decode(text).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour_is_taken_off_every_block() {
        let block = |body: &str| {
            format!(
                "a comment\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\n{body}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        let both = block("AQID\r\nBA==") + &block("BQ==");
        assert_eq!(dearmoured(both.as_bytes()).unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(dearmoured(&[0x99, 1]).unwrap(), [0x99, 1]);
        for broken in [
            block("A?"),
            block("AQID").replace("-----END", "END"),
            block("AQID").replace("\n\n", "\n"),
        ] {
            assert_eq!(dearmoured(broken.as_bytes()), None, "{broken}");
        }
    }
}
