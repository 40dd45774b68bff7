//! Requests as they come by: what a piece of bytes is, and what can be made of it.

use pybit::core::protocol::{CONTENT_DIGEST, content_digest};

/// Where the body begins.
pub(super) fn body_at(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// How long the body is going to be, by the head.
pub(super) fn body_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
    length.and_then(|l| l.trim().parse().ok()).unwrap_or(0)
}

/// Whether the piece is one request with its whole body.
pub(super) fn whole(bytes: &[u8]) -> bool {
    body_at(bytes).is_some_and(|at| body_length(&bytes[..at]) == bytes.len() - at)
}

/// How many bytes of a request pass, of which this is the first piece, if `after` bytes of its body are to arrive: never all.
pub(super) fn cut(bytes: &[u8], after: usize) -> usize {
    let at = body_at(bytes).unwrap_or(0);
    at + after.min(body_length(&bytes[..at]).saturating_sub(1))
}

pub(super) fn changes_something(bytes: &[u8]) -> bool {
    [&b"POST "[..], b"PUT ", b"PATCH "].iter().any(|m| bytes.starts_with(m))
}

/// Whether the piece holds a head, and of a body a byte at least.
pub(super) fn has_body(bytes: &[u8]) -> bool {
    body_at(bytes).is_some_and(|at| at < bytes.len())
}

/// Turns one bit of the body.
pub(super) fn turn_a_bit(bytes: &mut [u8], draw: usize) {
    let Some(body) = body_at(bytes).and_then(|at| bytes.get_mut(at..)) else { return };
    let length = body.len().max(1);
    if let Some(byte) = body.get_mut((draw >> 3) % length) {
        *byte ^= 1 << (draw % 8);
    }
}

/// The request with another body, which is longer, and which whoever sends it means: length and digest say so.
pub(super) fn diverged(bytes: &[u8]) -> Vec<u8> {
    let at = body_at(bytes).unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(at);
    let mut body: Vec<u8> = body.iter().map(|b| b ^ 1).collect();
    body.extend_from_slice(b"chaos-alien\n");
    let head = String::from_utf8_lossy(head);
    let of_the_body = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        ["content-length", CONTENT_DIGEST].iter().any(|n| name.eq_ignore_ascii_case(n))
    };
    let lines = head.trim_end().lines().filter(|l| !of_the_body(l));
    let head: Vec<_> = lines.map(|l| format!("{l}\r\n")).collect();
    let head = head.concat();
    let (length, digest) = (body.len(), content_digest(&body));
    let mut request =
        format!("{head}content-length: {length}\r\n{CONTENT_DIGEST}: {digest}\r\n\r\n")
            .into_bytes();
    request.extend(body);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diverged_request_is_whole_longer_and_not_damaged() {
        let digest = content_digest(b"hi");
        let head = format!(
            "PATCH /a/log?b HTTP/1.1\r\nContent-Length: 2\r\nContent-Digest: {digest}\r\nx: y\r\n\r\n"
        );
        let request = diverged(format!("{head}hi").as_bytes());
        assert!(whole(&request) && request.ends_with(b"\r\n\r\nihchaos-alien\n"));
        let head = String::from_utf8(request).unwrap();
        let digests: Vec<_> =
            head.lines().filter_map(|l| l.strip_prefix("content-digest: ")).collect();
        assert_eq!(digests, [content_digest(b"ihchaos-alien\n")]);
        assert!(!head.contains(&digest));
    }

    #[test]
    fn one_bit_of_the_body_is_turned_and_none_of_the_head() {
        let request = b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi";
        for draw in [0, 7, 8, (1 << 40) + 13, usize::MAX] {
            let mut other = *request;
            turn_a_bit(&mut other, draw);
            let turned = request.iter().zip(&other).map(|(a, b)| (a ^ b).count_ones());
            assert_eq!(turned.sum::<u32>(), 1);
            assert_eq!(request[..request.len() - 2], other[..request.len() - 2]);
        }
        assert!(has_body(request) && !has_body(&request[..request.len() - 2]));
    }

    #[test]
    fn an_upload_is_cut_within_its_body() {
        let head = b"PATCH /a HTTP/1.1\r\ncontent-length: 200000\r\n\r\n";
        let piece = [&head[..], b"hi"].concat();
        let passed = [0, 1, 65_536, usize::MAX].map(|after| cut(&piece, after) - head.len());
        assert_eq!(passed, [0, 1, 65_536, 199_999]);
    }

    #[test]
    fn a_whole_request_is_told_from_a_part() {
        assert!(whole(b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"));
        assert!(!whole(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi"));
        assert!(!whole(b"POST /a HTTP/1.1\r\nContent-Len"));
    }
}
