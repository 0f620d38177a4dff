//! A data directory that was copied, so that two processes have one identity, or moved.

mod support;

use std::path::Path;

use ck_control::{Home, Profile};
use ck_node::{Config, Handle, Role, StartError};
use support::owners::{all_owned, cut_off, leader_of, owners, partitions};
use support::{World, eventually, three_voters};

/// Copies a directory of plain files.
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn fast(world: &World, number: usize) -> Config {
    let mut config = world.config(number, 3);
    config.choices.profile = Some(Profile::Fast);
    config
}

/// Three nodes, of which the third was stopped, copied to the place of a fourth, and started again.
async fn with_a_copy(world: &World) -> (Vec<Handle>, Config) {
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.start(number, fast(world, number)).await.unwrap());
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    three_voters(&handles).await;
    handles.pop().unwrap().stop().await;
    // Everything it wrote is on its disk: what is copied is whole.
    copy_directory(&world.data(3), &world.data(4));
    handles.push(world.restart(3, fast(world, 3)).await);
    ready(&handles[2]).await;
    eventually("every partition is owned", || all_owned(&handles)).await;
    let mut copy = fast(world, 4);
    copy.node = "node-3".parse().unwrap();
    (handles, copy)
}

/// Nobody owns what another owns, at any look; `copy` is the last.
fn nothing_owned_twice(handles: &[Handle]) {
    for partition in partitions() {
        let owners = owners(handles, partition);
        assert!(owners.len() <= 1, "{partition}: {owners:?}");
    }
}

async fn ready(handle: &Handle) {
    eventually("it is ready", || handle.unready().is_empty()).await;
}

