//! The smallest script of a failing seed that still breaks the same rule.

use std::fmt;
use std::str::FromStr;

use ck_control::Bugs;

use crate::clock::{Instant, MS};
use crate::fault::Fault;
use crate::run::{Verdict, plan, run};

/// Some faults of a seed, and how long each lasts; as text `2:350,5:80`, the number of the fault
/// and its milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(Vec<(usize, Instant)>);

impl Script {
    /// All faults of a seed, as drawn.
    #[must_use]
    pub fn of(faults: &[Fault]) -> Self {
        Self(faults.iter().map(|one| one.lasts).enumerate().collect())
    }

    /// The faults themselves; numbers that the seed does not have name none.
    #[must_use]
    pub fn faults(&self, all: &[Fault]) -> Vec<Fault> {
        let kept = self.0.iter().filter_map(|(at, lasts)| {
            let lasts = *lasts;
            all.get(*at).map(|fault| Fault { lasts, ..*fault })
        });
        kept.collect()
    }

    /// How many faults are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left: the rule breaks without any fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn without(&self, from: usize, count: usize) -> Self {
        let mut fewer = self.0.clone();
        fewer.drain(from..(from + count).min(fewer.len()));
        Self(fewer)
    }

    fn shorter(&self, at: usize) -> Self {
        let mut shorter = self.0.clone();
        shorter[at].1 = shorter[at].1 / 2 / MS * MS;
        Self(shorter)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (fault, lasts)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{fault}:{}", lasts.div_ceil(MS))?;
        }
        Ok(())
    }
}

/// Text that is no script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no script; write it as 2:350,5:80, a fault\'s number and its milliseconds")]
pub struct ScriptError {
    /// The text as given.
    pub value: String,
}

impl FromStr for Script {
    type Err = ScriptError;
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let read = |word: &str| {
            let (fault, lasts) = word.split_once(':')?;
            let lasts: Instant = lasts.parse().ok()?;
            Some((fault.parse().ok()?, lasts.checked_mul(MS)?))
        };
        let words = text.split(',').filter(|word| !word.is_empty());
        let kept: Option<Vec<_>> = words.map(read).collect();
        kept.map(Self).ok_or_else(|| ScriptError {
            value: text.to_string(),
        })
    }
}

/// Runs a seed under a script in the place of all its faults.
#[must_use]
pub fn run_script(seed: u64, script: &Script, bugs: Bugs, trace: bool) -> Verdict {
    let (setting, all) = plan(seed, bugs, trace);
    run(setting, script.faults(&all))
}

/// Leaves out faults, many at a time and then one after the other, and halves what the others last,
/// as long as the same rule breaks; at most `tries` runs. The same seed gives the same script.
#[must_use]
pub fn shrink(seed: u64, bugs: Bugs, invariant: &str, tries: usize) -> Script {
    let (_, all) = plan(seed, bugs, false);
    let mut script = Script::of(&all);
    let mut left = tries;
    let mut still = |script: &Script| {
        let runs = left > 0;
        left = left.saturating_sub(1);
        let found = runs.then(|| run_script(seed, script, bugs, false).violation);
        found
            .flatten()
            .is_some_and(|one| one.invariant == invariant)
    };
    // Milliseconds are what a script can say.
    for (_, lasts) in &mut script.0 {
        *lasts = lasts.div_ceil(MS) * MS;
    }
    if !still(&script) {
        return Script::of(&all);
    }
    let mut count = (script.len() / 2).max(1);
    loop {
        let mut at = 0;
        let before = script.len();
        while at < script.len() {
            let fewer = script.without(at, count);
            if still(&fewer) {
                script = fewer;
            } else {
                at += count;
            }
        }
        if count == 1 && script.len() == before {
            break;
        }
        count = (count / 2).max(1);
    }
    for at in 0..script.len() {
        while script.0[at].1 > 10 * MS {
            let shorter = script.shorter(at);
            if !still(&shorter) {
                break;
            }
            script = shorter;
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_is_printed() {
        let script: Script = "2:350,5:80".parse().unwrap();
        assert_eq!(script.to_string(), "2:350,5:80");
        assert_eq!(script.len(), 2);
        assert!("".parse::<Script>().unwrap().is_empty());
        for text in ["2", "2:", "a:1", "1:2:3", "1:99999999999999999999"] {
            assert!(text.parse::<Script>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_that_passes_is_not_shrunk() {
        let (_, faults) = plan(10, Bugs::default(), false);
        let script = shrink(10, Bugs::default(), "no such rule", 50);
        assert_eq!(script, Script::of(&faults));
        assert_eq!(script.faults(&faults), faults);
    }
}
