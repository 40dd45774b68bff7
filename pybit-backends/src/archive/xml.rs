//! Records of an XML index, read as a stream with bounds.

use std::io::{BufRead, Read};

use pybit_core::Result;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::index::bad;

/// The longest tag, text or comment, in bytes.
const MAX_EVENT: u64 = 1 << 20;
/// The longest value of a field that is read, in bytes.
const MAX_VALUE: usize = 4096;
/// The deepest element.
const MAX_DEPTH: usize = 16;
/// The longest path of elements below a record, in bytes.
const MAX_PATH: usize = 4096;

/// A reader that fails after `limit` bytes, and after [`MAX_EVENT`] bytes of one event.
struct Bounded<R> {
    inner: R,
    left: u64,
    event: u64,
}

impl<R: BufRead> Bounded<R> {
    fn check(&self) -> std::io::Result<()> {
        let why = match (self.left, self.event) {
            (0, _) => "it is longer than its description or its packed size allows",
            (_, 0) => "a tag or a text of it is too long",
            _ => return Ok(()),
        };
        Err(std::io::Error::other(why))
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let length = {
            let there = self.fill_buf()?;
            let length = there.len().min(to.len());
            to[..length].copy_from_slice(&there[..length]);
            length
        };
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.check()?;
        let most = usize::try_from(self.left.min(self.event)).unwrap_or(usize::MAX);
        let there = self.inner.fill_buf()?;
        Ok(&there[..there.len().min(most)])
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.left = self.left.saturating_sub(amount as u64);
        self.event = self.event.saturating_sub(amount as u64);
    }
}

/// Calls `take` with the values of `fields` for every element `record` right below the root; empty for a field that is not there, the last
/// of several.
///
/// A field is a path below the record, of names without their namespaces: `format/sourcerpm` is a text, `version@ver` an attribute, `@type`
/// an attribute of the record and the empty path its text. Refused, code `invalid_index`: what is longer than `limit`, deeper than 16
/// elements, not whole, or holds a document type or an entity in a field.
pub(super) fn records<const N: usize>(
    text: impl BufRead,
    limit: u64,
    record: &str,
    fields: [&str; N],
    mut take: impl FnMut([String; N]) -> Result<()>,
) -> Result<()> {
    let bounded = Bounded { inner: text, left: limit, event: MAX_EVENT };
    let (mut reader, mut buffer) = (Reader::from_reader(bounded), Vec::new());
    let mut place = Place::new(record, fields);
    let mut root = false;
    loop {
        buffer.clear();
        reader.get_mut().event = MAX_EVENT;
        let event = reader.read_event_into(&mut buffer).map_err(|e| bad(&e.to_string()))?;
        match event {
            Event::Start(tag) => place.enter(&tag)?,
            Event::Empty(tag) => {
                place.enter(&tag)?;
                place.leave().map_or(Ok(()), &mut take)?;
            }
            Event::Text(text) => place.text(&text)?,
            Event::CData(text) => place.text(&text)?,
            Event::GeneralRef(_) if place.field().is_some() => {
                return Err(bad("a field of it holds an entity"));
            }
            Event::End(_) => place.leave().map_or(Ok(()), &mut take)?,
            Event::DocType(_) => return Err(bad("it has a document type of its own")),
            Event::Eof if place.starts.is_empty() && root => return Ok(()),
            Event::Eof => return Err(bad("it ends in the middle")),
            _ => {}
        }
        root |= !place.starts.is_empty();
    }
}

/// The place in the document, and the values of the record that is being read.
struct Place<'a, const N: usize> {
    record: &'a str,
    fields: [&'a str; N],
    values: [String; N],
    /// The names below the record, joined by `/`.
    path: String,
    /// The length of `path` before each open element.
    starts: Vec<usize>,
    is_record: bool,
}

