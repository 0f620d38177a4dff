//! What tells `ck serve` to stop.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Every way to be told.
pub(super) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    stdin_closed: Option<oneshot::Receiver<()>>,
}

impl Stops {
    /// Listens from now on; with `stdin` its end counts too.
    pub(super) fn listen(stdin: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stdin_closed: stdin.then(watch_stdin),
        })
    }

    /// Waits to be told.
    pub(super) async fn next(&mut self) {
        let Self {
            terminate,
            interrupt,
            stdin_closed,
        } = self;
        let closed = async {
            match stdin_closed {
                Some(closed) => {
                    let _ = closed.await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = closed => self.stdin_closed = None,
        }
    }
}

fn watch_stdin() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        let mut unread = [0; 64];
        while stdin.read(&mut unread).await.is_ok_and(|count| count > 0) {}
        // Nobody waits any more when the node has stopped otherwise.
        let _ = closed.send(());
    });
    receiver
}
