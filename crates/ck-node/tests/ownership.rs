//! Who may act: leases, failover and handoff, on real nodes and a network in memory.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ck_control::{Mode, PartitionState};
use ck_core::PartitionId;
use ck_node::{Handle, NotOwner, Operation};
use support::owners::{PARTITIONS, all_owned, cut_off, leader_of, owners, partitions};
use support::{World, eventually, three_voters};

/// Watches from a thread of its own whether two nodes ever hold a proof of one partition at once.
struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<(u64, Vec<String>)>>,
}

impl Watch {
    fn begin(handles: &[Handle]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, handles) = (Arc::clone(&over), handles.to_vec());
        let thread = std::thread::spawn(move || {
            let (mut looks, mut overlaps) = (0, Vec::new());
            while !ends.load(Ordering::SeqCst) {
                for partition in partitions() {
                    looks += 1;
                    // Proofs that are held together were valid together: the first one was
                    // checked, and then the second while its node still vouched for the first.
                    let owned: Vec<_> = handles
                        .iter()
                        .filter_map(|handle| handle.acquire(partition).ok())
                        .collect();
                    let proofs: Vec<_> = owned.iter().filter_map(|own| own.check().ok()).collect();
                    let still = owned.iter().filter(|own| own.check().is_ok()).count();
                    if proofs.len() > 1 && still > 1 {
                        overlaps.push(format!("{partition}: {proofs:?}"));
                    }
                }
            }
            (looks, overlaps)
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        let (looks, overlaps) = self.thread.take().unwrap().join().unwrap();
        assert!(overlaps.is_empty(), "{overlaps:?}");
        looks
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_partition_is_owned_by_its_primary_and_by_nobody_else() {
    let world = World::new(30);
    let handles = world.cluster(3).await;
    eventually("all are owned", || all_owned(&handles)).await;
    for partition in partitions() {
        let [(at, _)] = owners(&handles, partition)[..] else {
            panic!("one owner")
        };
        assert_eq!(
            handles[at].primary(partition).as_ref(),
            Some(handles[at].node_id())
        );
        assert!(handles[at].owns(partition));
        let other = &handles[(at + 1) % 3];
        assert!(!other.owns(partition));
        assert_eq!(
            other.acquire(partition).unwrap_err(),
            NotOwner::Elsewhere {
                partition,
                primary: Some(handles[at].node_id().clone()),
            }
        );
    }
    let owned = handles[0].owned().await.unwrap();
    assert!(owned.lease_remaining > Duration::ZERO);
    assert_eq!(owned.session, handles[0].status().session);
    assert!(
        owned
            .tokens
            .iter()
            .all(|token| handles[0].owns(token.partition))
    );
    assert!((21..=22).contains(&owned.tokens.len()));
    let unknown = handles[0].acquire(PartitionId(PARTITIONS)).unwrap_err();
    assert!(matches!(
        unknown,
        NotOwner::Unknown {
            partitions: PARTITIONS,
            ..
        }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_minority_drops_every_claim_before_others_take_over_and_comes_back() {
    let world = World::new(31);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    let mut failed_over = 0;
    for round in 0..2 {
        // Once a follower, once the leader.
        let leader = leader_of(&handles);
        let at = if round == 0 { (leader + 1) % 3 } else { leader };
        let held: Vec<_> = partitions().filter(|one| handles[at].owns(*one)).collect();
        assert!(!held.is_empty());
        let watch = Watch::begin(&handles);
        cut_off(&world, at, 3);
        let began = Instant::now();
        eventually("others own what it had", || {
            held.iter().all(|partition| {
                let owners = owners(&handles, *partition);
                owners.len() == 1 && owners[0].0 != at
            })
        })
        .await;
        let took = began.elapsed();
        assert!(
            took > Duration::from_millis(1_500),
            "no lease was waited for: {took:?}"
        );
        assert!(held.iter().all(|one| !handles[at].owns(*one)));
        assert!(watch.end() > 1_000);
        failed_over += held.len() as u64;
        assert_failovers(&handles, failed_over);
        world.network.heal_all();
        eventually("it is back, in sync and with roles", || {
            let state = handles[at].state();
            handles[at].unready().is_empty()
                && partitions().all(|one| state.partition_state(one) == PartitionState::Stable)
                && partitions().any(|one| handles[at].owns(one))
        })
        .await;
    }
    // What was given back, and an office that was cut off, count for nothing.
    assert_failovers(&handles, failed_over);
}

/// The nodes together know of so many failovers, and how long each took.
#[track_caller]
fn assert_failovers(handles: &[Handle], count: u64) {
    let all = || handles.iter().map(Handle::failover_figures);
    let granted = || all().map(|figures| figures.granted);
    assert_eq!(granted().map(|one| one.count()).sum::<u64>(), count);
    assert_eq!(all().map(|one| one.begun.count()).sum::<u64>(), count);
    // A whole lease × 1.05 was waited from the last sign of life.
    let waited = Duration::from_millis(2_100);
    let total: Duration = granted().map(|one| one.total()).sum();
    let count = u32::try_from(count).unwrap();
    assert!(total >= waited * count, "{total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hands_every_role_over_without_waiting_for_a_lease() {
    let world = World::new(32);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    let at = (leader_of(&handles) + 1) % 3;
    let held: Vec<_> = partitions().filter(|one| handles[at].owns(*one)).collect();
    let watch = Watch::begin(&handles);
    let mut longest = Duration::ZERO;
    let stopping = handles[at].clone();
    let stop = tokio::spawn(async move { stopping.stop().await });
    let mut unowned: BTreeMap<PartitionId, Instant> = BTreeMap::new();
    while !stop.is_finished() {
        for partition in &held {
            if owners(&handles, *partition).is_empty() {
                unowned.entry(*partition).or_insert_with(Instant::now);
            } else if let Some(since) = unowned.remove(partition) {
                longest = longest.max(since.elapsed());
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(stop.await.unwrap(), "the end of the session is committed");
    eventually("the others own them", || {
        held.iter().all(|one| !owners(&handles, *one).is_empty())
    })
    .await;
    assert!(watch.end() > 1_000);
    // A lease is 2 s: far from waited for, however loaded the machine is.
    assert!(
        longest < Duration::from_millis(1_500),
        "{longest:?} without an owner"
    );
    println!(
        "longest without an owner: {longest:?}, {} handed over",
        held.len()
    );
}

/// A proof that is held keeps the role where it is; once dropped, the role goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_not_given_up_while_a_proof_is_held() {
    let world = World::new(33);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    let at = (leader_of(&handles) + 1) % 3;
    let partition = partitions().find(|one| handles[at].owns(*one)).unwrap();
    let own = handles[at].acquire(partition).unwrap();
    let proof = own.check().unwrap();
    let stopping = handles[at].clone();
    let stop = tokio::spawn(async move { stopping.stop().await });
    eventually("its gate is shut", || own.check().is_err()).await;
    eventually("the other roles have gone", || {
        partitions()
            .filter(|one| *one != partition)
            .all(|one| !handles[at].owns(one))
    })
    .await;
    let elsewhere = |handles: &[Handle]| {
        owners(handles, partition)
            .iter()
            .any(|(owner, _)| *owner != at)
    };
    assert!(!elsewhere(&handles), "an effect may be under way");
    let epoch = proof.token().epoch;
    drop(proof);
    eventually("the role has gone", || elsewhere(&handles)).await;
    assert!(stop.await.unwrap());
    let [(_, next)] = owners(&handles, partition)[..] else {
        panic!("one owner")
    };
    assert!(next > epoch.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_a_node_boots_and_routes_from_its_disk_and_owns_nothing() {
    let world = World::new(37);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    let rows = handles[0].partitions();
    for handle in &handles {
        handle.stop().await;
    }
    drop(handles);
    let alone = world.restart(2, world.config(2, 3)).await;
    eventually("it routes", || alone.partitions().len() == rows.len()).await;
    let copies =
        |rows: &[ck_node::Partition]| rows.iter().map(|row| row.replicas.len()).sum::<usize>();
    assert_eq!(copies(&alone.partitions()), copies(&rows));
    assert!(alone.partition_for_key(b"user:1001").is_some());
    assert!(!alone.unready().is_empty());
    assert!(partitions().all(|one| !alone.owns(one)));
    assert!(alone.owned().await.unwrap().tokens.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_lost_for_longer_than_the_grace_gives_its_vote_to_another_member() {
    let world = World::new(38);
    let mut handles = Vec::new();
    for number in 1..=4 {
        let mut config = world.config(number, 4);
        config.choices.rejoin_grace_ms = Some(500);
        handles.push(world.start(number, config).await.unwrap());
    }
    for handle in &handles {
        eventually("ready", || handle.unready().is_empty()).await;
    }
    eventually("three voters", || handles[0].status().voters.len() == 3).await;
    let status = handles[0].status();
    let leader = handles[leader_of(&handles)].member();
    let voter = *status
        .voters
        .iter()
        .find(|one| Some(**one) != leader)
        .unwrap();
    let at = |member| {
        handles
            .iter()
            .position(|handle| handle.member() == Some(member))
    };
    let lost = at(voter).unwrap();
    cut_off(&world, lost, 4);
    let others: Vec<&Handle> = (0..4)
        .filter(|at| *at != lost)
        .map(|at| &handles[at])
        .collect();
    eventually("another one votes", || {
        let status = others[0].status();
        status.voters.len() == 3 && !status.voters.contains(&voter) && !status.joint
    })
    .await;
    // Its copies are elsewhere by then: four nodes hold three copies of each.
    eventually("the copies are complete again", || {
        let state = others[0].state();
        partitions().all(|one| state.partition_state(one) == PartitionState::Stable)
    })
    .await;
    assert_eq!(
        others[0].partitions_of(handles[lost].node_id().as_str()),
        []
    );
    world.network.heal_all();
    eventually("it is back, without a vote", || {
        handles[lost].unready().is_empty() && others[0].status().voters.len() == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advisory_cluster_gives_routes_until_its_mode_is_raised() {
    let world = World::new(40);
    let mut config = world.config(1, 1);
    config.choices.replication_factor = Some(1);
    config.choices.mode = Some(Mode::Advisory);
    let handle = world.start(1, config).await.unwrap();
    eventually("ready", || handle.unready().is_empty()).await;
    let one = PartitionId(0);
    assert!(handle.is_primary(one));
    assert_eq!(handle.acquire(one).unwrap_err(), NotOwner::Advisory);
    assert!(!handle.owns(one));
    assert!(handle.owned().await.unwrap().tokens.is_empty());
    let mode = Mode::Fenced;
    handle
        .execute(Operation::SetMode { mode }, "operator")
        .await
        .unwrap();
    // It holds once every session has applied it.
    eventually("it may act", || handle.acquire(one).is_ok()).await;
    assert_eq!(handle.state().config().mode, Mode::Fenced);
    assert_eq!(
        handle.owned().await.unwrap().tokens.len(),
        PARTITIONS as usize
    );
}