impl<'a, const N: usize> Place<'a, N> {
    fn new(record: &'a str, fields: [&'a str; N]) -> Self {
        let values = [const { String::new() }; N];
        let (path, starts) = (String::new(), Vec::new());
        Self { record, fields, values, path, starts, is_record: false }
    }

    fn enter(&mut self, tag: &BytesStart<'_>) -> Result<()> {
        if self.starts.len() >= MAX_DEPTH {
            return Err(bad("it is deeper than 16 elements"));
        }
        self.starts.push(self.path.len());
        let name = tag.local_name();
        let name = String::from_utf8_lossy(name.as_ref());
        if self.starts.len() == 2 {
            self.is_record = name == self.record;
            self.values.iter_mut().for_each(String::clear);
        }
        if !self.is_record {
            return Ok(());
        }
        if self.starts.len() > 2 {
            if self.path.len() + name.len() >= MAX_PATH {
                return Err(bad("names of its elements are too long"));
            }
            if !self.path.is_empty() {
                self.path.push('/');
            }
            self.path.push_str(&name);
        }
        if let Some(n) = self.field() {
            self.values[n].clear();
        }
        self.attributes(tag)
    }

    fn attributes(&mut self, tag: &BytesStart<'_>) -> Result<()> {
        let path = &self.path;
        let below = |field: &str| field.split_once('@').is_some_and(|(p, _)| p == path);
        if !self.fields.iter().any(|field| below(field)) {
            return Ok(());
        }
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| bad(&e.to_string()))?;
            let wanted = |field: &&str| {
                let (place, name) = field.split_once('@')?;
                (place == self.path && name.as_bytes() == attribute.key.as_ref()).then_some(())
            };
            if let Some(n) = self.fields.iter().position(|field| wanted(field).is_some()) {
                self.values[n].clear();
                if attribute.value.contains(&b'&') {
                    return Err(bad("a field of it holds an entity"));
                }
                append(&mut self.values[n], &attribute.value)?;
            }
        }
        Ok(())
    }

    /// The number of the field whose text stands here.
    fn field(&self) -> Option<usize> {
        let inside = self.is_record && self.starts.len() >= 2;
        self.fields.iter().position(|field| inside && *field == self.path)
    }

    fn text(&mut self, text: &[u8]) -> Result<()> {
        self.field().map_or(Ok(()), |n| append(&mut self.values[n], text))
    }

    /// Leaves an element; the values where it was a record.
    fn leave(&mut self) -> Option<[String; N]> {
        let whole = self.is_record && self.starts.len() == 2;
        self.path.truncate(self.starts.pop().unwrap_or_default());
        if !whole {
            return None;
        }
        self.is_record = false;
        Some(std::mem::replace(&mut self.values, [const { String::new() }; N]))
    }
}

fn append(value: &mut String, text: &[u8]) -> Result<()> {
    if value.len() + text.len() > MAX_VALUE {
        return Err(bad("a field of it is too long"));
    }
    value.push_str(String::from_utf8_lossy(text).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<[String; 4]>> {
        let mut found = Vec::new();
        let fields = ["@type", "name", "version@ver", "format/sourcerpm"];
        records(text.as_bytes(), 1 << 22, "package", fields, |values| {
            found.push(values);
            Ok(())
        })?;
        Ok(found)
    }

    const GOOD: &str = "<?xml version=\"1.0\"?>\n<m xmlns:rpm=\"x\"><package type=\"rpm\"><name>a</name><version epoch=\"0\" ver=\"1\"/>\
        <format><rpm:sourcerpm>s-1-1.src.rpm</rpm:sourcerpm><name>x</name></format><d>a &amp; b</d></package><other><name>o</name></other>\
        <package type=\"rpm\"><name>b</name><sub><package type=\"y\"><name>c</name></package></sub></package></m>";

    #[test]
    fn fields_are_read_by_their_place_in_the_record() {
        let found = read(GOOD).unwrap();
        assert_eq!(found[0], ["rpm", "a", "1", "s-1-1.src.rpm"]);
        assert_eq!(found[1], ["rpm", "b", "", ""]);
        assert_eq!(found.len(), 2);
        let one = "<m><package>first</package></m>";
        let mut texts = Vec::new();
        records(one.as_bytes(), 99, "package", [""], |[text]| {
            texts.push(text);
            Ok(())
        })
        .unwrap();
        assert_eq!(texts, ["first"]);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let package = |inside: &str| format!("<m><package>{inside}</package></m>");
        for (text, why) in [
            (GOOD.repeat(30_000), "longer"),
            (package(&format!("<name>{}</name>", "a".repeat(5000))), "too long"),
            (package(&format!("<d>{}</d>", "a".repeat(2 << 20))), "too long"),
            (package(&format!("<d a=\"{}\"/>", "a".repeat(2 << 20))), "too long"),
            ("<m>".to_owned() + &"<a>".repeat(20), "deeper"),
            ("<m><package>".to_owned() + &format!("<{}>", "a".repeat(2000)).repeat(9), "too long"),
            (GOOD[..GOOD.len() - 4].to_owned(), "middle"),
            (String::new(), "middle"),
            (format!("<!DOCTYPE m [<!ENTITY a \"b\">]>{GOOD}"), "document type"),
            (package("<name>a&amp;</name>"), "entity"),
            (package("<version ver=\"&lt;\"/>"), "entity"),
        ] {
            let error = read(&text).expect_err(&text[..text.len().min(90)]);
            assert_eq!(error.code(), "invalid_index");
            assert!(error.message().contains(why), "{why}: {error}");
        }
        for torn in ["<m></a>", "<m><package a=1/></m><", "<m a a></m>"] {
            let _ = read(torn);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(text in "(<[/a-z]{0,3}[a-z =\"]{0,5}/?>|[a-z&;]{0,5}|<m>|<package>){0,20}") {
            let _ = read(&text);
        }
    }
}
