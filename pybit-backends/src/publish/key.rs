//! The keys of a repository: made or found, renewed before they end, rolled over, and shown to readers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pybit_core::clock::Timestamp;
use pybit_core::model::SigningKey;
use pybit_core::publish::KeyRoll;
use pybit_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::config::KeyChoice;
use super::layout::Layout;
use super::signing::{Gpg, SecretKey};
use super::tool::Tool;
use super::{error, files};

/// The code of the error that says that a key has ended.
pub(super) const EXPIRED: &str = "key_expired";

/// A key that ends sooner is renewed, unless a third of its life is longer.
const RENEW: Duration = Duration::from_hours(90 * 24);

/// For how long a new key signs beside the old one.
pub(super) const GRACE: Duration = Duration::from_hours(90 * 24);

/// Which key signs a repository.
#[derive(Debug)]
pub(super) struct RepositoryKey<'a> {
    pub(super) tool: &'a dyn Tool,
    pub(super) layout: &'a Layout,
    pub(super) choice: &'a KeyChoice,
    /// The user id of a key that is made.
    pub(super) owner: String,
    /// The algorithm of a key that is made, as gpg names it.
    pub(super) algorithm: &'static str,
    /// The validity of a key that is made or renewed. `None`: without end.
    pub(super) life: Option<Duration>,
    pub(super) now: Timestamp,
}

/// A running gpg, to be closed, and its keys.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    pub(super) gpg: Gpg<'a>,
    pub(super) keys: Keys,
}

/// The keys of a repository.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// The armoured public keys.
    pub(super) public: String,
    /// Their fingerprints: all of them sign the index, the first signs packages.
    pub(super) all: Vec<String>,
}

/// The state of a roll-over: `gnupg/roll.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Roll {
    /// The fingerprint of the newest key.
    current: String,
    /// The key before it, which signs too until a time.
    previous: Option<(String, Timestamp)>,
    /// The name of the request that began it.
    #[serde(default)]
    request: Option<String>,
}

impl Keys {
    /// The key that signs packages.
    pub(super) fn of_packages(&self) -> &str {
        self.all.first().map_or("", String::as_str)
    }
}

/// Whether a repository can go on with the state that it has, although its key has ended: it is served, and
/// [`tend`](pybit_core::publish::Publisher::tend) tells.
pub(super) fn only_expired(error: &Error, current: Option<u64>) -> bool {
    let only = error.code() == EXPIRED && current.is_some();
    if only {
        tracing::warn!(%error, "the repository keeps its last state");
    }
    only
}

