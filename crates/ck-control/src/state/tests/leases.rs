//! A lease that was made shorter, and the longer one that is waited for meanwhile.

use super::world::{World, config};
use crate::state::{Command, MoveRejection, Rejection};
use crate::{LeaseTerms, OfficeId, Position, Profile};

#[test]
fn only_the_last_office_says_that_the_longer_lease_has_run_out_and_only_of_that_one() {
    let mut world = World::of(3, config(4, 3));
    let terms = LeaseTerms::of(Profile::Fast);
    world.ok(Command::SetLease { terms });
    let since = world.state.past_lease().unwrap().since;
    let settled = |office, since| Command::LeaseSettled { office, since };
    let office = world.office();
    let refused = world.refused(settled(OfficeId(office.0 - 1), since));
    assert!(matches!(refused, Rejection::OfficePast { .. }), "{refused}");
    let other = Position(since.0 - 1);
    let refused = world.refused(settled(office, other));
    let none = |since| Rejection::Move(MoveRejection::NoPastLease { since });
    assert_eq!(refused, none(other));
    world.ok(settled(office, since));
    assert_eq!(world.state.past_lease(), None);
    assert_eq!(world.refused(settled(office, since)), none(since));
}
