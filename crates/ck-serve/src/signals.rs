//! What tells a service to stop.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Signals this close together are one: a supervisor may send to the process and to its group.
const SAME_TELLING: Duration = Duration::from_millis(250);

/// Every way to be told.
pub(crate) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    stdin_closed: Option<oneshot::Receiver<()>>,
    told_at: Option<Instant>,
}

impl Stops {
    /// Listens from now on; with `stdin` its end counts too.
    pub(crate) fn listen(stdin: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stdin_closed: stdin.then(watch_stdin),
            told_at: None,
        })
    }

    /// Waits to be told, once more when it was told before.
    pub(crate) async fn next(&mut self) {
        loop {
            self.any().await;
            let now = Instant::now();
            let again = self.told_at.is_some_and(|at| now - at < SAME_TELLING);
            if !again {
                self.told_at = Some(now);
                return;
            }
        }
    }

    async fn any(&mut self) {
        let Self {
            terminate,
            interrupt,
            stdin_closed,
            ..
        } = self;
        let closed = async {
            match stdin_closed {
                // A watcher that is gone has seen the end as well.
                Some(closed) => drop(closed.await),
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
