//! One published state, and the bodies made from it so far.
//!
//! A state never changes once published, so whatever is made from it is made once and answered
//! until the next one comes. Bodies are made when first asked for, never ahead.

use std::sync::OnceLock;

use ck_api::TableAnswer;
use ck_control::{Member, PartitionState, State};
use ck_core::{NodeState, PartitionId};
use hyper::header::HeaderValue;

use crate::backend::Observed;
use crate::render;
use crate::reply::Rendered;
use crate::table::{self, Coding, Form, Place};

/// Most partitions whose single answers are kept; with more they are made each time.
const KEPT_MAX: u32 = 1 << 16;

/// Every state of a partition, the one in which nobody may act last.
pub(crate) const STATES: [PartitionState; 4] = [
    PartitionState::Stable,
    PartitionState::Moving,
    PartitionState::Degraded,
    PartitionState::Unavailable,
];

/// One published state, and the bodies made from it so far.
pub(crate) struct View {
    state: Observed,
    version: HeaderValue,
    list: OnceLock<Rendered>,
    stats: OnceLock<Rendered>,
    routes: OnceLock<Box<[OnceLock<Box<Rendered>>]>>,
    by_state: OnceLock<[u64; 4]>,
    table: OnceLock<TableAnswer>,
    /// The table in each form and coding.
    tables: [[OnceLock<Rendered>; 3]; 2],
}

impl View {
    pub(crate) fn new(state: Observed) -> Self {
        let version = format!("{}.{}", state.incarnation(), state.version());
        Self {
            state,
            version: HeaderValue::from_str(&version).expect("digits and a dot are visible ASCII"),
            list: OnceLock::new(),
            stats: OnceLock::new(),
            routes: OnceLock::new(),
            by_state: OnceLock::new(),
            table: OnceLock::new(),
            tables: Default::default(),
        }
    }

    /// Whether it was made from that very state.
    pub(crate) fn is_of(&self, state: &Observed) -> bool {
        self.state.is_same(state)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// `incarnation.version`, for the header.
    pub(crate) fn version(&self) -> HeaderValue {
        self.version.clone()
    }

    /// A body made from the table.
    pub(crate) fn rendered(&self, body: Vec<u8>) -> Rendered {
        Rendered::of_table(&self.version, body)
    }

    /// All partitions.
    pub(crate) fn list(&self) -> &Rendered {
        self.list
            .get_or_init(|| self.rendered(render::all(&self.state)))
    }

    /// How they are spread.
    pub(crate) fn stats(&self) -> &Rendered {
        self.stats
            .get_or_init(|| self.rendered(render::stats(&self.state, self.by_state())))
    }

    /// Where one partition is: what a look-up by key answers. Calls `with` on it.
    pub(crate) fn route<T>(&self, id: PartitionId, with: impl FnOnce(&Rendered) -> T) -> T {
        let make = || self.rendered(render::route(&self.state, id));
        let count = self.state.table().map_or(0, |table| table.partitions());
        if count > KEPT_MAX || id.0 >= count {
            return with(&make());
        }
        let routes = self
            .routes
            .get_or_init(|| (0..count).map(|_| OnceLock::new()).collect());
        with(routes[id.index()].get_or_init(|| Box::new(make())))
    }

    /// Where the table stands.
    pub(crate) fn place(&self) -> Place {
        Place {
            incarnation: self.state.incarnation().0,
            version: self.state.version().0,
        }
    }

    /// The whole table in a form.
    pub(crate) fn table(&self, form: Form, coding: Coding) -> &Rendered {
        self.tables[form as usize][coding as usize].get_or_init(|| {
            let table = self.table.get_or_init(|| table::image(&self.state));
            table::rendered(&self.version, table, form, coding)
        })
    }

    /// Partitions in each state, in the order of [`STATES`].
    pub(crate) fn by_state(&self) -> &[u64; 4] {
        self.by_state.get_or_init(|| {
            let mut counts = [0; 4];
            for (id, _) in self.state.partitions() {
                let state = self.state.partition_state(id);
                if let Some(at) = STATES.iter().position(|known| *known == state) {
                    counts[at] += 1;
                }
            }
            counts
        })
    }

    /// Partitions whose primary may act.
    pub(crate) fn valid_partitions(&self) -> u64 {
        self.partition_count() - self.by_state()[3]
    }

    pub(crate) fn partition_count(&self) -> u64 {
        self.state
            .table()
            .map_or(0, |table| table.partitions().into())
    }
}

/// The status of a node in one word; documented at `ck_api::Node::status`.
pub(crate) fn status_word(member: &Member) -> &'static str {
    if member.closing {
        return "closing";
    }
    match (member.session, member.state) {
        (Some(_), NodeState::Active) => "active",
        (Some(_), state) => state.name(),
        (None, _) if member.stopped_cleanly => "stopped",
        (None, _) => "down",
    }
}
