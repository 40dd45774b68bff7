//! The file lists of `.dsc` and `.changes`: `Files`, `Checksums-Sha1`, `Checksums-Sha256` (Debian Policy 5.6.21, 5.6.24).

use pybit_core::Result;
use pybit_core::model::{FileName, FileSpec};

use super::Paragraph;

/// The most files that a description may list.
const MOST: usize = 10_000;

/// A line of `Files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Name, size and the SHA-256 that `Checksums-Sha256` gives.
    pub(crate) spec: FileSpec,
    /// What stands between size and name: nothing in a `.dsc`, section and priority in a `.changes`.
    pub(crate) extra: Vec<String>,
}

struct Line<'a> {
    digest: &'a str,
    size: u64,
    extra: Vec<&'a str>,
    name: &'a str,
}

/// Reads all lists and checks that they name the same files with the same sizes, each once, each with a SHA-256.
///
/// `extra` is the number of words between size and name in `Files`.
pub(crate) fn read(paragraph: &Paragraph, extra: usize) -> Result<Vec<Listed>> {
    let files = read_list(paragraph, "Files", 32, extra)?;
    let sha256 = read_list(paragraph, "Checksums-Sha256", 64, 0)?;
    same_files(paragraph, &files, &sha256)?;
    if paragraph.get("Checksums-Sha1").is_some() {
        same_files(paragraph, &files, &read_list(paragraph, "Checksums-Sha1", 40, 0)?)?;
    }
    files.iter().zip(&sha256).map(|(file, sum)| listed(paragraph, file, sum)).collect()
}

/// Reads `Checksums-Sha256` where it is the only list.
pub(crate) fn checksums(paragraph: &Paragraph) -> Result<Vec<FileSpec>> {
    let sums = read_list(paragraph, "Checksums-Sha256", 64, 0)?;
    sums.iter().map(|sum| Ok(listed(paragraph, sum, sum)?.spec)).collect()
}

fn listed(paragraph: &Paragraph, file: &Line<'_>, sum: &Line<'_>) -> Result<Listed> {
    let name: FileName = file
        .name
        .parse()
        .map_err(|_| paragraph.refuse("a listed file's name is not a plain file name"))?;
    let sha256 = sum.digest.to_owned();
    let extra = file.extra.iter().map(|w| (*w).to_owned()).collect();
    Ok(Listed { spec: FileSpec { name, size: file.size, sha256 }, extra })
}

/// One list, ordered by name, without repeats.
fn read_list<'a>(
    paragraph: &'a Paragraph,
    field: &str,
    digits: usize,
    extra: usize,
) -> Result<Vec<Line<'a>>> {
    let lines = paragraph.require(field)?.lines().filter(|l| !l.trim().is_empty());
    let mut list = lines
        .map(|line| read_line(line, digits, extra))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| paragraph.refuse(format!("the field {field} has a malformed line")))?;
    if list.len() > MOST {
        return Err(paragraph.refuse(format!("the field {field} lists more than {MOST} files")));
    }
    list.sort_unstable_by_key(|line| line.name);
    if list.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(paragraph.refuse(format!("the field {field} lists a file twice")));
    }
    Ok(list)
}

fn read_line(line: &str, digits: usize, extra: usize) -> Option<Line<'_>> {
    let words: Vec<&str> = line.split_ascii_whitespace().take(extra + 4).collect();
    let [digest, size, between @ .., name] = words.as_slice() else {
        return None;
    };
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let size_ok = size.len() <= 18 && size.bytes().all(|b| b.is_ascii_digit());
    if digest.len() != digits || !digest.bytes().all(hexadecimal) || !size_ok {
        return None;
    }
    let size = size.parse().ok()?;
    (between.len() == extra).then(|| Line { digest, size, extra: between.to_vec(), name })
}

fn same_files(paragraph: &Paragraph, a: &[Line<'_>], b: &[Line<'_>]) -> Result<()> {
    let same = |(a, b): (&Line<'_>, &Line<'_>)| a.name == b.name && a.size == b.size;
    if a.len() == b.len() && a.iter().zip(b).all(same) {
        return Ok(());
    }
    Err(paragraph
        .refuse("its file lists differ: each must name the same files with the same sizes"))
}
