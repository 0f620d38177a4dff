//! Where the requests of a connection begin and end, read beside hyper from the same bytes.
//!
//! A request that says in two ways where it ends is one request to some servers on its way and two
//! to others. hyper takes one of the ways and drops the other without a trace, so that they are
//! looked for before it does. Only what hyper accepts has to be understood as hyper does: whatever
//! else comes ends the connection there. From the first doubt on, no request is called clear.

/// Bytes of a line that are kept when it arrives in pieces: its begin, and its last one. What is
/// looked for is far shorter.
const LINE_MAX: usize = 1024;

/// Follows one connection.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    at: At,
    /// What has arrived of a line that has not ended.
    line: Vec<u8>,
    length: Option<u64>,
    is_chunked: bool,
    clear: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// The first line of a request, or empty ones before it.
    #[default]
    Start,
    /// Fields of a head.
    Fields,
    /// So many bytes of a body.
    Body(u64),
    /// The line with the size of a chunk.
    Size,
    /// So many bytes of a chunk, the end of its line among them.
    Chunk(u64),
    /// Fields behind the last chunk.
    Trailers,
    /// Nobody can tell.
    Unclear,
}

/// On a request whose end is said in two ways, or that comes after one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unclear;

impl Frames {
    /// Takes in the next bytes; answers how many heads so far are whole and clear.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> u64 {
        while !bytes.is_empty() {
            match self.at {
                At::Unclear => break,
                At::Body(left) | At::Chunk(left) => {
                    let taken = usize::try_from(left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    bytes = &bytes[taken..];
                    let left = left - taken as u64;
                    self.at = match self.at {
                        At::Body(_) if left == 0 => At::Start,
                        At::Body(_) => At::Body(left),
                        _ if left == 0 => At::Size,
                        _ => At::Chunk(left),
                    };
                }
                At::Start | At::Fields | At::Size | At::Trailers => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        self.keep(bytes);
                        break;
                    };
                    if self.line.is_empty() {
                        self.at = self.end_line(&bytes[..end]);
                    } else {
                        self.keep(&bytes[..end]);
                        let line = std::mem::take(&mut self.line);
                        self.at = self.end_line(&line);
                    }
                    bytes = &bytes[end + 1..];
                }
            }
        }
        self.clear
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let room = LINE_MAX - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.line[LINE_MAX - 1] = *last;
        }
    }

    fn end_line(&mut self, line: &[u8]) -> At {
        let bare = line.strip_suffix(b"\r");
        let text = bare.unwrap_or(line);
        match self.at {
            At::Start if text.is_empty() => At::Start,
            At::Start => {
                (self.length, self.is_chunked) = (None, false);
                At::Fields
            }
            At::Fields if text.is_empty() => self.end_head(),
            At::Fields => self.field(text),
            At::Size => match size(text) {
                Some(0) => At::Trailers,
                Some(size) => size.checked_add(2).map_or(At::Unclear, At::Chunk),
                None => At::Unclear,
            },
            // hyper goes on to the next `\r\n` here, whatever stands before it.
            At::Trailers if bare.is_none() => At::Unclear,
            At::Trailers if text.is_empty() => At::Start,
            at => at,
        }
    }

    fn end_head(&mut self) -> At {
        self.clear += 1;
        match self.length {
            _ if self.is_chunked => At::Size,
            None | Some(0) => At::Start,
            Some(length) => At::Body(length),
        }
    }

    fn field(&mut self, text: &[u8]) -> At {
        // Most fields are others, and need no closer look.
        if !matches!(text[0] | 0x20, b'c' | b't') {
            return At::Fields;
        }
        let Some(end) = text.iter().position(|byte| *byte == b':') else {
            return At::Fields;
        };
        let (name, value) = (&text[..end], text[end + 1..].trim_ascii());
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        if !is_length && !name.eq_ignore_ascii_case(b"transfer-encoding") {
            return At::Fields;
        }
        let is_known = self.length.is_some() || self.is_chunked || text.len() + 1 >= LINE_MAX;
        if is_length {
            self.length = digits(value, 10);
        } else {
            self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
        }
        if is_known || (self.length.is_none() && !self.is_chunked) {
            return At::Unclear;
        }
        At::Fields
    }
}

