//! What a run came to.

use std::fmt;

use ck_sim::history;
use serde::Serialize;

use super::{Settled, Torture};
use crate::drive::Summary;
use crate::measure::Mark;

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// Whether nothing was wrong.
    pub passed: bool,
    /// What was wrong, a sentence each.
    pub wrong: Vec<String>,
    /// What was done to the nodes, with milliseconds since the load began.
    pub faults: Vec<(u64, String)>,
    /// Operations in the history.
    pub operations: u64,
    /// Of these, writes that were acknowledged.
    pub acknowledged: u64,
    /// Of these, of values without a byte.
    pub empty_values: u64,
    /// And of values of 8 MiB.
    pub large_values: u64,
    /// Operations of unknown outcome.
    pub unknown: u64,
    /// Changes of a primary that were seen.
    pub changes: u64,
    /// Operations that ran during one.
    pub overlapping: u64,
    /// Acknowledged writes that were lost.
    pub lost_writes: u64,
    /// Keys that could not be decided.
    pub undecided: Vec<String>,
    /// Operations a second that were served, all faults included.
    pub per_second: f64,
    /// From the end of the load until all nodes were ready, in milliseconds.
    pub healed_ms: u128,
    /// From then until all copies were alike, in milliseconds.
    pub equal_ms: u128,
}

impl Verdict {
    pub(super) fn new(
        torture: &Torture,
        summary: &Summary,
        report: history::Report,
        marks: &[Mark],
        settled: Settled,
    ) -> Self {
        let mut wrong: Vec<String> = report
            .problems
            .iter()
            .map(|problem| format!("{}, lines {:?}: {problem}", problem.kind(), problem.lines()))
            .collect();
        if report.found > wrong.len() as u64 {
            wrong.push(format!(
                "and {} problems more",
                report.found - wrong.len() as u64
            ));
        }
        wrong.extend(
            report
                .undecided
                .iter()
                .map(|key| format!("key {key} is undecided")),
        );
        let unequal = settled.unequal.into_iter();
        wrong.extend(unequal.map(|what| format!("copies are not alike, {what}")));
        if report.acknowledged == 0 {
            wrong.push("no write was acknowledged, so nothing was shown".into());
        }
        let millis = |mark: &Mark| u64::try_from(mark.at.as_millis()).unwrap_or(u64::MAX);
        let faults = marks.iter().map(|mark| (millis(mark), mark.label.clone()));
        Self {
            seed: torture.seed,
            passed: wrong.is_empty(),
            wrong,
            faults: faults.collect(),
            operations: report.operations,
            acknowledged: report.acknowledged,
            empty_values: summary.empty_values,
            large_values: summary.large_values,
            unknown: report.unknown,
            changes: report.changes,
            overlapping: report.overlapping,
            lost_writes: report.lost_writes,
            undecided: report.undecided,
            per_second: summary.measured.served() as f64 / summary.measured.length().as_secs_f64(),
            healed_ms: settled.healed.as_millis(),
            equal_ms: settled.equal.as_millis(),
        }
    }
}

/// What several runs came to, together.
#[derive(Debug, Default)]
pub struct Sum {
    runs: u64,
    operations: u64,
    acknowledged: u64,
    lost_writes: u64,
    changes: u64,
    overlapping: u64,
}

impl Sum {
    /// Counts one more.
    pub fn add(&mut self, verdict: &Verdict) {
        self.runs += 1;
        self.operations += verdict.operations;
        self.acknowledged += verdict.acknowledged;
        self.lost_writes += verdict.lost_writes;
        self.changes += verdict.changes;
        self.overlapping += verdict.overlapping;
    }

    /// Whether so many percent of the operations met a change of primary, and so many writes were
    /// acknowledged: with fewer, that nothing was wrong shows little.
    ///
    /// # Errors
    /// A sentence that names both figures.
    pub fn reaches(&self, overlap_min: f64, acknowledged_min: u64) -> Result<(), String> {
        let share = share(self.overlapping, self.operations);
        if share < overlap_min {
            return Err(format!(
                "only {share:.2} % of the operations ran during a change of primary, {overlap_min} % are \
                 asked for; raise --rate"
            ));
        }
        if self.acknowledged < acknowledged_min {
            return Err(format!(
                "only {} writes were acknowledged, {acknowledged_min} are asked for; make more --runs",
                self.acknowledged
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            operations,
            acknowledged,
            lost_writes,
            changes,
            overlapping,
        } = self;
        let share = share(*overlapping, *operations);
        write!(
            f,
            "{runs} runs: {operations} operations, {acknowledged} acknowledged writes, {lost_writes} lost, \
             {share:.2} % during {changes} changes of a primary"
        )
    }
}

/// In hundredths of the whole.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            operations,
            acknowledged,
            empty_values,
            large_values,
            unknown,
            changes,
            overlapping,
            lost_writes,
            healed_ms,
            equal_ms,
            per_second,
            ..
        } = self;
        let share = share(*overlapping, *operations);
        let verdict = if self.passed {
            "nothing wrong"
        } else {
            "WRONG"
        };
        let faults = self.faults.len();
        write!(
            f,
            "seed {seed}: {verdict}; {operations} operations ({per_second:.0} a second), {acknowledged} \
             acknowledged writes ({empty_values} of empty values, {large_values} of 8 MiB), {lost_writes} lost, {unknown} of unknown outcome, {share:.2} % during \
             {changes} changes of a primary; {faults} events; ready {healed_ms} ms after healing, copies \
             alike {equal_ms} ms later"
        )?;
        for wrong in &self.wrong {
            write!(f, "\n  {wrong}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_met_too_little_are_told_so() {
        let sum = Sum {
            operations: 1_000,
            overlapping: 10,
            acknowledged: 400,
            ..Sum::default()
        };
        assert_eq!(sum.reaches(1.0, 400), Ok(()));
        let met = sum.reaches(1.1, 400).unwrap_err();
        assert!(
            met.contains("only 1.00 %") && met.contains("1.1 %"),
            "{met}"
        );
        let written = sum.reaches(1.0, 401).unwrap_err();
        assert!(written.contains("only 400 writes"), "{written}");
    }
}
