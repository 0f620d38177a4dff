//! Which fault met a move at which stage.

use std::collections::BTreeMap;
use std::fmt;

use ck_control::Stage;

use crate::fault::{Act, STAGES};

/// How often each fault met a move at each stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(Stage, Act), u64>);

impl Coverage {
    /// Notes that a fault began while a move was at a stage.
    pub fn note(&mut self, stage: Stage, act: Act) {
        *self.0.entry((stage, act)).or_default() += 1;
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (cell, times) in &other.0 {
            *self.0.entry(*cell).or_default() += times;
        }
    }

    /// How often a fault met a stage.
    #[must_use]
    pub fn times(&self, stage: Stage, act: Act) -> u64 {
        self.0.get(&(stage, act)).copied().unwrap_or_default()
    }

    /// Cells that were never met.
    #[must_use]
    pub fn empty(&self) -> Vec<(Stage, Act)> {
        let cells = STAGES
            .iter()
            .flat_map(|stage| Act::ALL.iter().map(|act| (*stage, *act)));
        cells
            .filter(|(stage, act)| self.times(*stage, *act) == 0)
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14}", "fault \\ stage")?;
        for stage in STAGES {
            write!(f, "{stage:>10}")?;
        }
        for act in Act::ALL {
            write!(f, "\n{:<14}", format!("{act:?}"))?;
            for stage in STAGES {
                write!(f, "{:>10}", self.times(stage, act))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cell_is_named_until_it_is_met() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.empty().len(), STAGES.len() * Act::ALL.len());
        coverage.note(Stage::Release, Act::Crash);
        assert!(!coverage.empty().contains(&(Stage::Release, Act::Crash)));
        assert!(coverage.to_string().contains("Crash"));
    }
}
