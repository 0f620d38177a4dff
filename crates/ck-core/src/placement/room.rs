//! What caps leave room for.

use alloc::vec;

use crate::Spec;
use crate::placement::members::{Member, Need};

/// The most that every row can hold at once: as many copies as there is room for, then as many
/// domains. Without caps, what the spec asks for.
///
/// A domain that may hold K copies reaches min(K, P) of the P rows; what it holds beyond that
/// shares a row with another of its copies, of which a row of c copies in d domains has c − d at
/// most. So rows of (c, d) exist exactly when Σ min(K, P) + min(Σ (K − P)⁺, (c − d)P) ≥ cP.
pub(super) fn limit(list: &[Member<'_>], domains: u32, spec: &Spec) -> Need {
    let asked = Need {
        copies: spec.replication_factor(),
        domains: spec.spread(),
    };
    if list.iter().all(|member| member.node.max_copies.is_none()) {
        return asked;
    }
    let rows = u64::from(spec.partitions());
    let mut room = vec![0_u64; domains as usize];
    for member in list {
        room[member.domain as usize] += u64::from(member.cap);
    }
    let (mut reach, mut beyond) = (0, 0);
    for room in room {
        reach += room.min(rows);
        beyond += room.saturating_sub(rows);
    }
    let fits = |copies: u8, domains: u8| {
        let shared = beyond.min(u64::from(copies - domains) * rows);
        reach + shared >= u64::from(copies) * rows
    };
    let copies = (1..=asked.copies)
        .rev()
        .find(|copies| fits(*copies, 1))
        .unwrap_or(0);
    let most = asked.domains.min(copies);
    let domains = (1..=most).rev().find(|domains| fits(copies, *domains));
    Need {
        copies,
        domains: domains.unwrap_or(0),
    }
}
