//! Ratios of two things measured in turns.
//!
//! What is compared is the fastest run of each side: whatever else a machine does can only add to a
//! time, so the least of many is nearest to what the code itself takes. The medians are printed
//! beside it, and tell how quiet the machine was.
#![allow(clippy::print_stdout, reason = "the report is what a bench is run for")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Pairs measured for one ratio; one undisturbed run of each side is enough.
const PAIRS: usize = 101;

/// Runs of what is measured as a share of a core.
const SHARES: usize = 11;

/// How long one side of a pair runs: long against the clock's resolution, short against a change
/// of the machine's mood.
const SIDE: Duration = Duration::from_millis(4);

/// Collects ratios, prints them, and remembers which are over their limit.
#[derive(Debug)]
pub struct Report {
    /// Each side runs once, nothing is judged: shows only that the bench still runs.
    trial: bool,
    broken: Vec<String>,
}

impl Report {
    /// A report of measurements under `cargo bench`, and a trial under `cargo test`, which does
    /// not pass `--bench` to the program.
    #[must_use]
    pub fn from_arguments() -> Self {
        Self {
            trial: !std::env::args().any(|argument| argument == "--bench"),
            broken: Vec::new(),
        }
    }

    /// Whether nothing is measured, only tried.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        self.trial
    }

    /// Prints how many times as long `measured` takes as `base`, and holds it against `limit`.
    ///
    /// Each closure does one round of `calls` calls; rounds of both run in turns.
    pub fn at_most(
        &mut self,
        name: &str,
        limit: f64,
        calls: usize,
        base: impl FnMut(),
        measured: impl FnMut(),
    ) {
        let Some((ratio, figures)) = self.measure(name, calls, base, measured) else {
            return;
        };
        self.judge(name, ratio, limit, &format!("; {figures}"));
    }

    /// Prints a ratio that was measured, and holds it against `limit`.
    pub fn ratio(&mut self, name: &str, ratio: f64, limit: f64) {
        self.judge(name, ratio, limit, "");
    }

    fn judge(&mut self, name: &str, ratio: f64, limit: f64, figures: &str) {
        let verdict = if ratio <= limit { "kept" } else { "BROKEN" };
        println!("{name:<32} {ratio:>7.2} x  (at most {limit:.3}: {verdict}{figures})");
        if ratio > limit {
            self.broken.push(format!(
                "{name}: {ratio:.2} times the base, {limit:.3} promised"
            ));
        }
    }

    /// Prints which share of a core `measured` takes while `passing` passes, and holds it against
    /// `limit`; the fastest of some runs counts.
    pub fn share_at_most(
        &mut self,
        name: &str,
        limit: f64,
        passing: Duration,
        mut measured: impl FnMut(),
    ) {
        if self.trial {
            measured();
            println!("{name:<32} tried, not measured");
            return;
        }
        let times = (0..SHARES).map(|_| time(1, &mut measured));
        let share = times.fold(f64::INFINITY, f64::min) / passing.as_secs_f64();
        self.share(name, share, limit);
    }

    /// Prints a share of a core that was measured, and holds it against `limit`.
    pub fn share(&mut self, name: &str, share: f64, limit: f64) {
        if self.trial {
            println!("{name:<32} tried, not measured");
            return;
        }
        let verdict = if share <= limit { "kept" } else { "BROKEN" };
        let percent = |share: f64| share * 100.0;
        println!(
            "{name:<32} {:>6.2} %  of a core (at most {}: {verdict})",
            percent(share),
            percent(limit)
        );
        if share > limit {
            self.broken.push(format!(
                "{name}: {:.2} % of a core, {} promised",
                percent(share),
                percent(limit)
            ));
        }
    }

    /// Prints the ratio for information: nothing is promised of it.
    pub fn beside(&mut self, name: &str, calls: usize, base: impl FnMut(), measured: impl FnMut()) {
        let Some((ratio, figures)) = self.measure(name, calls, base, measured) else {
            return;
        };
        println!("{name:<32} {ratio:>7.2} x  ({figures})");
    }

    /// Prints a line of context under the last ratio.
    pub fn note(&self, text: &str) {
        println!("{:<32} {text}", "");
    }

    /// The ratio of the fastest runs, and figures to print; `None` in a trial.
    fn measure(
        &self,
        name: &str,
        calls: usize,
        mut base: impl FnMut(),
        mut measured: impl FnMut(),
    ) -> Option<(f64, String)> {
        base();
        measured();
        if self.trial {
            println!("{name:<32} tried, not measured");
            return None;
        }
        let (base_rounds, measured_rounds) = (rounds(&mut base), rounds(&mut measured));
        let mut base_times = Vec::with_capacity(PAIRS);
        let mut measured_times = Vec::with_capacity(PAIRS);
        for _ in 0..PAIRS {
            base_times.push(time(base_rounds, &mut base));
            measured_times.push(time(measured_rounds, &mut measured));
        }
        base_times.sort_by(f64::total_cmp);
        measured_times.sort_by(f64::total_cmp);
        let nanoseconds = |seconds: f64| seconds / calls as f64 * 1e9;
        let figures = format!(
            "{:.1} ns against {:.1} ns; medians {:.2} x",
            nanoseconds(measured_times[0]),
            nanoseconds(base_times[0]),
            measured_times[PAIRS / 2] / base_times[PAIRS / 2],
        );
        Some((measured_times[0] / base_times[0], figures))
    }

    /// Fails when a promise was broken, naming each.
    #[must_use]
    pub fn verdict(self) -> ExitCode {
        for broken in &self.broken {
            println!("broken promise: {broken}");
        }
        if self.broken.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Rounds that fill [`SIDE`], at least one.
fn rounds(round: &mut impl FnMut()) -> u32 {
    let mut rounds = 1_u32;
    loop {
        let taken = time(rounds, round) * f64::from(rounds);
        if taken >= SIDE.as_secs_f64() || rounds >= 1 << 24 {
            return rounds;
        }
        rounds *= 2;
    }
}

/// Seconds a round.
fn time(rounds: u32, round: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        round();
    }
    start.elapsed().as_secs_f64() / f64::from(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(turns: u32) -> impl FnMut() {
        move || {
            for turn in 0..turns {
                std::hint::black_box(turn);
            }
        }
    }

    #[test]
    fn broken_promise_fails_the_run() {
        let mut report = Report {
            trial: false,
            broken: Vec::new(),
        };
        report.at_most("ten times the work", 2.0, 1, spin(1_000), spin(10_000));
        assert_eq!(report.broken.len(), 1, "{report:?}");
        assert_eq!(report.verdict(), ExitCode::FAILURE);
    }

    #[test]
    fn kept_promise_passes() {
        let mut report = Report {
            trial: false,
            broken: Vec::new(),
        };
        report.at_most("a tenth of the work", 1.0, 1, spin(10_000), spin(1_000));
        assert_eq!(report.verdict(), ExitCode::SUCCESS);
    }

    #[test]
    fn trial_judges_nothing() {
        let mut report = Report {
            trial: true,
            broken: Vec::new(),
        };
        report.at_most("ten times the work", 2.0, 1, spin(1_000), spin(10_000));
        assert_eq!(report.verdict(), ExitCode::SUCCESS);
    }
}
