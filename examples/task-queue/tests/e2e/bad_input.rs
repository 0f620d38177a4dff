//! Requests that are refused, by what says so; nothing is changed by any of them.

use crate::support::{Client, Cluster};

/// Method, target, status and code. `TASK` is a task that is there, `LONG` a name too long by one.
const CASES: &str = "
POST /queues/                                400 invalid-parameter
POST /queues/LONG                            400 invalid-parameter
POST /queues/a%20b                           400 invalid-parameter
POST /queues/a%                              400 invalid-parameter
POST /queues/q?key=                          400 invalid-parameter
POST /queues/q?kay=1                         400 invalid-parameter
POST /queues/q?key=1&key=1                   400 repeated-parameter
POST /queues/q?delay_ms=-1                   400 invalid-parameter
POST /queues/q?max_attempts=0                400 invalid-parameter
PUT  /queues/q                               405 method-not-allowed
GET  /queues/q/lease                         405 method-not-allowed
POST /queues/q/lease?max=65                  400 invalid-parameter
POST /queues/q/lease?wait_ms=20001           400 invalid-parameter
POST /queues/q/lease?visibility_ms=1         400 invalid-parameter
GET  /queues/q/dead?limit=0                  400 invalid-parameter
GET  /queues/q/more                          404 not-found
GET  /tasks/x                                400 invalid-parameter
GET  /tasks/99-1                             404 partition-unknown
GET  /tasks/1-99999                          404 task-unknown
POST /tasks/TASK/ack                         400 missing-parameter
POST /tasks/TASK/ack?receipt=7               400 invalid-parameter
POST /tasks/TASK/ack?receipt=RECEIPT         409 not-leased
POST /tasks/1-99999/ack?receipt=RECEIPT      404 task-unknown
POST /tasks/TASK/retry                       409 not-dead
POST /tasks/TASK/grow                        404 not-found
PUT  /kv/key                                 404 not-found
";

#[test]
fn what_is_wrong_is_refused_and_named() {
    let cluster = Cluster::ready(3);
    let mut client = cluster.client();
    let task = client.enqueue("sound", "key=k", b"x");
    for case in CASES.lines().filter(|case| !case.is_empty()) {
        let words: Vec<_> = case.split_whitespace().collect();
        let [method, path, status, code] = words[..] else {
            panic!("{case:?} has four words");
        };
        let path = path
            .replace("LONG", &"q".repeat(129))
            .replace("RECEIPT", "0123456789abcdef0123456789abcdef")
            .replace("TASK", &task);
        let reply = client.ask(method, &path, b"");
        assert_eq!(reply.status.to_string(), status, "{case}: {}", reply.text());
        assert_eq!(reply.json()["code"], code, "{case}");
    }
    headers(&mut client);
    let large = vec![0; (1 << 20) + 1];
    let reply = client.once("POST", "/queues/q", &[], &large);
    // The connection may be closed before all of it is sent.
    assert!(reply.is_none_or(|reply| reply.status == 413));
    assert_eq!(client.counts("sound"), [1, 0, 0, 0]);
    assert_eq!(client.counts("q"), [0, 0, 0, 0]);
}

fn headers(client: &mut Client) {
    for (name, value) in [
        ("Idempotency-Key", "k".repeat(129)),
        ("CK-Fence", "1.2".to_owned()),
        ("CK-Hops", "x".to_owned()),
        ("CK-Queue-Partition", "-1".to_owned()),
    ] {
        let reply = client.once("POST", "/queues/q?key=k", &[(name, &value)], b"x");
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
    }
}
