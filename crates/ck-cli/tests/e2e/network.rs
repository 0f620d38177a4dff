//! Cut cables and bad weather, in network namespaces that each test makes and removes. Skipped
//! with a word where that is not possible: it takes root.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use crate::support::net::Net;
use crate::support::owners::{Owners, assert_leads, leader, settle, wait_for_owners};
use crate::support::watch::Watch;
use crate::support::world::{World, in_namespaces};
use crate::support::{BOUND, Cluster, Server, wait_for};

const PARTITIONS: usize = 64;

/// From a cut to owners elsewhere: a whole lease, and for a consensus leader the election before;
/// what hears nothing may have been renewed by a connection that was half alive, for two leases
/// more. As much again for a machine that does other things as well.
const ELSEWHERE: Duration = Duration::from_secs(12);

fn all(cluster: &Cluster) -> Vec<&Server> {
    cluster.servers.iter().collect()
}

fn others(cluster: &Cluster, victim: usize) -> Vec<&Server> {
    let rest = cluster.servers.iter().enumerate();
    rest.filter(|(at, _)| *at != victim)
        .map(|(_, server)| server)
        .collect()
}

fn owned(owners: &Owners, node: &str) -> usize {
    owners.values().filter(|(owner, _)| owner == node).count()
}

/// Cuts a node off as `cut` says: the others own everything, nothing before the node's own lease
/// was over; then the network is whole again, and so is the cluster.
fn cut_and_heal(world: &mut World, victim: usize, cut: impl Fn(&mut Net, usize)) {
    let id = world.cluster.servers[victim].id.clone();
    let before = settle(PARTITIONS, &all(&world.cluster), BOUND);
    assert!(owned(&before, &id) > 0);
    // The test is at an end of its own, which stays whole: whoever is cut off still answers it.
    let watch = Watch::start(&world.cluster.servers);
    let begun = Instant::now();
    for other in (0..world.cluster.servers.len()).filter(|other| *other != victim) {
        cut(&mut world.net, other);
    }
    let during = wait_for_owners(PARTITIONS, &others(&world.cluster, victim), ELSEWHERE);
    let taken = Instant::now();
    eprintln!(
        "{id} cut off: all owned elsewhere after {:?}",
        begun.elapsed()
    );
    assert_eq!(owned(&during, &id), 0);
    // It answers still, and claims nothing.
    let claim = crate::support::watch::owned(&id, world.cluster.servers[victim].http, BOUND);
    assert!(claim.is_some_and(|claim| claim.owned.is_empty()));
    world.net.heal();
    let after = settle(PARTITIONS, &all(&world.cluster), BOUND);
    assert_leads(&world.cluster.servers[0], &after, &id);
    watch.stop().assert_outlasted(&id, taken);
}

fn both_ways(victim: usize) -> impl Fn(&mut Net, usize) {
    move |net, other| {
        net.cut(victim, other);
        net.cut(other, victim);
    }
}

#[test]
fn a_minority_that_is_cut_off_drops_every_claim_before_the_majority_grants() {
    in_namespaces(3, &[], |world| {
        let victim = (leader(&world.cluster.servers) + 1) % 3;
        cut_and_heal(world, victim, both_ways(victim));
    });
}

#[test]
fn a_consensus_leader_that_is_cut_off_drops_every_claim_before_the_majority_grants() {
    in_namespaces(3, &[], |world| {
        let victim = leader(&world.cluster.servers);
        cut_and_heal(world, victim, both_ways(victim));
    });
}

#[test]
fn a_node_that_hears_and_is_not_heard_loses_its_roles() {
    in_namespaces(3, &[], |world| {
        let victim = (leader(&world.cluster.servers) + 1) % 3;
        cut_and_heal(world, victim, |net, other| net.cut(victim, other));
    });
}

#[test]
fn a_node_that_is_heard_and_does_not_hear_loses_its_roles() {
    in_namespaces(3, &[], |world| {
        let victim = (leader(&world.cluster.servers) + 1) % 3;
        cut_and_heal(world, victim, |net, other| net.cut(other, victim));
    });
}

#[test]
fn a_consensus_leader_that_is_heard_and_does_not_hear_loses_its_roles() {
    in_namespaces(3, &[], |world| {
        let victim = leader(&world.cluster.servers);
        cut_and_heal(world, victim, |net, other| net.cut(other, victim));
    });
}

#[test]
fn bad_weather_moves_nothing_under_the_profile_made_for_it() {
    in_namespaces(3, &["--profile", "wan"], |world| {
        let before = settle(PARTITIONS, &all(&world.cluster), BOUND);
        let watch = Watch::start(&world.cluster.servers);
        world.net.weather(60, 40, 30);
        // Longer than a lease of that profile, so that every lease was renewed through it or is
        // over.
        std::thread::sleep(Duration::from_secs(12));
        let during = wait_for_owners(PARTITIONS, &all(&world.cluster), BOUND);
        assert_eq!(before, during, "nothing moves, not even to the same node");
        // A change is committed all the same.
        let key = "/v1/custom/in-the-rain";
        wait_for("a change is committed", BOUND, || {
            (world.cluster.servers[1].send("PUT", key, "x").status == 200).then_some(())
        });
        world.net.heal();
        assert_eq!(settle(PARTITIONS, &all(&world.cluster), BOUND), before);
        watch.stop().assert_no_gap(Duration::from_secs(1));
    });
}
