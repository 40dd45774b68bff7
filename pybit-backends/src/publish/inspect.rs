//! The health of a repository of this machine, read without its lock.

use std::collections::BTreeMap;
use std::path::Path;

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{Health, Suite};

use super::signing::public_ends;
use super::tool::Tool;
use super::{error, files, release};

/// The health of the repository at `root`, from the files that its readers are given; changes nothing and waits for nobody. `None` where it was
/// not prepared yet.
pub async fn inspect(root: &Path, codename: &Suite, tool: &dyn Tool) -> Result<Option<Health>> {
    let key = root.join("current/pybit.asc");
    if !key.exists() {
        return Ok(None);
    }
    let home = tempfile::tempdir().map_err(|e| error::io("create", &std::env::temp_dir(), e))?;
    let (place, key) = (home.path().display().to_string(), key.display().to_string());
    let argv = ["gpg", "--homedir", &place, "--batch", "--with-colons", "--show-keys", &key];
    let argv = argv.map(str::to_owned);
    let done = tool.run(&argv, home.path(), &BTreeMap::new()).await?;
    if done.code != 0 {
        return Err(error::tool("gpg", "read the public key", &done));
    }
    let release = root.join("current/dists").join(codename.as_str()).join("Release");
    let (date, until) = release::dates(&files::text(&release)?.unwrap_or_default());
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    Ok(Some(Health {
        key_expires_at: public_ends(&done.stdout),
        dated_at: date.map(at),
        valid_until: until.map(at),
        trouble: None,
    }))
}
