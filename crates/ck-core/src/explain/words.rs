//! The answers as words for programs, and as sentences for people.

use core::fmt;

use super::{Departure, Explanation, Load, Reason, WhyNot};

impl Reason {
    /// In one word, kebab-case, which stays the same.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::BelowQuota { .. } => "below-quota",
            Self::Spread { .. } => "spread",
            Self::Replaces { .. } => "replaces",
            Self::First { .. } => "first",
        }
    }
}

impl Departure {
    /// In one word, kebab-case, which stays the same.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::State(_) => "state",
            Self::FewerCopies { .. } => "fewer-copies",
            Self::AboveQuota { .. } => "above-quota",
            Self::MadeRoom { .. } => "made-room",
        }
    }
}

impl WhyNot {
    /// In one word, kebab-case, which stays the same.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HasIt { .. } => "has-it",
            Self::Unknown => "unknown",
            Self::State(_) => "state",
            Self::Full(_) => "full",
            Self::NoneCanGive { .. } => "none-can-give",
            Self::Spread { .. } => "spread",
            Self::MoveCost { .. } => "move-cost",
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} copies, {} are due to it", self.copies, self.share)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("kept: it was there before"),
            Self::BelowQuota { before, load } => {
                write!(
                    f,
                    "new: the node had {before} copies, below its quota (now {load})"
                )
            }
            Self::Spread { domains, spread } => write!(
                f,
                "new: the row touches {domains} failure domains with it, and has to touch {spread}"
            ),
            Self::Replaces { load } => write!(f, "new: in place of a copy that left ({load})"),
            Self::First { load } => write!(f, "dealt out by share ({load})"),
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("left: the node is gone"),
            Self::State(state) => write!(f, "left: the node is {state}"),
            Self::FewerCopies { before, after } => {
                write!(f, "left: {after} copies are wanted, there were {before}")
            }
            Self::AboveQuota { before, load } => {
                write!(
                    f,
                    "left: the node had {before} copies, above its quota (now {load})"
                )
            }
            Self::MadeRoom { load } => write!(f, "left: made room in the row ({load})"),
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HasIt { primary: true } => f.write_str("it is the primary"),
            Self::HasIt { primary: false } => f.write_str("it has a copy"),
            Self::Unknown => f.write_str("there is no such node"),
            Self::State(state) => write!(f, "the node is {state} and takes nothing new"),
            Self::Full(load) => write!(f, "the node is full: {load}"),
            Self::NoneCanGive { load } => write!(
                f,
                "no node of the row has a copy more than its quota to give ({load})"
            ),
            Self::Spread { spread } => {
                write!(f, "the row would touch fewer than {spread} failure domains")
            }
            Self::MoveCost { load, kept } => write!(
                f,
                "it could be, but {kept} copies of the row stay where they were ({load})"
            ),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.partition)?;
        for (place, (id, reason)) in self.copies.iter().enumerate() {
            let role = if place == 0 { "primary" } else { "replica" };
            writeln!(f, "  {id} ({role}): {reason}")?;
        }
        for (id, departure) in &self.departed {
            writeln!(f, "  {id}: {departure}")?;
        }
        if let Some(before) = &self.primary_before {
            writeln!(f, "  the primary was {before}")?;
        }
        Ok(())
    }
}
