//! One deb822 paragraph from foreign bytes: the form of `.dsc` and `.changes` (Debian Policy 5.1), and of pybit's own descriptions.

pub(crate) mod files;

use deb822_fast::Deb822;
use pybit_core::{Error, Result};

/// The largest description that is read; the largest of Debian's own has some 200 KiB.
pub(crate) const LARGEST: usize = 1 << 20;

/// The first line of a text with an inline signature.
pub(super) const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// Which description is read, for messages and codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// `.dsc`.
    pub(crate) name: &'static str,
    /// The code of its refusals.
    pub(crate) code: &'static str,
}

impl Kind {
    /// Refuses the description for a reason that ends the sentence "the .dsc is refused: …".
    pub(crate) fn refuse(self, why: impl AsRef<str>) -> Error {
        Error::invalid(format!("the {} is refused: {}", self.name, why.as_ref()))
            .with_code(self.code)
    }
}

/// A paragraph whose fields each occur once.
#[derive(Debug)]
pub(crate) struct Paragraph {
    kind: Kind,
    fields: deb822_fast::Paragraph,
}

impl Paragraph {
    /// Reads the one paragraph of a description; of a signed one, the signed bytes and nothing else.
    ///
    /// Stricter than dpkg where readers differ from one another: comments, blank lines inside, carriage returns and
    /// anything outside an inline signature are refused, so that every tool sees the same fields.
    pub(crate) fn read(kind: Kind, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LARGEST {
            return Err(kind.refuse("it is larger than 1 MiB"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| kind.refuse("it is not UTF-8"))?;
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(kind.refuse("it holds control characters"));
        }
        let body = signed_part(kind, text)?.trim_end();
        check_lines(kind, body)?;
        let parsed: Deb822 = body
            .parse()
            .map_err(|_| kind.refuse("it is not a paragraph of \"Field: value\" lines"))?;
        let mut paragraphs = parsed.into_iter();
        let (Some(fields), None) = (paragraphs.next(), paragraphs.next()) else {
            return Err(kind.refuse("it must be exactly one paragraph"));
        };
        let paragraph = Self { kind, fields };
        paragraph.check_names()?;
        Ok(paragraph)
    }

    /// A field's value; continuation lines are separated by newlines.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The value of a field that must be there.
    pub(crate) fn require(&self, name: &str) -> Result<&str> {
        let value = self.get(name).map(str::trim).filter(|v| !v.is_empty());
        value.ok_or_else(|| self.kind.refuse(format!("it has no field {name}")))
    }

    /// Refuses this description.
    pub(crate) fn refuse(&self, why: impl AsRef<str>) -> Error {
        self.kind.refuse(why)
    }

    fn check_names(&self) -> Result<()> {
        let mut names: Vec<String> =
            self.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        if !names.iter().all(|n| n.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(self.refuse("a field's name holds a character that is not allowed"));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() != count {
            return Err(self.refuse("a field is there twice"));
        }
        Ok(())
    }
}

/// The part that an inline signature covers; the whole of an unsigned text.
fn signed_part(kind: Kind, text: &str) -> Result<&str> {
    let Some(rest) = text.strip_prefix(SIGNED) else {
        return Ok(text);
    };
    let bad = || kind.refuse("its inline signature is malformed");
    let rest = rest.strip_prefix('\n').ok_or_else(bad)?;
    let (headers, rest) =
        rest.split_once("\n\n").or_else(|| Some(("", rest.strip_prefix('\n')?))).ok_or_else(bad)?;
    if !headers.lines().all(|line| line.starts_with("Hash: ")) {
        return Err(bad());
    }
    let (body, rest) = rest.split_once(&format!("\n{SIGNATURE}\n")).ok_or_else(bad)?;
    let (armour, after) = rest.split_once(&format!("\n{END}")).ok_or_else(bad)?;
    if armour.contains("-----") || !after.trim().is_empty() {
        return Err(kind.refuse("something follows its inline signature"));
    }
    Ok(body)
}

/// Refuses what readers understand differently: dash-escaped lines, armour, comments, blank lines.
fn check_lines(kind: Kind, body: &str) -> Result<()> {
    for line in body.lines() {
        if line.starts_with('-') {
            return Err(kind.refuse("something stands before or inside its signed part"));
        }
        if line.starts_with('#') {
            return Err(kind.refuse("it holds a comment"));
        }
        if line.trim().is_empty() {
            return Err(kind.refuse("it must be exactly one paragraph"));
        }
    }
    Ok(())
}
