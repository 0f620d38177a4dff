//! Which fault met a move at which stage.

use std::collections::BTreeMap;
use std::fmt;

use ck_control::Stage;

use crate::fault::{Act, STAGES};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// A fault, whoever it met.
    Any(Act),
    /// A crash of the node that gives the copy or the role.
    CrashOfSource,
    /// A crash of the node that gets it.
    CrashOfTarget,
    /// A crash of the node that leads.
    CrashOfLeader,
}

impl Row {
    /// Every row, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        let crashes = [
            Self::CrashOfSource,
            Self::CrashOfTarget,
            Self::CrashOfLeader,
        ];
        Act::ALL.into_iter().map(Self::Any).chain(crashes)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(act) => f.pad(&format!("{act:?}")),
            Self::CrashOfSource => f.pad("Crash (source)"),
            Self::CrashOfTarget => f.pad("Crash (target)"),
            Self::CrashOfLeader => f.pad("Crash (leader)"),
        }
    }
}

/// How often each fault met a move at each stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(Stage, Row), u64>);

impl Coverage {
    /// Notes that a fault began while a move was at a stage.
    pub fn note(&mut self, stage: Stage, row: Row) {
        *self.0.entry((stage, row)).or_default() += 1;
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (cell, times) in &other.0 {
            *self.0.entry(*cell).or_default() += times;
        }
    }

    /// How often a fault met a stage.
    #[must_use]
    pub fn times(&self, stage: Stage, row: Row) -> u64 {
        self.0.get(&(stage, row)).copied().unwrap_or_default()
    }

    /// Cells that were never met.
    #[must_use]
    pub fn empty(&self) -> Vec<(Stage, Row)> {
        let cells = STAGES
            .iter()
            .flat_map(|stage| Row::all().map(|row| (*stage, row)));
        cells
            .filter(|(stage, row)| self.times(*stage, *row) == 0)
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}", "fault \\ stage")?;
        for stage in STAGES {
            write!(f, "{stage:>10}")?;
        }
        for row in Row::all() {
            write!(f, "\n{row:<16}")?;
            for stage in STAGES {
                write!(f, "{:>10}", self.times(stage, row))?;
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
        assert_eq!(coverage.empty().len(), STAGES.len() * Row::all().count());
        let cell = (Stage::Release, Row::Any(Act::Crash));
        coverage.note(cell.0, cell.1);
        assert!(!coverage.empty().contains(&cell));
        assert!(
            coverage
                .empty()
                .contains(&(Stage::Release, Row::CrashOfSource))
        );
        assert!(coverage.to_string().contains("Crash (source)"));
    }
}
