//! Server-sent events, one at a time, each within a limit of bytes and of time.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::attempt::innermost;

/// An event under way may take this much longer for each MiB of it that has come.
const LONGER_PER_MIB: Duration = Duration::from_secs(1);

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
}

/// Why no event comes any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the stream has ended")]
    Ended,
    #[error("no event within {0:?}")]
    Silent(Duration),
    #[error("the stream broke: {reason}")]
    Broken { reason: String },
    #[error("an event is longer than {most} bytes (`RouterConfig::event_bytes_max`)")]
    TooLarge { most: usize },
}

/// The events of an answer.
pub(crate) struct Events {
    body: Incoming,
    silence: Duration,
    lines: Lines,
}

impl Events {
    pub(crate) fn new(body: Incoming, most: usize, silence: Duration) -> Self {
        Self {
            body,
            silence,
            lines: Lines::new(most),
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Event, Lost> {
        let began = Instant::now();
        loop {
            if let Some(event) = self.lines.next()? {
                return Ok(event);
            }
            // A large one may take longer, as long as it gets on.
            let mib = u32::try_from(self.lines.held() >> 20).unwrap_or(u32::MAX);
            let until = began + self.silence + LONGER_PER_MIB.saturating_mul(mib);
            let frame = tokio::time::timeout_at(until, self.body.frame()).await;
            match frame.map_err(|_| Lost::Silent(self.silence))? {
                None => return Err(Lost::Ended),
                Some(Err(error)) => {
                    let reason = innermost(&error);
                    return Err(Lost::Broken { reason });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.push(&data);
                    }
                }
            }
        }
    }
}

/// Bytes into events.
struct Lines {
    most: usize,
    /// What has come and is not read yet.
    read: Vec<u8>,
    /// Where the next line begins in it, and how far its end was looked for.
    begin: usize,
    looked: usize,
    name: String,
    data: Option<Vec<u8>>,
    /// Bytes of the lines of the event under way.
    lines: usize,
}

impl Lines {
    const fn new(most: usize) -> Self {
        Self {
            most,
            read: Vec::new(),
            begin: 0,
            looked: 0,
            name: String::new(),
            data: None,
            lines: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.read.drain(..self.begin);
        self.looked -= self.begin;
        self.begin = 0;
        self.read.extend_from_slice(bytes);
    }

    /// Bytes of the event under way.
    fn held(&self) -> usize {
        self.lines + self.read.len() - self.begin
    }

    /// The next whole event of what has come.
    fn next(&mut self) -> Result<Option<Event>, Lost> {
        loop {
            let rest = &self.read[self.looked..];
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                self.looked = self.read.len();
                self.bound(self.held())?;
                return Ok(None);
            };
            let (from, mut end) = (self.begin, self.looked + length);
            self.begin = end + 1;
            self.looked = self.begin;
            if self.read[from..end].ends_with(b"\r") {
                end -= 1;
            }
            if from == end {
                self.lines = 0;
                let name = std::mem::take(&mut self.name);
                if let Some(data) = self.data.take() {
                    return Ok(Some(Event { name, data }));
                }
                continue;
            }
            self.lines += end - from;
            self.bound(self.lines)?;
            self.take(from, end);
        }
    }

    fn bound(&self, bytes: usize) -> Result<(), Lost> {
        if bytes > self.most {
            return Err(Lost::TooLarge { most: self.most });
        }
        Ok(())
    }

    /// Takes in a line that is not empty.
    fn take(&mut self, from: usize, end: usize) {
        let line = &self.read[from..end];
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            // Comments, ids that the data repeats, and what is not known here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], most: usize, step: usize) -> Result<Vec<(String, String)>, Lost> {
        let mut lines = Lines::new(most);
        let mut all = Vec::new();
        for chunk in text.chunks(step) {
            lines.push(chunk);
            while let Some(event) = lines.next()? {
                all.push((event.name, String::from_utf8(event.data).unwrap()));
            }
        }
        Ok(all)
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = b": hello\n\nevent: table\nid: 1.30\ndata: {\"a\":1}\n\nevent:delta\r\ndata:x\r\ndata\r\ndata:  y\r\n\r\n\
            retry: 5\nevent: nothing\n\ndata: last\nunknown: 1\n\ndata: not whole\n";
        let expected = [("table", "{\"a\":1}"), ("delta", "x\n\n y"), ("", "last")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        for step in 1..text.len() {
            assert_eq!(read(text, 64, step).unwrap(), expected, "{step}");
        }
    }

    #[test]
    fn an_event_over_the_limit_is_an_error_that_names_it() {
        let long = [&b"data: "[..], &[b'x'; 95], b"\n\n"].concat();
        let many = b"data: 0123456789\n".repeat(7);
        let endless = [b'x'; 101];
        for step in [1, 7, 1000] {
            for text in [&long[..], &many, &endless] {
                let lost = read(text, 100, step).unwrap_err();
                assert_eq!(lost, Lost::TooLarge { most: 100 });
                assert!(lost.to_string().contains("100 bytes"), "{lost}");
            }
            assert_eq!(read(&long, 101, step).unwrap().len(), 1);
            // Many small ones are none of its concern.
            let small = b"data: 0123456789\n\n".repeat(50);
            assert_eq!(read(&small, 100, step).unwrap().len(), 50);
        }
    }
}
