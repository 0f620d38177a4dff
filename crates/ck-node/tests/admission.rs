//! Being admitted: by invitation, with a secret, and again after an answer was lost.

mod support;

use ck_control::{ConfigChange, Generation};
use ck_node::{Handle, Itself, JoinRequest, Operation, Outcome, Secret, Secrets};
use support::{World, eventually};

/// What a member would say at its present start.
fn said_by(handle: &Handle, node: &str, secret: Option<Secret>) -> JoinRequest {
    let state = handle.state();
    let member = state.member_by_node(node).unwrap();
    let open = state.open_session_of(node);
    JoinRequest {
        node: member.node.clone(),
        display_name: member.display_name.clone(),
        cluster_name: None,
        peer_address: member.peer_address.clone(),
        http_address: member.http_address.clone(),
        weight: None,
        domain: None,
        services: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        itself: Some(Itself {
            homes: Vec::new(),
            stopped: None,
            process: open.map_or(ck_control::Nonce(1), |session| session.process),
            store: member.store,
            generation: member.generation,
            member: Some(member.number),
            previous: None,
            durable: true,
            served: None,
            choices: ck_control::ConfigChoices::default(),
            command_version: ck_control::COMMAND_VERSION,
            secret,
        }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_node_can_be_announced_by_an_operator() {
    let world = World::new(15);
    let handles = world.cluster(3).await;
    let mut waiting = world.config(9, 0);
    waiting.join = vec!["nowhere:1".to_owned()];
    let ninth = world.start(9, waiting).await.unwrap();
    let request = |address: &str| {
        Operation::Join(JoinRequest {
            node: "node-9".parse().unwrap(),
            display_name: "Server-9".to_owned(),
            cluster_name: None,
            peer_address: address.to_owned(),
            http_address: String::new(),
            weight: Some(3),
            domain: None,
            services: [("kv".to_owned(), "127.0.0.1:9".to_owned())].into(),
            labels: std::collections::BTreeMap::new(),
            itself: None,
        })
    };
    for (address, code) in [("nobody:1", "node-unreachable"), ("node-2:1", "wrong-node")] {
        let refused = handles[1]
            .execute(request(address), "operator")
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    assert_eq!(handles[0].nodes().len(), 3, "nothing was admitted");
    for _ in 0..2 {
        handles[2]
            .execute(request("node-9:1"), "operator")
            .await
            .unwrap();
    }
    eventually("it has joined", || ninth.status().session.is_some()).await;
    eventually("what the operator said of it counts", || {
        let state = ninth.state();
        let member = state.member_by_node("node-9").unwrap();
        member.weight == 3 && member.services.len() == 1 && member.display_name == "Server-9"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarded_cluster_admits_only_who_shows_the_secret() {
    let world = World::new(17);
    let guarded = |number: usize, secret: Option<&str>| {
        let mut config = world.config(number, if number == 1 { 1 } else { 2 });
        config.secrets = Secrets::new(secret.map(Secret::new));
        config
    };
    let first = world
        .start(1, guarded(1, Some("open sesame")))
        .await
        .unwrap();
    eventually("it leads", || first.status().session.is_some()).await;
    for (number, shown) in [(2, None), (3, Some("open sesamf"))] {
        let mut config = guarded(number, shown);
        config.join = vec![support::address(1)];
        let failure = world
            .start(number, config)
            .await
            .unwrap()
            .terminated()
            .await
            .failure;
        let failure = failure.unwrap();
        assert!(
            failure.contains("--token-file") && !failure.contains("sesam"),
            "{failure}"
        );
    }
    assert_eq!(first.nodes().len(), 1);
    let mut config = guarded(4, Some("open sesame"));
    config.join = vec![support::address(1)];
    let fourth = world.start(4, config.clone()).await.unwrap();
    eventually("it is a member", || fourth.status().session.is_some()).await;
    fourth.stop().await;
    drop(fourth);
    let stranger = JoinRequest {
        node: "node-5".parse().unwrap(),
        peer_address: support::address(5),
        ..said_by(&first, "node-1", Some(Secret::new("guessed")))
    };
    let refused = first
        .execute(Operation::Register(stranger), "node-5")
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        "unauthorized",
        "who is no member has to show the right one"
    );
    config.secrets = Secrets::default();
    let failure = world
        .restart(4, config)
        .await
        .terminated()
        .await
        .failure
        .unwrap();
    assert!(failure.contains("--token-file"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_whose_answer_was_lost_is_answered_again() {
    let world = World::new(19);
    let handles = world.cluster(3).await;
    let open = handles[0].state().member_by_node("node-2").unwrap().session;
    for operation in [Operation::Register, Operation::Join] {
        let again = operation(said_by(&handles[0], "node-2", None));
        let Outcome::Joined(joined) = handles[1].execute(again, "node-2").await.unwrap() else {
            panic!("another outcome");
        };
        assert_eq!(
            joined.session, open,
            "the session of this start is still the same"
        );
    }
    let mut other = said_by(&handles[0], "node-2", None);
    other.itself.as_mut().unwrap().process = ck_control::Nonce(1);
    let refused = handles[1]
        .execute(Operation::Register(other.clone()), "node-2")
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        "store-old",
        "a start has one process, and it is not this one"
    );
    let mut later = other.clone();
    later.itself.as_mut().unwrap().generation = Generation(2);
    let refused = handles[1]
        .execute(Operation::Register(later), "node-2")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "session-open", "it is not that process's");
    let mut older = other.clone();
    older.itself.as_mut().unwrap().generation = Generation(0);
    let refused = handles[1]
        .execute(Operation::Register(older), "node-2")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "generation-old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_does_not_keep_members_from_coming_back() {
    let world = World::new(21);
    let named = |number| {
        let mut config = world.config(number, 3);
        config.choices.replication_factor = Some(3);
        config
    };
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.start(number, named(number)).await.unwrap());
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    let change = ConfigChange {
        replication_factor: Some(2),
        ..ConfigChange::default()
    };
    handles[0].configure(change).await.unwrap();
    handles.pop().unwrap().stop().await;
    let third = world.restart(3, named(3)).await;
    eventually("it is back", || third.unready().is_empty()).await;
    let mut fixed = named(3);
    fixed.choices.partitions = Some(65);
    third.stop().await;
    drop(third);
    let failed = world.restart(3, fixed).await;
    let failure = failed.terminated().await.failure.unwrap();
    assert!(
        failure.contains("65") && failure.contains("64"),
        "{failure}"
    );
    failed.stop().await;
    let told_again = failed.terminated().await.failure;
    assert_eq!(
        told_again,
        Some(failure),
        "a stop afterwards does not hide why it ended"
    );
}
