//! The routing half, against a small data plane in this process.

mod plane;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ck_client::http::{Bytes, Request, Response};
use ck_client::{Repeat, Router, SendError};
use ck_core::PartitionId;
use ck_http::{Backend as _, Code, Newest, Problem};
use plane::{Plane, dead, hanging_up, partition, quiet};

fn get(key: &str) -> Request<Bytes> {
    let request = Request::get(format!("/kv/{key}"));
    request.body(Bytes::new()).unwrap()
}

fn put(key: &str) -> Request<Bytes> {
    let request = Request::put(format!("/kv/{key}"));
    request.body(Bytes::from_static(b"value")).unwrap()
}

#[track_caller]
fn by(answer: Result<Response<Bytes>, SendError>) -> String {
    let answer = answer.unwrap();
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert_eq!(answer.status(), 200, "{text}");
    text
}

#[tokio::test]
async fn every_request_goes_to_the_primary_of_its_key_at_once() {
    let plane = Plane::start(3, &[]).await;
    let router = plane.router().await;
    let mut reader = router.reader();
    assert_eq!(router.partitions(), Some(64));
    for at in 0..200 {
        let key = format!("key-{at}");
        let newest = plane.newest(&key);
        let route = reader.lookup(key.as_bytes()).unwrap();
        assert_eq!(Some(route.partition().to_string()), newest.partition);
        assert_eq!(
            route.primary().unwrap().address(),
            newest.primary_address.as_deref()
        );
        assert_eq!(route.replicas().count(), 2);
        let answer = router.send(key.as_bytes(), put(&key)).await;
        assert_eq!(Some(by(answer)), newest.primary_node);
    }
    let figures = router.figures();
    assert_eq!((figures.requests, figures.attempts), (200, 200));
    assert_eq!((figures.followed, figures.retries), (0, 0));
    let seen = plane.nodes[0].seen();
    assert!(seen.iter().all(|seen| seen.body == b"value"));
    let state = plane.fake.state();
    let key = seen[0].path.strip_prefix("/kv/").unwrap();
    let fence = format!("1.{}.1", partition(&state, key).0);
    assert_eq!(seen[0].fence, Some(fence));
}

#[tokio::test]
async fn a_redirect_is_followed_at_once_and_remembered() {
    let plane = Plane::start(3, &[]).await;
    let router = plane.router().await;
    let key = plane.key_of(1);
    plane.stops(1);
    let newest = plane.newest(&key);
    assert_eq!(newest.epoch, Some(2));
    for _ in 0..2 {
        let answer = router.send(key.as_bytes(), put(&key)).await;
        assert_eq!(Some(by(answer)), newest.primary_node);
    }
    let figures = router.figures();
    assert_eq!((figures.attempts, figures.followed), (3, 1), "{figures:?}");
    assert_eq!(figures.retries, 0);
    assert_eq!(router.route(key.as_bytes()).unwrap().epoch().0, 2);
}

#[tokio::test]
async fn a_later_grant_of_the_same_node_is_taken() {
    let plane = Plane::start(3, &[]).await;
    let router = plane.router().await;
    let key = plane.key_of(2);
    let newest = plane.newest(&key);
    let later = Newest {
        epoch: Some(9),
        version: newest.version + 1,
        ..newest
    };
    plane.nodes[1].says(Problem::new(Code::EpochOld, "old").with_newest(later));
    by(router.send(key.as_bytes(), put(&key)).await);
    let seen = plane.nodes[1].seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].fence.as_ref().unwrap().ends_with(".1"));
    assert!(seen[1].fence.as_ref().unwrap().ends_with(".9"));
    assert_eq!(router.figures().retries, 0);
}

#[tokio::test]
async fn nodes_that_send_each_other_s_callers_round_are_given_up() {
    let plane = Plane::start(2, &[dead().await]).await;
    let mut config = quiet(&[&plane.nodes[0].address]);
    config.attempts_max = 7;
    let router = Router::connect(config).await.unwrap();
    let key = plane.key_of(1);
    let known = plane.newest(&key);
    // Each names the other, as of the grant that is known.
    for (at, node) in plane.nodes.iter().enumerate() {
        let other = &plane.nodes[1 - at].address;
        let newest = Newest {
            primary_address: Some(other.clone()),
            ..known.clone()
        };
        node.always_says(Problem::new(Code::NotOwner, "not me").with_newest(newest));
    }
    let error = router.send(key.as_bytes(), put(&key)).await.unwrap_err();
    assert!(
        matches!(error, SendError::Refused { attempts: 7, .. }),
        "{error}"
    );
    assert!(!error.is_outcome_unknown());
    let asked: usize = plane.nodes.iter().map(|node| node.seen().len()).sum();
    assert_eq!(asked, 7);
    assert_eq!(
        router.route(key.as_bytes()).unwrap().epoch().0,
        1,
        "no news"
    );
}

