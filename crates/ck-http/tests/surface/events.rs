//! A caller that follows the table.

use std::time::Instant;

use ck_api::{TableAnswer, TableDelta};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Got, Live, PATIENCE, parse};

/// A stream of events.
pub(crate) struct Watch {
    stream: TcpStream,
    /// What was read and is no whole chunk yet.
    raw: Vec<u8>,
    /// What the chunks held and is no whole event yet.
    text: String,
    pub(crate) head: Got,
    /// Whether the last chunk came.
    pub(crate) ended: bool,
}

/// One event.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Told {
    pub(crate) fn delta(&self) -> TableDelta {
        assert_eq!(self.name, "delta", "{self:?}");
        serde_json::from_str(&self.data).unwrap()
    }

    pub(crate) fn table(&self) -> TableAnswer {
        assert_eq!(self.name, "table", "{self:?}");
        serde_json::from_str(&self.data).unwrap()
    }
}

impl Watch {
    pub(crate) async fn open(live: &Live, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = format!("GET /v1/watch{query} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = live.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        let end = loop {
            if let Some(at) = raw.windows(4).position(|at| at == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(read(&mut stream, &mut raw).await, "a head");
        };
        let head = parse(&raw[..end]);
        raw.drain(..end);
        Self {
            stream,
            raw,
            text: String::new(),
            head,
            ended: false,
        }
    }

    /// The next event; none at the end of the stream. Comments are left out.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(told) = told(&block) {
                    return Some(told);
                }
            }
            if self.ended || !self.chunk() && !read(&mut self.stream, &mut self.raw).await {
                return None;
            }
        }
    }

    /// Takes a whole chunk over, if there is one.
    fn chunk(&mut self) -> bool {
        let Some(line) = self.raw.windows(2).position(|at| at == b"\r\n") else {
            return false;
        };
        let size = std::str::from_utf8(&self.raw[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let end = line + 2 + size;
        if self.raw.len() < end + 2 {
            return false;
        }
        self.ended = size == 0;
        self.text
            .push_str(std::str::from_utf8(&self.raw[line + 2..end]).unwrap());
        self.raw.drain(..end + 2);
        true
    }

    /// The next event that is of the table.
    pub(crate) async fn of_table(&mut self) -> Told {
        let began = Instant::now();
        loop {
            // Heartbeats alone would go on for ever.
            assert!(began.elapsed() < PATIENCE, "something of the table comes");
            let told = self.next().await.expect("the stream goes on");
            if told.name == "table" || told.name == "delta" {
                return told;
            }
        }
    }
}

async fn read(stream: &mut TcpStream, into: &mut Vec<u8>) -> bool {
    let mut piece = [0; 16 << 10];
    let reading = tokio::time::timeout(PATIENCE, stream.read(&mut piece));
    match reading.await.expect("something comes in time") {
        Ok(count) => {
            into.extend_from_slice(&piece[..count]);
            count > 0
        }
        Err(_) => false,
    }
}

fn told(block: &str) -> Option<Told> {
    let mut told = Told::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => told.name = name.to_owned(),
            Some(("id", id)) => told.id = Some(id.to_owned()),
            Some(("data", data)) => told.data = data.to_owned(),
            _ => {}
        }
    }
    (!told.name.is_empty()).then_some(told)
}
