//! A node of a key-value service that keeps nothing: it passes every connection on to the test that
//! stands behind it, so that what happens to processes happens to it, and what happens to data is
//! the test's to say.
//!
//! It takes the flags of `ck serve`, and in `FAKE_KV` the address at which the test listens: it says
//! its id and address there, is told the port that answers for it, and ends with that connection.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let id = flag("--id")?;
    let http = flag("--http")?;
    // As a node would, so that there is something to wipe.
    std::fs::create_dir_all(flag("--data")?)?;
    let mut control = TcpStream::connect(std::env::var("FAKE_KV")?)?;
    writeln!(control, "{id} {http}")?;
    let mut told = BufReader::new(control);
    let mut port = String::new();
    told.read_line(&mut port)?;
    let port: u16 = port.trim().parse()?;
    let listener = TcpListener::bind(http)?;
    std::thread::spawn(move || serve(&listener, port));
    // Nothing more is told: the next line is the end.
    told.read_line(&mut String::new())?;
    Ok(())
}

fn flag(name: &str) -> Result<String, Box<dyn Error>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    let value = arguments.nth(1);
    value.ok_or_else(|| format!("{name} has no value").into())
}

fn serve(listener: &TcpListener, port: u16) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        let Ok(behind) = TcpStream::connect(("127.0.0.1", port)) else {
            continue;
        };
        for stream in [&stream, &behind] {
            // Slower without it, and no less right.
            let _ = stream.set_nodelay(true);
        }
        let (Ok(ahead_reads), Ok(behind_reads)) = (stream.try_clone(), behind.try_clone()) else {
            continue;
        };
        open.fetch_add(1, Ordering::Relaxed);
        let open = Arc::clone(&open);
        std::thread::spawn(move || copy(ahead_reads, behind));
        std::thread::spawn(move || {
            copy(behind_reads, stream);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Passes on until either end closes.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    // An end that has gone is what this waits for.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