#[tokio::test]
async fn ever_newer_redirects_are_followed_a_few_times_and_then_slowly() {
    let plane = Plane::start(2, &[dead().await]).await;
    let mut config = quiet(&[&plane.nodes[0].address]);
    config.attempts_max = 12;
    let router = Router::connect(config).await.unwrap();
    let key = plane.key_of(1);
    let known = plane.newest(&key);
    for step in 0..12 {
        let newest = Newest {
            primary_address: Some(plane.nodes[1 - step % 2].address.clone()),
            epoch: Some(2 + step as u64),
            version: known.version + 1,
            ..known.clone()
        };
        let problem = Problem::new(Code::NotOwner, "not me").with_newest(newest);
        plane.nodes[step % 2].says(problem);
    }
    let error = router.send(key.as_bytes(), put(&key)).await.unwrap_err();
    assert!(
        matches!(error, SendError::Refused { attempts: 12, .. }),
        "{error}"
    );
    let figures = router.figures();
    assert!(figures.followed <= 9 && figures.retries >= 2, "{figures:?}");
}

#[tokio::test]
async fn what_is_old_moves_nothing_back() {
    let behind = Plane::start(3, &[]).await;
    let key = behind.key_of(1);
    // The same cluster some entries later: the same commands, and one more.
    let ahead = Plane::start(3, &[]).await;
    ahead.stops(1);
    let mut ahead = ahead;
    let router = Router::connect(quiet(&[&ahead.nodes[0].address]))
        .await
        .unwrap();
    let route = router.route(key.as_bytes()).unwrap();
    assert_eq!(route.epoch().0, 2);
    // By a redirect.
    let old = Problem::new(Code::NotOwner, "old").with_newest(behind.newest(&key));
    let primary: usize = route.primary().unwrap().id()[5..].parse().unwrap();
    ahead.nodes[primary - 1].says(old);
    by(router.send(key.as_bytes(), put(&key)).await);
    assert_eq!(router.route(key.as_bytes()).unwrap(), route);
    // By a whole table, from a node that is behind.
    let seeds = [&*ahead.nodes[0].address, &behind.nodes[0].address];
    let router = Router::connect(quiet(&seeds)).await.unwrap();
    let route = router.route(key.as_bytes()).unwrap();
    assert_eq!(route.epoch().0, 2);
    for node in &mut ahead.nodes {
        node.die().await;
    }
    router.refresh().await.unwrap();
    assert_eq!(router.route(key.as_bytes()).unwrap(), route);
}

