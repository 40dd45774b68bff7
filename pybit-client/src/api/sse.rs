//! Reads server-sent events (the WHATWG HTML standard, section 9.2.6) from bytes that arrive in any pieces.

/// One event; comments and fields without a meaning here are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The event's type; empty for the default `message`.
    pub(crate) name: String,
    /// The id, where the event names one.
    pub(crate) id: Option<String>,
    /// The data lines, joined by line feeds.
    pub(crate) data: String,
}

/// The longest event that is read, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

/// An event that is longer than any that a pybit server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {LONGEST} bytes")]
pub(crate) struct TooLong;

/// The state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes the next bytes and returns the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            // A line ends with LF, CR, or CR LF, which may be split between two pieces.
            let second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                b'\n' if second_half => {}
                b'\n' => events.extend(self.end_line()),
                b'\r' => {
                    self.after_cr = true;
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > LONGEST {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = ": keep-alive\n\nevent: log\r\nid: 12\r\ndata: aGVs\r\ndata:bG8=\r\n\r\nid: 13\nevent:end\ndata: Done\n\nevent: empty\n\ndata: last\r\rdata: cut".as_bytes();

    fn expected() -> Vec<Event> {
        let event = |name: &str, id: Option<&str>, data: &str| Event {
            name: name.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        vec![
            event("log", Some("12"), "aGVs\nbG8="),
            event("end", Some("13"), "Done"),
            event("", None, "last"),
        ]
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_split() {
        for first in 0..=TEXT.len() {
            for second in first..=TEXT.len() {
                let mut parser = Parser::default();
                let mut events = parser.push(&TEXT[..first]).unwrap();
                events.extend(parser.push(&TEXT[first..second]).unwrap());
                events.extend(parser.push(&TEXT[second..]).unwrap());
                assert_eq!(events, expected(), "split at {first} and {second}");
            }
        }
        let mut parser = Parser::default();
        let bytewise: Vec<_> = TEXT.chunks(1).flat_map(|b| parser.push(b).unwrap()).collect();
        assert_eq!(bytewise, expected());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1024 * 1024];
        let outcome = (0..17).find_map(|_| parser.push(&piece).err());
        assert_eq!(outcome, Some(TooLong));
    }
}
