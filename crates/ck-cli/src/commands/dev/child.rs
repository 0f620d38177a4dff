//! One node of `ck dev`: a `ck serve` process that ends when this one does.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

/// Lines of standard error kept to explain an end.
const TAIL_LINES: usize = 12;

/// What a child did.
#[derive(Debug)]
pub(super) enum News {
    /// It takes part in the cluster, and the partitions exist.
    Ready { at: usize },
    /// Its process ended.
    Ended {
        at: usize,
        status: io::Result<ExitStatus>,
        tail: Vec<String>,
    },
}

/// How a child is started.
pub(super) struct Launch<'a> {
    pub(super) program: &'a Path,
    pub(super) id: String,
    pub(super) http: SocketAddr,
    pub(super) data: PathBuf,
    pub(super) flags: &'a [String],
}

/// A running child.
pub(super) struct Node {
    pub(super) id: String,
    pub(super) http: SocketAddr,
    pub(super) data: PathBuf,
    pub(super) pid: u32,
    pub(super) ready: bool,
    pub(super) running: bool,
    /// Held open: the child stops when it is closed, which the system does if this process dies.
    _stdin: ChildStdin,
    end: Option<oneshot::Sender<()>>,
}

/// A line that `ck serve --json` prints.
#[derive(Deserialize)]
struct Event {
    event: String,
}

impl Node {
    /// Starts the child; what becomes of it is sent to `news`.
    pub(super) fn start(
        at: usize,
        launch: Launch<'_>,
        news: mpsc::Sender<News>,
    ) -> io::Result<Self> {
        let mut child = Command::new(launch.program)
            .args(["--json", "serve", "--exit-with-stdin", "--id", &launch.id])
            .args(["--http", &launch.http.to_string(), "--data"])
            .arg(&launch.data)
            .args(launch.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is this process's to handle.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child
            .id()
            .expect("a child that was not waited for has an id");
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let (end, ended) = oneshot::channel();
        tokio::spawn(watch(at, child, news, ended));
        let Launch { id, http, data, .. } = launch;
        let (ready, running, end) = (false, true, Some(end));
        Ok(Self {
            id,
            http,
            data,
            pid,
            ready,
            running,
            _stdin: stdin,
            end,
        })
    }

    /// Asks it to stop.
    pub(super) fn stop(&self) {
        if self.running
            && let Ok(pid) = i32::try_from(self.pid)
        {
            // It may have ended this instant, which is as well.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // Dropping the sender is the message.
        self.end = None;
    }
}

async fn watch(
    at: usize,
    mut child: Child,
    news: mpsc::Sender<News>,
    ended: oneshot::Receiver<()>,
) {
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    let ready = news.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let event = serde_json::from_str::<Event>(&line);
            if event.is_ok_and(|event| event.event == "ready") {
                // Nobody listens any more when this process ends.
                let _ = ready.send(News::Ready { at }).await;
            }
        }
    });
    let tail = tokio::spawn(tail(stderr));
    let status = tokio::select! {
        status = child.wait() => status,
        _ = ended => match child.start_kill() {
            Ok(()) => child.wait().await,
            Err(error) => Err(error),
        },
    };
    let tail = tail.await.unwrap_or_default();
    let _ = news.send(News::Ended { at, status, tail }).await;
}

/// The last lines of a stream, once it has ended.
async fn tail(stream: impl AsyncRead + Unpin) -> Vec<String> {
    let mut lines = BufReader::new(stream).lines();
    let mut kept = VecDeque::with_capacity(TAIL_LINES);
    while let Ok(Some(line)) = lines.next_line().await {
        if kept.len() == TAIL_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    kept.into()
}