#[tokio::test]
async fn a_change_is_not_repeated_once_it_may_have_arrived() {
    let (address, requests) = hanging_up().await;
    let plane = Plane::start(2, &[address]).await;
    let mut config = quiet(&[&plane.nodes[0].address]);
    config.timeout = Duration::from_secs(2);
    let router = Router::connect(config).await.unwrap();
    let key = plane.key_of(3);
    let error = router.send(key.as_bytes(), put(&key)).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    // One that may be repeated is, until its time is over.
    for request in [(get(&key), Repeat::ByMethod), (put(&key), Repeat::Always)] {
        let before = requests.load(Ordering::SeqCst);
        let sent = router.send_with(key.as_bytes(), request.0, request.1).await;
        let error = sent.unwrap_err();
        assert!(!error.is_outcome_unknown(), "{error}");
        assert!(requests.load(Ordering::SeqCst) > before + 2);
    }
    let before = requests.load(Ordering::SeqCst);
    let never = router.send_with(key.as_bytes(), get(&key), Repeat::Never);
    assert!(never.await.unwrap_err().is_outcome_unknown());
    assert_eq!(requests.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn only_what_was_certainly_not_done_is_done_again() {
    let plane = Plane::start(3, &[]).await;
    let router = plane.router().await;
    let key = plane.key_of(1);
    let node = &plane.nodes[0];
    for code in Code::ALL.iter().filter(|code| code.is_not_done()) {
        let before = node.seen().len();
        let newest = plane.newest(&key);
        node.says(Problem::new(*code, "not done").with_newest(newest));
        by(router.send(key.as_bytes(), put(&key)).await);
        assert_eq!(node.seen().len(), before + 2, "{code:?}");
    }
    for code in [Code::NoLeader, Code::OutcomeUnknown, Code::Conflict] {
        let before = node.seen().len();
        node.says(Problem::new(code, "perhaps done"));
        let answer = router.send(key.as_bytes(), put(&key)).await.unwrap();
        assert_eq!(answer.status(), code.status(), "given to the caller");
        assert_eq!(node.seen().len(), before + 1, "{code:?}");
        // A read is repeated where that may help.
        node.says(Problem::new(code, "perhaps done"));
        let answer = router.send(key.as_bytes(), get(&key)).await.unwrap();
        let again = code != Code::Conflict;
        assert_eq!(answer.status() == 200, again, "{code:?}");
    }
}

#[tokio::test]
async fn the_pause_that_is_asked_for_is_kept_and_the_next_owner_asked() {
    let plane = Plane::start(3, &[]).await;
    let router = plane.router().await;
    let key = plane.key_of(1);
    let newest = Newest {
        next_address: Some(plane.nodes[1].address.clone()),
        ..plane.newest(&key)
    };
    let moving = Problem::new(Code::Moving, "moving").with_retry_after_ms(100);
    plane.nodes[0].says(moving.with_newest(newest));
    plane.stops(1);
    let began = Instant::now();
    let name = by(router.send(key.as_bytes(), put(&key)).await);
    assert!(
        began.elapsed() >= Duration::from_millis(50),
        "half at least"
    );
    let owner = plane.newest(&key).primary_node.unwrap();
    assert_eq!(name, owner);
    let seen = plane.nodes[1].seen();
    assert_eq!(seen[0].fence, None, "its grant is not known here");
}

#[tokio::test]
async fn a_dead_primary_is_waited_for_until_another_takes_over() {
    let mut plane = Plane::start(3, &[]).await;
    let seeds = [&*plane.nodes[1].address, &plane.nodes[2].address];
    let router = Router::connect(quiet(&seeds)).await.unwrap();
    let key = plane.key_of(1);
    let began = Instant::now();
    plane.nodes[0].die().await;
    let sending = {
        let (router, key) = (router.clone(), key.clone());
        tokio::spawn(async move { router.send(key.as_bytes(), put(&key)).await })
    };
    // It has been tried in vain before the others take over.
    while router.figures().retries < 3 {
        tokio::task::yield_now().await;
    }
    plane.stops(1);
    let name = by(sending.await.unwrap());
    assert_eq!(Some(name), plane.newest(&key).primary_node);
    let seen: Vec<_> = plane.nodes[1..]
        .iter()
        .flat_map(plane::Node::seen)
        .collect();
    assert_eq!(seen.len(), 1, "sent once: {seen:?}");
    // The table was asked for again and again meanwhile, but not without a pause.
    let refreshes = router.figures().refreshes;
    let most = began.elapsed().as_millis() as u64 / 50 + 3;
    assert!(
        (2..=most).contains(&refreshes),
        "{refreshes} of at most {most}"
    );
}

#[tokio::test]
async fn a_dead_seed_is_passed_over_and_the_last_table_serves_when_all_are_gone() {
    let mut plane = Plane::start(3, &[]).await;
    let dead = dead().await;
    let router = Router::connect(quiet(&[&dead, &plane.nodes[1].address]))
        .await
        .unwrap();
    let key = plane.key_of(1);
    by(router.send(key.as_bytes(), put(&key)).await);
    // No seed is left, but a node of the table.
    plane.nodes[1].die().await;
    plane.nodes[2].die().await;
    router.refresh().await.unwrap();
    by(router.send(key.as_bytes(), put(&key)).await);
    let route = router.route(key.as_bytes());
    plane.nodes[0].die().await;
    assert!(router.refresh().await.is_err());
    assert_eq!(router.route(key.as_bytes()), route, "what is known stays");
}

#[tokio::test]
async fn without_a_table_nothing_is_sent() {
    let mut config = quiet(&[&dead().await]);
    config.timeout = Duration::from_millis(300);
    let router = Router::new(config).unwrap();
    let error = router.send(b"a", put("a")).await.unwrap_err();
    assert!(matches!(error, SendError::NoTable(_)), "{error}");
    assert!(!error.is_outcome_unknown());
    assert_eq!(router.route(b"a"), None);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_a_remedy() {
    let plane = Plane::start(3, &[]).await;
    let mut config = quiet(&[&plane.nodes[0].address]);
    config.body_bytes_max = 4;
    let router = Router::connect(config).await.unwrap();
    for (sent, part) in [
        (router.send(b"", get("a")).await, "key is empty"),
        (router.send(b"a", put("a")).await, "5 bytes"),
        (
            router
                .send_to(PartitionId(64), get("a"), Repeat::ByMethod)
                .await,
            "there are 64",
        ),
    ] {
        let error = sent.unwrap_err();
        assert!(matches!(error, SendError::Request { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}