/// The copy ends, and nothing is owned twice until then; returns what it said.
async fn ends(handles: &[Handle], copy: &Handle) -> String {
    let all: Vec<Handle> = handles.iter().chain([copy]).cloned().collect();
    eventually("the copy has ended", || {
        nothing_owned_twice(&all);
        assert_eq!(copy.status().session, None);
        assert!(partitions().all(|partition| copy.acquire(partition).is_err()));
        !copy.is_healthy()
    })
    .await;
    copy.terminated().await.failure.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_from_before_the_originals_start_is_refused_for_good() {
    let world = World::new(61);
    let (handles, copied) = with_a_copy(&world).await;
    let session = handles[2].status().session;
    // The original's lease is good, but it is heard by nobody.
    cut_off(&world, 2, 3);
    let (original, theirs) = (support::address(3), support::address(4));
    world.network.partition(&[&original], &[&theirs]);
    let copy = world.start(4, copied).await.unwrap();
    let failure = ends(&handles, &copy).await;
    assert!(
        failure.contains("is a copy") && failure.contains("ck remove node-3"),
        "{failure}"
    );
    world.network.heal_all();
    eventually("the original goes on", || {
        handles[2].status().session >= session && all_owned(&handles)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_put_back_over_itself_to_before_the_newest_start_is_refused() {
    let world = World::new(64);
    let (mut handles, _) = with_a_copy(&world).await;
    // What was kept is from before the third's newest start, and is written into the same file.
    handles.pop().unwrap().stop().await;
    let file = world.data(3).join("node.redb");
    eventually("the store is let go of", || {
        std::fs::File::open(&file).unwrap().try_lock().is_ok()
    })
    .await;
    copy_directory(&world.data(4), &world.data(3));
    let put_back = world.restart(3, fast(&world, 3)).await;
    let failure = ends(&handles, &put_back).await;
    assert!(
        failure.contains("is a copy") && failure.contains("ck remove node-3"),
        "{failure}"
    );
}

/// A copy of a store that is in use may be torn; then it is made again.
async fn start_live_copy(world: &World, of: usize, copied: Config) -> Handle {
    for _ in 0..20 {
        let _ = std::fs::remove_dir_all(world.data(4));
        copy_directory(&world.data(of), &world.data(4));
        match world.start(4, copied.clone()).await {
            Ok(copy) => return copy,
            Err(StartError::Store(_)) => {}
            Err(source) => panic!("{source}"),
        }
    }
    panic!("every copy was torn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_running_original_gets_no_session_and_ends_itself() {
    let world = World::new(62);
    let (handles, copied) = with_a_copy(&world).await;
    let session = handles[2].status().session;
    let copy = start_live_copy(&world, 3, copied).await;
    let failure = ends(&handles, &copy).await;
    assert!(
        failure.contains("another process") && failure.contains("is a copy"),
        "{failure}"
    );
    assert_eq!(handles[2].status().session, session, "it was not disturbed");
    eventually("all is owned as before", || all_owned(&handles)).await;
}

/// Three nodes that own everything, which of them leads, and the configuration of a copy of that one.
async fn with_a_leader(world: &World) -> (Vec<Handle>, usize, Config) {
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.start(number, fast(world, number)).await.unwrap());
    }
    for handle in &handles {
        ready(handle).await;
    }
    three_voters(&handles).await;
    eventually("every partition is owned", || all_owned(&handles)).await;
    let leader = leader_of(&handles);
    let mut copied = fast(world, 4);
    copied.node = handles[leader].node_id().clone();
    (handles, leader, copied)
}

/// What is copied is the vote that made the original the leader, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_running_leader_owns_nothing_while_the_leader_lives() {
    let world = World::new(65);
    let (handles, leader, copied) = with_a_leader(&world).await;
    let copy = start_live_copy(&world, leader + 1, copied).await;
    let failure = ends(&handles, &copy).await;
    assert!(failure.contains("another process"), "{failure}");
    assert!(handles.iter().all(Handle::is_healthy));
    eventually("all is owned as before", || all_owned(&handles)).await;
}

/// The voters hear the copy while the leader is cut off, and elect it under the leader's number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_does_not_take_the_election_of_its_copy_for_its_own() {
    let world = World::new(66);
    let (handles, leader, copied) = with_a_leader(&world).await;
    let copy = start_live_copy(&world, leader + 1, copied).await;
    for at in 0..3 {
        cut_off(&world, at, 3);
    }
    eventually("the copy leads", || copy.status().role == Role::Leader).await;
    world.network.heal_all();
    let all: Vec<Handle> = handles.iter().chain([&copy]).cloned().collect();
    eventually(
        "the copy is the node, and the leader from before owns nothing",
        || {
            nothing_owned_twice(&all);
            copy.status().session.is_some()
                && all_owned(&all)
                && partitions().all(|partition| handles[leader].acquire(partition).is_err())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_same_place_keeps_its_home_and_a_copy_has_another() {
    let world = World::new(63);
    let home = |handle: &Handle| -> Option<Home> {
        let state = handle.state();
        state.member_by_node("node-1")?.home
    };
    let mut alone = fast(&world, 1);
    alone.join = Vec::new();
    let first = world.start(1, alone.clone()).await.unwrap();
    eventually("it is ready", || first.status().session.is_some()).await;
    let at_home = home(&first);
    assert!(at_home.is_some(), "the system tells where a file is");
    first.stop().await;
    drop(first);
    let first = world.restart(1, alone.clone()).await;
    eventually("it is back", || first.status().session.is_some()).await;
    assert_eq!(home(&first), at_home);
    first.stop().await;
    copy_directory(&world.data(1), &world.data(4));
    alone.data = world.data(4);
    let copy = world.restart(1, alone).await;
    eventually("the copy is up", || {
        copy.status().session.is_some() && home(&copy) != at_home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_was_moved_comes_back_at_its_new_address() {
    let world = World::new(64);
    let mut handles = world.cluster(3).await;
    three_voters(&handles).await;
    // The third to be started need not be the third to join.
    let member = handles[2].member();
    handles.pop().unwrap().stop().await;
    std::fs::rename(world.data(3), world.data(4)).unwrap();
    let mut moved = world.config(3, 3);
    moved.data = world.data(4);
    handles.push(world.restart(4, moved).await);
    ready(&handles[2]).await;
    assert_eq!(handles[2].member(), member);
    eventually("every partition is owned", || all_owned(&handles)).await;
}
