//! A collector: takes posts of OTLP in protobuf, and reads as much of them as a test needs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it does with a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// Answers 503.
    Refuse,
    /// Keeps its spans, and answers 200.
    Take,
    /// Answers nothing.
    Hang,
}

/// A span, as far as it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// Trace and parent, in hexadecimal.
    pub(crate) trace: String,
    pub(crate) parent: String,
    pub(crate) events: usize,
}

struct Inside {
    does: Does,
    posted: usize,
    spans: Vec<Span>,
}

pub(crate) struct Collector {
    pub(crate) endpoint: String,
    inside: Arc<Mutex<Inside>>,
}

impl Collector {
    pub(crate) fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (posted, spans) = (0, Vec::new());
        let inside = Arc::new(Mutex::new(Inside {
            does,
            posted,
            spans,
        }));
        let shared = Arc::clone(&inside);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let inside = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &inside));
            }
        });
        Self { endpoint, inside }
    }

    pub(crate) fn does(&self, does: Does) {
        self.inside.lock().unwrap().does = does;
    }

    /// Posts that came, whatever was done with them.
    pub(crate) fn posted(&self) -> usize {
        self.inside.lock().unwrap().posted
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.inside.lock().unwrap().spans.clone()
    }
}

/// Posts over one connection, until it is closed.
fn serve(stream: TcpStream, inside: &Mutex<Inside>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut length, mut first) = (0, None);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "content-type: application/x-protobuf" {
                first.get_or_insert(true);
            }
            if line.is_empty() {
                break;
            }
        }
        assert_eq!(first, Some(true), "protobuf is posted");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut inside = inside.lock().unwrap();
        inside.posted += 1;
        let status = match inside.does {
            Does::Hang => continue,
            Does::Refuse => "503 Service Unavailable",
            Does::Take => {
                inside.spans.extend(spans(&body));
                "200 OK"
            }
        };
        drop(inside);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The spans of an export request: below `resource_spans` (1) and `scope_spans` (2), `spans` (2).
fn spans(body: &[u8]) -> Vec<Span> {
    let resources = all(body, 1);
    let scopes = resources.iter().flat_map(|resource| all(resource, 2));
    let spans = scopes.flat_map(|scope| all(scope, 2));
    let span = |span: &[u8]| {
        let one = |field| all(span, field).first().copied().unwrap_or_default();
        Span {
            name: String::from_utf8(one(5).to_vec()).unwrap(),
            trace: hex(one(1)),
            parent: hex(one(4)),
            events: all(span, 11).len(),
        }
    };
    spans.map(span).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every value of a field that has a length, in order.
fn all(mut message: &[u8], field: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message);
        let length = match key & 7 {
            0 => {
                number(&mut message);
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut message)).unwrap(),
            5 => 4,
            other => panic!("no wire type {other}"),
        };
        let (value, rest) = message.split_at(length);
        message = rest;
        if key == field << 3 | 2 {
            found.push(value);
        }
    }
    found
}

/// A number of seven bits a byte, the lowest first.
fn number(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().expect("it ends");
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number of more than 64 bits");
}
