//! Waiting for nodes: how far it is, on standard error, until it is done or the time is up.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::Failure;
use crate::output::Output;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Between two lines, where standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is shown while a command waits: a bar on a terminal, else a line now and then, and nothing
/// with `--json`.
pub(super) struct Waiting {
    what: String,
    since: Instant,
    within: Option<Duration>,
    bar: Option<ProgressBar>,
    silent: bool,
    told: Option<Instant>,
}

impl Waiting {
    /// Waits for `what`, at most `within`.
    pub(super) fn new(output: Output, what: &str, within: Option<Duration>) -> Self {
        let bar = (!output.json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}");
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.with_prefix(what.to_owned())
        });
        Self {
            what: what.to_owned(),
            since: Instant::now(),
            within,
            bar,
            silent: output.json,
            told: None,
        }
    }

    /// Shows how far it is, and pauses before the next look.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] when the time is up.
    pub(super) async fn look_again(
        &mut self,
        done: u64,
        total: u64,
        waits_for: &str,
    ) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(waits_for.to_owned());
        } else if !self.silent && self.told.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.told = Some(Instant::now());
            let colon = if waits_for.is_empty() { "" } else { ": " };
            let line = format!("{}: {done} of {total}{colon}{waits_for}\n", self.what);
            // With standard error closed there is nobody to tell.
            let _ = std::io::Write::write_all(&mut anstream::stderr(), line.as_bytes());
        }
        if self
            .within
            .is_some_and(|within| self.since.elapsed() >= within)
        {
            let colon = if waits_for.is_empty() { "" } else { "; " };
            let message = format!(
                "{}: {done} of {total} when the time of --timeout was up{colon}{waits_for}; it \
                 goes on by itself",
                self.what
            );
            return Err(Failure::Unreachable(anyhow::Error::msg(message)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }

    /// Whether a request that failed so may be tried again: nodes come and go while one waits.
    pub(super) fn may_retry(&self, error: &ck_client::ClientError) -> bool {
        let away = error.exit_code() == 3;
        away && self
            .within
            .map_or(self.since.elapsed() < AWAY_MAX, |within| {
                self.since.elapsed() < within
            })
    }
}

/// How long nodes may be away, from the beginning, when no time was given.
const AWAY_MAX: Duration = Duration::from_secs(600);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What the moves under way wait for, in few words; empty when there is none.
pub(super) fn waits_for(transfers: &[ck_api::Transfer]) -> String {
    let Some(first) = transfers.first() else {
        return String::new();
    };
    if first.waits_for == "grace" {
        return format!("{}: the old copy stays for some seconds", first.partition);
    }
    let node = match first.waits_for.as_str() {
        "release" | "lease" => first.from.as_deref().unwrap_or("a node"),
        "operator" => "an operator",
        "brake" => "the brake",
        _ => &first.to,
    };
    let copied = match (first.done, first.total) {
        (_, 0) => String::new(),
        (done, total) => format!(" ({done} of {total})"),
    };
    format!(
        "{} waits for {node}: {}{copied}",
        first.partition, first.stage
    )
}
