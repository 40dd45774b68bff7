//! Takes the results of a build out of its output directory.

use std::path::Path;

use pybit_core::Result;
use pybit_core::format::Collected;

use super::{changes, dsc, produced};
use crate::artifact;

/// Gathers and checks a build's result: the one `.dsc` or `.changes`, and exactly the files that it lists.
///
/// What it does not list stays behind. The last step of a binary build has written down what the packages say of
/// themselves. Fails, `Invalid`: code `invalid_artifact` for a listed file that is missing, not
/// regular, hard-linked or other than listed, and where there is not exactly one description; the codes of `.dsc` and
/// `.changes` for what they say.
pub(super) async fn collect(output: &Path, source_build: bool) -> Result<Collected> {
    let output = output.to_owned();
    artifact::blocking(move || if source_build { source(&output) } else { binary(&output) }).await
}

fn source(output: &Path) -> Result<Collected> {
    let (main, bytes) = artifact::description(output, ".dsc")?;
    let info = dsc::read(&bytes)?;
    artifact::gather(output, main, &bytes, info.files.iter(), Vec::new())
}

fn binary(output: &Path) -> Result<Collected> {
    let (main, bytes) = artifact::description(output, ".changes")?;
    let changes = changes::read_changes(&bytes)?;
    let produced = produced::read(
        &changes,
        &artifact::read_small(output, &produced::FILE.parse()?, produced::LARGEST)?,
    )?;
    artifact::gather(output, main, &bytes, changes.files.iter().map(|f| &f.spec), produced)
}
