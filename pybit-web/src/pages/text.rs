//! Foreign text made fit for a page: logs hold any bytes.

/// A log's bytes as text: escape sequences left out, other control characters too, a carriage return taken as the end of
/// the line that it would overwrite. What the template engine escapes stays escaped.
pub(crate) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push('\n'),
            '\n' | '\t' => out.push(c),
            // Direction marks can make a line read as another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Skips what follows an escape character: a control sequence, an operating system command, or one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
                if chars.peek() == Some(&'\n') {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A duration for people: `42 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`.
pub(crate) fn duration(d: std::time::Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_log_becomes_inert_text() {
        let hostile = b"\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07 a\rb\r\nc\0d\xff\xe2\x80\xae<script>";
        assert_eq!(plain(hostile), "red link a\nb\ncd\u{fffd}<script>");
        assert_eq!(plain(b"\x1b]52;c;never ended\nnext"), "\nnext");
    }

    #[test]
    fn sizes_and_durations_read_well() {
        assert_eq!(
            (size(999), size(1000), size(123_456_789)),
            ("999 B".into(), "1.0 kB".into(), "123.4 MB".into())
        );
        let say = |s| duration(std::time::Duration::from_secs(s));
        assert_eq!(
            (say(5), say(65), say(7300)),
            ("5 s".into(), "1 min 5 s".into(), "2 h 1 min".into())
        );
    }
}