impl<'a> RepositoryKey<'a> {
    /// Makes or finds the keys, renews what ends soon, writes `public.asc`; the caller holds the repository's turn.
    pub(super) async fn open(&self) -> Result<Signer<'a>> {
        let gpg = Gpg::open(self.tool, &self.layout.gnupg())?;
        match self.ready(&gpg).await {
            Ok(keys) => Ok(Signer { gpg, keys }),
            Err(e) => {
                gpg.close()?;
                Err(e)
            }
        }
    }

    /// Makes `public.asc` the keys that sign.
    pub(super) async fn prepare(&self) -> Result<Keys> {
        let Signer { gpg, keys } = self.open().await?;
        gpg.close()?;
        Ok(keys)
    }

    /// When the first of the keys ends; changes nothing.
    pub(super) async fn end(&self) -> Result<Option<Timestamp>> {
        Ok(self.listed().await?.iter().filter_map(|key| key.end).min())
    }

    /// Writes the public keys to a file, not armoured.
    pub(super) async fn export_binary(&self, keys: &[String], to: &Path) -> Result<()> {
        let gpg = Gpg::open(self.tool, &self.layout.gnupg())?;
        let done = gpg.export_binary(keys, to).await;
        gpg.close()?;
        done
    }

    async fn ready(&self, gpg: &Gpg<'_>) -> Result<Keys> {
        let mut keys = self.chosen(gpg.secret_keys().await?)?;
        if keys.is_empty() {
            keys.push(self.first(gpg).await?);
        }
        if self.is_roll_wanted() {
            keys = self.roll(gpg, keys).await?;
        }
        for key in &mut keys {
            self.renew(gpg, key).await?;
        }
        let all: Vec<_> = keys.into_iter().map(|key| key.fingerprint).collect();
        let public = self.export(gpg, &all).await?;
        let place = self.layout.public_key();
        if files::text(&place)?.as_deref() != Some(&public) {
            replace(&place, public.as_bytes())?;
        }
        Ok(Keys { public, all })
    }

    /// The keys that sign, of those that are there; none, where one is to be made.
    fn chosen(&self, there: Vec<SecretKey>) -> Result<Vec<SecretKey>> {
        let keys = self.layout.gnupg();
        let find = |wanted: &str| {
            let found = there.iter().find(|key| key.fingerprint.eq_ignore_ascii_case(wanted));
            found.cloned().ok_or_else(|| {
                let home = keys.display();
                missing(format!(
                    "there is no secret key {wanted} in {home}: import it with \"gpg --homedir {home} --import\""
                ))
            })
        };
        if let KeyChoice::Fingerprint(wanted) = self.choice {
            return Ok(vec![find(wanted)?]);
        }
        let Some(roll) = self.read_roll()? else { return Ok(there.into_iter().take(1).collect()) };
        let previous = roll.previous.filter(|(_, until)| self.now < *until);
        let all = previous.into_iter().map(|(key, _)| key).chain([roll.current]);
        all.map(|key| find(&key)).collect()
    }

    /// The first key of a repository; readers must not have been given another.
    async fn first(&self, gpg: &Gpg<'_>) -> Result<SecretKey> {
        let public = self.layout.public_key();
        if public.exists() {
            return Err(missing(format!(
                "the signing key is gone from {}: restore it, or remove {} to sign with a new key that every reader must \
                 be given",
                gpg.place().display(),
                public.display()
            )));
        }
        gpg.generate(&self.owner, self.algorithm, self.life).await
    }

    /// Lets a key that pybit makes end later, where it ends soon, and refuses one that has ended.
    async fn renew(&self, gpg: &Gpg<'_>, key: &mut SecretKey) -> Result<()> {
        if *self.choice == KeyChoice::Generate && is_due(key.end, self.life, self.now) {
            let end = self.life.map(|life| self.now.plus(life));
            match gpg.set_end(&key.fingerprint, end).await {
                Ok(()) => {
                    tracing::info!(key = %key.fingerprint, ?end, "the signing key's end was moved");
                    key.end = end;
                }
                Err(error) if !self.is_over(key) => {
                    tracing::warn!(key = %key.fingerprint, %error, "the signing key's end was not moved");
                }
                Err(error) => return Err(expired(gpg, key).with_source(error)),
            }
        }
        if self.is_over(key) { Err(expired(gpg, key)) } else { Ok(()) }
    }

    fn is_over(&self, key: &SecretKey) -> bool {
        key.end.is_some_and(|end| end <= self.now)
    }

    /// Whether somebody has asked for a new key, with the file `roll-key` in the repository's root.
    fn is_roll_wanted(&self) -> bool {
        *self.choice == KeyChoice::Generate && self.layout.roll_wanted().exists()
    }

    /// Takes the file that asks for a new key.
    async fn roll(&self, gpg: &Gpg<'_>, mut keys: Vec<SecretKey>) -> Result<Vec<SecretKey>> {
        let wanted = self.layout.roll_wanted();
        // During a roll-over no other one begins: readers know the first of the two keys only.
        if let [old] = &keys[..] {
            let new = self.second(gpg, old, None).await?;
            keys.push(new);
        }
        fs::remove_file(&wanted).map_err(|e| error::io("remove", &wanted, e))?;
        Ok(keys)
    }

    /// Makes a new key, beside which the old one signs for a while.
    async fn second(
        &self,
        gpg: &Gpg<'_>,
        old: &SecretKey,
        request: Option<String>,
    ) -> Result<SecretKey> {
        let new = gpg.generate(&self.owner, self.algorithm, self.life).await?;
        let until = self.now.plus(GRACE);
        let previous = Some((old.fingerprint.clone(), until));
        let roll = Roll { current: new.fingerprint.clone(), previous, request };
        let text = serde_json::to_vec(&roll).map_err(|e| {
            Error::internal("the roll-over of the key cannot be written").with_source(e)
        })?;
        replace(&self.roll_file(), &text)?;
        tracing::info!(key = %new.fingerprint, %until, "a new key signs, beside the old one until then");
        Ok(new)
    }

    /// Begins a roll-over, unless this request has begun it before; the caller holds the repository's turn and publishes afterwards.
    pub(super) async fn begin_roll(&self, wanted: &KeyRoll) -> Result<()> {
        if let KeyChoice::Fingerprint(key) = self.choice {
            let message = format!(
                "the key {key} was imported, and is not rolled over here: import a new one beside it and name that in `key`"
            );
            return Err(Error::invalid(message).with_code("key_imported"));
        }
        if let Some(roll) = self.read_roll()? {
            if roll.request.as_ref() == Some(&wanted.id) {
                return Ok(());
            }
            if let Some((old, until)) = roll.previous.filter(|(_, until)| self.now < *until) {
                let message = format!(
                    "a roll-over is under way: the old key {old} signs until {until}, and the next one begins after that"
                );
                return Err(Error::invalid(message).with_code("roll_over_under_way"));
            }
        }
        if wanted.dry_run {
            return Ok(());
        }
        let gpg = Gpg::open(self.tool, &self.layout.gnupg())?;
        let begun = async {
            let keys = self.chosen(gpg.secret_keys().await?)?;
            let old = keys.last().ok_or_else(|| {
                missing(format!("there is no secret key in {}", gpg.place().display()))
            })?;
            self.second(&gpg, old, Some(wanted.id.clone())).await
        };
        let begun = begun.await;
        gpg.close()?;
        begun.map(drop)
    }

    /// The keys that sign, oldest first; changes nothing.
    pub(super) async fn signing(&self) -> Result<Vec<SigningKey>> {
        let until = self.read_roll()?.and_then(|roll| roll.previous);
        let signing = |key: SecretKey| SigningKey {
            signs_until: until
                .as_ref()
                .filter(|(old, _)| old.eq_ignore_ascii_case(&key.fingerprint))
                .map(|(_, until)| *until),
            fingerprint: key.fingerprint,
            expires_at: key.end,
        };
        Ok(self.listed().await?.into_iter().map(signing).collect())
    }

    async fn listed(&self) -> Result<Vec<SecretKey>> {
        let gpg = Gpg::open(self.tool, &self.layout.gnupg())?;
        let keys = async { self.chosen(gpg.secret_keys().await?) }.await;
        gpg.close()?;
        keys
    }

    fn roll_file(&self) -> PathBuf {
        self.layout.gnupg().join("roll.json")
    }

    fn read_roll(&self) -> Result<Option<Roll>> {
        let path = self.roll_file();
        let Some(text) = files::text(&path)? else { return Ok(None) };
        let roll = serde_json::from_str(&text);
        roll.map(Some).map_err(|e| error::corrupt(format!("{} is unreadable: {e}", path.display())))
    }

    /// apt reads one armoured block of a key file, rpm one key of a block.
    async fn export(&self, gpg: &Gpg<'_>, keys: &[String]) -> Result<String> {
        if !self.layout.is_rpm() {
            return gpg.export(keys).await;
        }
        let mut blocks = String::new();
        for key in keys {
            blocks.push_str(&gpg.export(std::slice::from_ref(key)).await?);
        }
        Ok(blocks)
    }
}

