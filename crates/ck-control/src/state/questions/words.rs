//! The answers as sentences, each with what may be done about it.

use core::fmt;

use ck_core::NodeId;

use super::{Finding, Obstacle, StopHazard, WaitsFor};

/// Names after one another.
struct Names<'a>(&'a [NodeId]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, node) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{node}")?;
        }
        Ok(())
    }
}

fn name(node: Option<&NodeId>) -> &str {
    node.map_or("a node that is gone", NodeId::as_str)
}

impl fmt::Display for StopHazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastCopy => f.write_str(
                "no other node that is up has a copy in sync; wait until another one has caught up",
            ),
            Self::MinInSync { left, least } => write!(
                f,
                "{left} copies in sync would be left, min_in_sync is {least}; wait until another \
                 one has caught up"
            ),
        }
    }
}

impl WaitsFor {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Copy => "copy",
            Self::CatchUp => "catch-up",
            Self::Brake => "brake",
            Self::Release => "release",
            Self::Lease => "lease",
            Self::Activation => "activation",
            Self::Grace => "grace",
        }
    }
}

/// Whom a move waits for, in words.
pub(super) fn waits(
    f: &mut fmt::Formatter<'_>,
    waits_for: WaitsFor,
    source: Option<&NodeId>,
    target: Option<&NodeId>,
) -> fmt::Result {
    let (source, target) = (name(source), name(target));
    match waits_for {
        WaitsFor::Operator => f.write_str("an operator holds it back; `ck resume`"),
        WaitsFor::Copy => write!(f, "waits for {target} to copy from {source}"),
        WaitsFor::CatchUp => write!(f, "waits for {target} to get in sync"),
        WaitsFor::Brake => f.write_str("waits for the brake"),
        WaitsFor::Release => write!(f, "waits for {source} to give the role up"),
        WaitsFor::Lease => write!(f, "waits for the lease of {source} to run out"),
        WaitsFor::Activation => write!(f, "waits for {target} to serve"),
        WaitsFor::Grace => write!(
            f,
            "the old copy at {source} stays for some seconds, for callers that still ask there"
        ),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastKnown { nodes } => write!(
                f,
                "every node with all writes is away: start one of {}, or `ck promote` another and \
                 lose what it lacks",
                Names(nodes)
            ),
            Self::Unproven { nodes } => write!(
                f,
                "{} came back without proof of having every write; `ck promote` makes one primary",
                Names(nodes)
            ),
            Self::NoPrimary => f.write_str("nobody may act on it"),
            Self::Down {
                node,
                stopped: true,
            } => write!(f, "{node} is stopped"),
            Self::Down { node, .. } => write!(f, "{node} is down"),
            Self::Stale { node } => write!(f, "the copy of {node} is not in sync yet"),
            Self::FewCopies { have, want } => {
                write!(f, "{have} copies, {want} are wanted")
            }
            Self::Moving {
                stage,
                waits_for,
                target,
                source,
            } => {
                write!(f, "moving to {} ({stage}): ", name(target.as_ref()))?;
                waits(f, *waits_for, source.as_ref(), target.as_ref())
            }
            Self::PlanPaused => f.write_str("its plan is paused; `ck resume`"),
            Self::Limit { node, max } => write!(
                f,
                "its plan waits: {node} takes part in {max} moves, the most allowed \
                 (max_transfers_per_node)"
            ),
            Self::TargetAway { node } => write!(f, "its plan waits for {node}, which is not up"),
            Self::Planned { trigger } => {
                write!(f, "the plan under way ({trigger}) has not come to it yet")
            }
            Self::Braked { lost } => write!(
                f,
                "{lost} nodes were lost at once, so nothing is moved; `ck resume --brake` when \
                 that is understood"
            ),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsPrimary => f.write_str("it is the primary"),
            Self::NotGranted => f.write_str("nobody may act on the partition at present"),
            Self::HasCopy { primary } => write!(
                f,
                "it has a copy; {} is the primary",
                name(primary.as_ref())
            ),
            Self::Closing => f.write_str("it is being removed"),
            Self::State(state) => write!(f, "it is {state} and takes nothing new; `ck uncordon`"),
            Self::NoSession { stopped: true } => f.write_str("it is stopped; start it"),
            Self::NoSession { .. } => f.write_str("it is down; start it"),
            Self::NotInSync => f.write_str("its copy is not in sync yet"),
            Self::Unproven => f.write_str(
                "it came back without proof of having every write; `ck promote` makes it primary",
            ),
            Self::OnItsWay { stage } => write!(f, "it is on its way here ({stage})"),
            Self::OtherMove { stage, target } => {
                let target = name(target.as_ref());
                write!(f, "a move to {target} is under way ({stage})")
            }
            Self::Planned { paused: true } => {
                f.write_str("the plan brings it here, but is paused; `ck resume`")
            }
            Self::Planned { .. } => f.write_str("the plan under way brings it here"),
            Self::Limit { max } => write!(
                f,
                "it takes part in {max} moves, the most allowed (max_transfers_per_node)"
            ),
            Self::Braked { lost } => write!(f, "{lost} nodes were lost at once: nothing is moved"),
            Self::SharesDomain { domain, with } => {
                write!(f, "{with} has a copy in the same failure domain {domain}")
            }
            Self::Planner(why) => fmt::Display::fmt(why, f),
        }
    }
}
