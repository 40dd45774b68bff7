//! The lines of a log that tell why a build failed.

/// How many bytes at the end of a log a build's own trouble is looked for in: what was printed earlier was survived.
const LAST: usize = 4096;

/// The longest line that is repeated in a message, in characters.
const LONGEST: usize = 200;

/// What the machine says when it has no room, whoever prints it.
const MACHINE: [(&str, &str); 6] = [
    ("No space left on device", "The disk was full"),
    ("Disk quota exceeded", "The disk quota was used up"),
    ("Cannot allocate memory", "The machine ran out of memory"),
    ("Killed signal terminated program", "The compiler was killed, most likely for want of memory"),
    ("Read-only file system", "A file system was read-only"),
    ("Input/output error", "The disk failed"),
];

/// What apt says when a mirror or the network fails.
const MIRROR: [(&str, &str); 12] = [
    ("Temporary failure resolving", "A name could not be resolved"),
    ("Could not resolve '", "A name could not be resolved"),
    ("Could not connect to", "A mirror does not answer"),
    ("Unable to connect to", "A mirror does not answer"),
    ("Connection failed", "A mirror does not answer"),
    ("Hash Sum mismatch", "A mirror is in the middle of an update"),
    ("File has unexpected size", "A mirror is in the middle of an update"),
    ("does not have a Release file", "A mirror has no such suite"),
    ("NO_PUBKEY", "A repository's key is not known"),
    ("is not valid yet", "A mirror's index is from the future; check the clock"),
    ("Release file for", "A mirror's index has expired"),
    ("Failed to fetch", "A mirror does not answer"),
];

/// A sentence about the trouble that a machine or mirror had; `None` where the log shows none.
///
/// `own_code` says that the package's own code has run: then only the machine's own words count, and only near the end.
pub(crate) fn machine_trouble(log: &str, own_code: bool) -> Option<String> {
    let log = if own_code { last_part(log) } else { log };
    let known = MACHINE.iter().chain(MIRROR.iter().filter(|_| !own_code));
    let found = |line: &str| known.clone().find(|(sign, _)| line.contains(sign)).map(|(_, s)| *s);
    let line = log.lines().rev().find(|line| found(line).is_some())?;
    Some(format!("{}: {}", found(line)?, shown(line)))
}

/// The line that says most about a failure: the last error that is not the echo of another.
pub(crate) fn telling_line(log: &str) -> Option<String> {
    let echo = |line: &str| {
        ["dpkg-buildpackage: error:", "make", "E: ", "dh_auto_", "ninja: "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let tells = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        lower.contains("error:") || lower.starts_with("error") || lower.contains("failed:")
    };
    let lines = || log.lines().rev();
    let line = lines()
        .find(|line| tells(line) && !echo(line))
        .or_else(|| lines().find(|line| line.contains("*** [")))
        .or_else(|| lines().find(|line| tells(line) || line.starts_with("E: ")))?;
    Some(shown(line))
}

/// How a script of ours names a missing relation in the log.
pub(crate) const UNMET: &str = "pybit: unmet: ";
/// The most missing relations, and the longest, that are kept.
const MOST_UNMET: usize = 100;
const LONGEST_UNMET: usize = 200;

/// The missing relations that a log names, each once.
pub(crate) fn unmet(log: &str) -> Vec<String> {
    let mut unmet: Vec<String> = Vec::new();
    for relation in log.lines().filter_map(|line| line.strip_prefix(UNMET)) {
        let relation = relation.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let fit = !relation.is_empty() && relation.len() <= LONGEST_UNMET;
        let fit = fit && unmet.len() < MOST_UNMET && !relation.contains(char::is_control);
        if fit && !unmet.contains(&relation) {
            unmet.push(relation);
        }
    }
    unmet
}

/// The start of the line by which a script of ours keeps a package of the farm out of a build root.
const REFUSED: &str = "pybit: refused: ";
/// The longest such sentence that is repeated, in characters.
const LONGEST_REFUSAL: usize = 500;

/// The sentence of the first refusal in a log.
pub(crate) fn refused(log: &str) -> Option<String> {
    let sentence = log.lines().find_map(|line| line.strip_prefix(REFUSED))?;
    let shown: String =
        sentence.chars().filter(|c| !c.is_control()).take(LONGEST_REFUSAL).collect();
    Some(format!("A package of the farm is not installed into the build root: {shown}."))
}

fn last_part(log: &str) -> &str {
    let mut start = log.len().saturating_sub(LAST);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    &log[start..]
}

/// A line fit for a message: without control characters, at most [`LONGEST`] characters.
pub(crate) fn shown(line: &str) -> String {
    line.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}