/// Writes a file so that readers see the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension("new");
    files::write(&draft, bytes)?;
    files::flush(&draft)?;
    files::rename(&draft, path)
}

/// Whether the end of a key that pybit made is to be moved.
fn is_due(end: Option<Timestamp>, life: Option<Duration>, now: Timestamp) -> bool {
    match (end, life) {
        (None, life) => life.is_some(),
        (Some(_), None) => true,
        (Some(end), Some(life)) => end.since(now) < (life / 3).max(RENEW.min(life / 2)),
    }
}

/// The error of a key that has ended, with the command that extends it.
fn expired(gpg: &Gpg<'_>, key: &SecretKey) -> Error {
    let (home, fingerprint) = (gpg.place().display(), &key.fingerprint);
    let since = key.end.map_or_else(String::new, |end| format!(" at {end}"));
    let message = format!(
        "the index cannot be signed: the key {fingerprint} expired{since}; extend it with \"gpg --homedir {home} \
         --quick-set-expire {fingerprint} 2y\""
    );
    Error::new(ErrorKind::Unavailable, message).with_code(EXPIRED).with_op("publish")
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message).with_code("no_signing_key").with_op("publish")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_renewed_in_its_last_third_or_90_days_before_its_end() {
        let day = |n: u64| Timestamp::from_micros(0).plus(Duration::from_hours(24 * n));
        let days = |n: u64| Some(Duration::from_hours(24 * n));
        assert!(!is_due(Some(day(730)), days(730), day(480)));
        assert!(is_due(Some(day(730)), days(730), day(487)));
        assert!(is_due(Some(day(200)), days(200), day(111)), "90 days");
        assert!(
            !is_due(Some(day(30)), days(30), day(14)) && is_due(Some(day(30)), days(30), day(16))
        );
        assert!(is_due(Some(day(1)), days(730), day(9)), "it has ended");
        assert!(is_due(None, days(1), day(0)) && is_due(Some(day(9)), None, day(0)));
        assert!(!is_due(None, None, day(0)));
    }
}