/// The size of a chunk, without the words that may follow it.
fn size(text: &[u8]) -> Option<u64> {
    match text.iter().position(|byte| *byte == b';') {
        Some(end) => digits(text[..end].trim_ascii_end(), 16),
        None if text.len() + 1 >= LINE_MAX => None,
        None => digits(text.trim_ascii_end(), 16),
    }
}

/// A number of nothing but digits: others are not read by every server alike.
fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.starts_with('+') {
        return None;
    }
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many heads are clear, however the bytes are cut.
    fn clear(text: &str) -> (u64, At) {
        let mut whole = Frames::default();
        let found = (whole.read(text.as_bytes()), whole.at);
        for piece in (1..40).chain([1023, 1024, 1025]) {
            let mut frames = Frames::default();
            for bytes in text.as_bytes().chunks(piece) {
                frames.read(bytes);
                assert!(frames.line.len() <= LINE_MAX);
            }
            assert_eq!((frames.clear, frames.at), found, "{piece}: {text:?}");
        }
        found
    }

    #[test]
    fn what_is_said_once_is_clear() {
        let long = "x".repeat(3000);
        for (text, heads) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3), 3),
            (
                "\r\n\nGET / HTTP/1.1\n\n\r\nGET / HTTP/1.1\r\n\r\n".into(),
                2,
            ),
            (
                "PUT / HTTP/1.1\r\nContent-Length: \t0005 \r\n\r\na\n\r\n\n".repeat(2),
                2,
            ),
            ("PUT / HTTP/1.1\r\ncontent-length:0\r\n\r\n".repeat(2), 2),
            (
                format!("GET /{long} HTTP/1.1\r\ncookie: {long}\r\n\r\n").repeat(2),
                2,
            ),
            (
                "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\nte: x\r\n\r\n\
                 00a \t;content-length: 1\r\n\r\n\r\nGET /\r\r\n1\r\n\n\r\n0\r\n\r\n"
                    .repeat(2),
                2,
            ),
            (
                format!(
                    "PUT / HTTP/1.1\r\nTRANSFER-ENCODING:CHUNKED\r\n\r\n{}1;{long}\r\nx\r\n\
                     0;{long}\r\nx: {long}\r\ncontent-length: 7\r\n\r\n",
                    "0".repeat(900)
                )
                .repeat(2),
                2,
            ),
        ] {
            assert_eq!(clear(&text), (heads, At::Start), "{text:?}");
        }
    }

    #[test]
    fn what_is_said_twice_is_not_and_nothing_behind_it() {
        const BEFORE: &str = "PUT / HTTP/1.1\r\ncontent-length: 3\r\n\r\n\r\n\r";
        let long = format!("content-length:{}5", " ".repeat(1024));
        for fields in [
            "content-length: 5\r\ntransfer-encoding: chunked",
            "Transfer-Encoding:chunked\r\nx: y\r\nCONTENT-LENGTH:5",
            "content-length: 5\r\ncontent-length: 5",
            "content-length: 5\r\ncontent-length: 3",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked, chunked",
            "transfer-encoding: gzip",
            "content-length: x\r\ntransfer-encoding: chunked",
            "content-length: +5",
            "content-length: 5, 5",
            "content-length: ",
            "content-length: 18446744073709551616",
            &long,
        ] {
            let text = format!(
                "{BEFORE}PUT / HTTP/1.1\r\n{fields}\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
            );
            assert_eq!(clear(&text), (1, At::Unclear), "{fields:?}");
        }
    }

    #[test]
    fn chunks_that_may_be_read_otherwise_leave_nothing_clear() {
        let zeros = "0".repeat(1024);
        for chunks in [
            "+1\r\n",
            "-1\r\n",
            "0x1\r\n",
            "\r\n",
            "1 1\r\n",
            "ffffffffffffffff\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nx: y\n\r\nGET / HTTP/1.1\r\n\r\n",
            "0\r\n\nGET / HTTP/1.1\r\n\r\n",
            &format!("{zeros}1\r\n"),
        ] {
            let text = format!("PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
            assert_eq!(clear(&text), (1, At::Unclear), "{chunks:?}");
        }
    }
}
