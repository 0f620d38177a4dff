//! Which number a new incarnation gets.

use ck_control::{Incarnation, MemberNumber};

/// Numbers to a second, one for each member that may begin an incarnation in it.
const PER_SECOND: u64 = 10_000;

/// The number of the incarnation that `member` begins at that time, in milliseconds since 1970: not below
/// `least`, later ones higher, and never what another member draws.
///
/// Two survivors that begin anew are two clusters, and what tells their fencing tokens apart is this
/// number: so it ends in the member's own, modulo [`PER_SECOND`].
pub(crate) fn drawn(at_ms: u64, member: MemberNumber, least: Incarnation) -> Incarnation {
    let floor = least.0.max((at_ms / 1000).saturating_mul(PER_SECOND));
    let own = member.0 % PER_SECOND;
    let ahead = (own + PER_SECOND - floor % PER_SECOND) % PER_SECOND;
    // Where no number is left it is refused by whoever compares it with those before.
    Incarnation(floor.saturating_add(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 1_795_000_000_123;

    fn draw(at_ms: u64, member: u64, least: u64) -> u64 {
        drawn(at_ms, MemberNumber(member), Incarnation(least)).0
    }

    #[test]
    fn members_draw_different_numbers_in_the_same_second_whatever_is_asked_for() {
        for least in [0, 1, 1_795_000_000, AT * 100, AT * 100 + 9_999] {
            let drawn: std::collections::BTreeSet<u64> =
                (1..=1_000).map(|member| draw(AT, member, least)).collect();
            assert_eq!(drawn.len(), 1_000, "least {least}");
            assert!(drawn.iter().all(|number| *number >= least));
        }
    }

    #[test]
    fn a_later_second_is_higher_and_so_is_what_comes_after_one_of_the_future() {
        assert_eq!(draw(AT, 3, 0), 17_950_000_000_003);
        assert!(draw(AT + 1_000, 1, 0) > draw(AT, 9_999, 0));
        let future = draw(AT, 3, AT * 1_000);
        assert!(draw(AT, 3, future + 1) > future);
        assert!(draw(AT, 2, future + 1) > future);
        assert_eq!(draw(AT, 2, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_number_is_exact_in_javascript() {
        // In the year 2500.
        assert!(draw(16_725_225_600_000, 9_999, 0) < 1 << 53);
    }
}
