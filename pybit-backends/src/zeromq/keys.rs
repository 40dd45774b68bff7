//! CURVE keys: a pair in a file, and the list of clients that may connect.
//!
//! Keys are written in Z85 (rfc.zeromq.org/spec/32), 40 characters.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use pybit_core::model::ClientName;
use pybit_core::{Error, ErrorKind, Result};

/// A public key.
pub(super) type PublicKey = [u8; 32];

/// A key pair. Its `Debug` shows the public half.
#[derive(Clone)]
pub(super) struct KeyPair {
    pub(super) public: PublicKey,
    pub(super) secret: [u8; 32],
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &shown(&self.public)).finish_non_exhaustive()
    }
}

/// A key as people write it.
pub(super) fn shown(key: &PublicKey) -> String {
    zmq::z85_encode(key).unwrap_or_default()
}

/// Reads a key.
pub(super) fn parse(text: &str) -> Result<PublicKey> {
    let refuse = || refused("a key has 40 characters of Z85, as the file ending in .pub holds it");
    if text.len() != 40 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse());
    }
    let bytes = zmq::z85_decode(text).map_err(|_| refuse())?;
    let key: PublicKey = bytes.try_into().map_err(|_| refuse())?;
    // libzmq reads some texts that are no Z85; only what is written back the same is a key.
    if shown(&key) == text { Ok(key) } else { Err(refuse()) }
}

/// Reads the pair in `file`. Where there is none, a new one is written: the pair with mode 0600, and its public half beside
/// it in a file of the same name and `.pub`.
pub(super) fn pair(file: &Path) -> Result<KeyPair> {
    match File::open(file) {
        Ok(opened) => read(file, opened),
        Err(e) if e.kind() == Io::NotFound => make(file),
        Err(e) => Err(unusable(file, "read", &e)),
    }
}

fn read(file: &Path, mut opened: File) -> Result<KeyPair> {
    let metadata = opened.metadata().map_err(|e| unusable(file, "read", &e))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        let shown = file.display();
        return Err(refused(format!(
            "others can read the key in {shown}; chmod 600 {shown}, or make a new one"
        )));
    }
    let mut text = String::new();
    opened.read_to_string(&mut text).map_err(|e| unusable(file, "read", &e))?;
    let key = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        parse(line.unwrap_or_default().trim())
            .map_err(|_| refused(format!("{} holds no {name} key", file.display())))
    };
    Ok(KeyPair { public: key("public")?, secret: key("secret")? })
}

fn make(file: &Path) -> Result<KeyPair> {
    let made = zmq::CurveKeyPair::new()
        .map_err(|e| Error::new(ErrorKind::Unsupported, format!("libzmq makes no keys: {e}")))?;
    let pair = KeyPair { public: made.public_key, secret: made.secret_key };
    let (public, secret) = (shown(&pair.public), shown(&pair.secret));
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    let beside = Path::new(&beside);
    let write = |path: &Path, mode, text: String| {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(mode).open(path);
        opened
            .and_then(|mut f| f.write_all(text.as_bytes()))
            .map_err(|e| unusable(path, "write", &e))
    };
    write(beside, 0o644, format!("{public}\n"))?;
    // Last, and never over one that is there: it is what the next start finds.
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    opened
        .and_then(|mut f| {
            f.write_all(
                format!("# A ZeroMQ key pair of pybit.\npublic {public}\nsecret {secret}\n")
                    .as_bytes(),
            )?;
            f.sync_all()
        })
        .map_err(|e| unusable(file, "write", &e))?;
    tracing::info!(file = %file.display(), "made a ZeroMQ key pair; its public key is {public}");
    Ok(pair)
}

/// The client that `file` lists with this key. The file is read at each call, so that a client is let in, or kept out, from
/// its next connection on. One line is `NAME KEY`; a line that begins with `#` says nothing.
pub(super) fn owner(file: &Path, key: &PublicKey) -> Result<Option<ClientName>> {
    let text = std::fs::read_to_string(file).map_err(|e| unusable(file, "read", &e))?;
    let key = shown(key);
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(listed), None) = (words.next(), words.next(), words.next())
            && listed == key
        {
            return name.parse().map(Some);
        }
    }
    Ok(None)
}

/// Checks every line of the list of clients, so that a mistake is found at the start.
pub(super) fn check_list(file: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(file).map_err(|e| unusable(file, "read", &e))?;
    let mut count = 0;
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with('#')) {
        let wrong = |why: &str| refused(format!("{}, line {}: {why}", file.display(), number + 1));
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [] => continue,
            [name, key] => {
                name.parse::<ClientName>().map_err(|e| wrong(e.message()))?;
                parse(key).map_err(|e| wrong(e.message()))?;
            }
            _ => return Err(wrong("a line is the client's name and its public key")),
        }
        count += 1;
    }
    Ok(count)
}

fn refused(why: impl Into<String>) -> Error {
    Error::invalid(why).with_code("invalid_configuration")
}

fn unusable(file: &Path, what: &str, error: &std::io::Error) -> Error {
    refused(format!("cannot {what} {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.key");
        let made = pair(&file).unwrap();
        let mode_of = |f: &Path| std::fs::metadata(f).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode_of(&file), 0o600);
        let public = std::fs::read_to_string(dir.path().join("server.key.pub")).unwrap();
        assert_eq!(parse(public.trim()).unwrap(), made.public);
        let again = pair(&file).unwrap();
        assert_eq!((again.public, again.secret), (made.public, made.secret));
        let secret = zmq::z85_encode(&made.secret).unwrap();
        assert!(!format!("{made:?}").contains(&secret));

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(pair(&file).unwrap_err().message().contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, format!("public {}\n", public.trim())).unwrap();
        assert!(pair(&file).unwrap_err().message().contains("no secret key"));
    }

    #[test]
    fn only_z85_of_40_characters_is_a_key() {
        let key = shown(&[7; 32]);
        assert_eq!(parse(&key).unwrap(), [7; 32]);
        for wrong in [
            "",
            "x",
            &key[1..],
            &format!("{key}x"),
            &"~".repeat(40),
            &"\u{e9}".repeat(20),
            &"#".repeat(40),
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_says_whose_a_key_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clients");
        let (tahr, emu) = (shown(&[1; 32]), shown(&[2; 32]));
        std::fs::write(&file, format!("# who may\n\ntahr {tahr}\n emu\t{emu}\n")).unwrap();
        assert_eq!(check_list(&file).unwrap(), 2);
        let of = |key| owner(&file, &key).unwrap().map(|n| n.to_string());
        assert_eq!(
            (of([1; 32]).as_deref(), of([2; 32]).as_deref(), of([3; 32])),
            (Some("tahr"), Some("emu"), None)
        );
        std::fs::write(&file, format!("tahr {tahr}\nemu\n")).unwrap();
        assert!(check_list(&file).unwrap_err().message().contains("line 2"));
        assert!(owner(&dir.path().join("none"), &[1; 32]).is_err());
    }
}
