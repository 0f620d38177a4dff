//! Who may call what, against real processes.

mod guide;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ck_transport::{
    Address, BoxFuture, PeerFiles, PeerId, PeerTls, Reply, Request, Service, ServiceError,
    TcpConfig, TcpTransport, Transport, TransportError,
};

use guide::Guide;

use crate::support::{BOUND, Cluster, Server, request, run, wait_for};

/// Has a node log all there is.
const EVERYTHING: [&str; 2] = ["CK_LOG", "trace"];

/// Most time an answer may take.
const PROMPT: Duration = Duration::from_secs(10);

/// Among peers: kinds of requests, and codes of refusals.
const HELLO: u16 = 1;
const VOTE: u16 = 17;
const MALFORMED: u16 = 1;
const STRANGER: u16 = 4;

/// Most time a file that has changed may take to count.
const RENEWED: Duration = Duration::from_secs(20);

/// Status of a request that shows a token.
#[track_caller]
fn status(server: &Server, method: &str, path: &str, token: &str) -> u16 {
    let shown = format!("Bearer {token}");
    let headers = [("Authorization", &*shown)];
    let reply = request(server.http, method, path, &headers, b"", PROMPT);
    reply
        .unwrap_or_else(|error| panic!("{method} {path} of {}: {error}", server.id))
        .status
}

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// All there is was logged, and this is not in it.
#[track_caller]
fn assert_silent(printed: &str, token: &str) {
    assert!(printed.contains(" TRACE "), "{printed}");
    let line = printed.lines().find(|line| line.contains(token));
    assert_eq!(line, None, "{token} is logged");
}

/// Exit code of a command that shows the token of a file.
fn exit_code(server: &Server, file: &Path, command: &[&str]) -> Option<i32> {
    let address = server.http.to_string();
    let file = file.to_str().unwrap();
    let reach = ["--server", &address, "--token-file", file];
    run(&[command, &reach].concat()).status.code()
}

#[test]
fn roles_are_kept_and_tokens_replaced_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = written(
        directory.path(),
        "nodes",
        "admin s3cret-a\noperate s3cret-o\nread s3cret-r\n",
    );
    let flags = ["--partitions", "4", "--token-file", nodes.to_str().unwrap()];
    // Those that join have to show a token, to ask as well as to be admitted.
    let mut cluster = Cluster::of(2, &[&["--replication-factor", "2"], &flags[..]].concat());
    for server in &mut cluster.servers {
        server
            .environment
            .push(EVERYTHING.map(str::to_owned).into());
    }
    cluster.start_all();
    cluster.wait_until_ready();
    let server = &cluster.servers[0];
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/partitions").status, 401);
    for (token, expected) in [
        ("s3cret-r", [200, 403, 403]),
        ("s3cret-o", [200, 200, 403]),
        ("s3cret-a", [200, 200, 404]),
        ("s3cret-", [401, 401, 401]),
    ] {
        let got = [
            status(server, "GET", "/partitions", token),
            status(server, "POST", "/v1/rebalance", token),
            status(server, "DELETE", "/v1/nodes/node-9", token),
        ];
        assert_eq!(got, expected, "{token}");
    }
    let reader = written(directory.path(), "reader", "s3cret-r\n");
    assert_eq!(exit_code(server, &reader, &["status"]), Some(0));
    let drain = ["drain", "node-2"];
    assert_eq!(exit_code(server, &reader, &drain), Some(4));
    // A node's own file serves its operator.
    assert_eq!(exit_code(server, &nodes, &["cordon", "node-2"]), Some(0));
    assert_eq!(
        run(&["status", "--server", &server.http.to_string()])
            .status
            .code(),
        Some(4)
    );
    written(directory.path(), "nodes", "admin s3cret-b\nread s3cret-r\n");
    for server in &mut cluster.servers {
        server.process().signal("HUP");
    }
    for server in &cluster.servers {
        let what = format!("{} knows the new token and no other", server.id);
        wait_for(&what, RENEWED, || {
            let new = status(server, "GET", "/partitions", "s3cret-b");
            let old = status(server, "GET", "/partitions", "s3cret-a");
            ((new, old) == (200, 401)).then_some(())
        });
    }
    for server in &mut cluster.servers {
        assert!(server.process().is_running());
        let printed = server.process().printed();
        assert_silent(&printed, "s3cret");
        assert!(printed.contains("read again"));
    }
}

#[test]
fn tokens_without_an_admins_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "tokens", "read s3cret-r\n");
    let refused = run(&[
        "serve",
        "--id",
        "node-1",
        "--http",
        ":0",
        "--data",
        directory.path().join("data").to_str().unwrap(),
        "--token-file",
        file.to_str().unwrap(),
    ]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("admin <token>") && !said.contains("s3cret"),
        "{said}"
    );
}

/// Who only asks.
struct Deaf;

impl Service for Deaf {
    fn handle(&self, _: PeerId, _: Request) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        Box::pin(async { Err(ServiceError::new(0, "deaf")) })
    }
}

/// What is answered to `me`, which shows the certificate of `certified`.
fn ask(
    guide: &Guide,
    (certified, me): (&str, PeerId),
    to: &Address,
    request: Request,
) -> Result<PeerId, TransportError> {
    let file = |name: String| guide.file(&format!("certs/{name}.pem"));
    let tls = PeerTls::read(&PeerFiles {
        certificate: file(certified.to_owned()),
        key: file(format!("{certified}-key")),
        authority: file("ca".to_owned()),
    });
    let config = TcpConfig {
        tls: Some(tls.unwrap()),
        ..TcpConfig::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let transport = TcpTransport::bind(config, me, Arc::new(Deaf)).await?;
        let answered = transport.call(to, request, PROMPT).await;
        transport.shutdown().await;
        answered.map(|(who, _)| who)
    })
}

/// Where node-1 is, and what node-2 says of itself, which any node hears that has a certificate.
fn meet(guide: &Guide) -> (Address, PeerId) {
    guide.done("ck cert node --id node-4 --host 127.0.0.1 --out certs");
    let nodes = guide.done(&format!("ck nodes {} --json", guide.reach()));
    let nodes: serde_json::Value = serde_json::from_str(&nodes).unwrap();
    let address = |name: &str| {
        let mut all = nodes["nodes"].as_array().unwrap().iter();
        let found = all.find(|node| node["id"] == name);
        let found = found.unwrap_or_else(|| panic!("{name}: {nodes}"));
        Address::anyone(found["peer_address"].as_str().unwrap())
    };
    let stranger = PeerId {
        node: "node-4".parse().unwrap(),
        member: None,
        store: 4,
        cluster: None,
        cluster_name: "clusterkit".to_owned(),
    };
    let hello = Request::new(HELLO, &b"\x0aclusterkit"[..]);
    let second = ask(guide, ("node-4", stranger), &address("node-2"), hello).unwrap();
    assert_eq!(second.node.as_str(), "node-2");
    (address("node-1"), second)
}

/// A certificate is for one node, and so is a member number.
fn no_node_speaks_for_another(guide: &Guide) {
    let (to, second) = meet(guide);
    let speaks = |node: &str, beyond: u64| PeerId {
        node: node.parse().unwrap(),
        member: second.member.map(|number| number + beyond),
        ..second.clone()
    };
    // Words that nobody understands: who is heard is told so, who is not is a stranger.
    let vote = || Request::new(VOTE, vec![0xff]);
    for (node, beyond, expected) in [
        ("node-2", 0, MALFORMED),
        ("node-4", 0, STRANGER),
        ("node-4", 90, STRANGER),
        ("node-2", 90, STRANGER),
    ] {
        // A number that is not known is heard for as long as nobody leads.
        let what = format!("{node}, {beyond} beyond, is told {expected}");
        wait_for(&what, BOUND, || {
            match ask(guide, (node, speaks(node, beyond)), &to, vote()).unwrap_err() {
                TransportError::Refused { code, .. } => (code == expected).then_some(()),
                other => panic!("{what}: {other}"),
            }
        });
    }
    // Nor does it get to say that it is another node; nor is another taken for the one that is wanted.
    ask(guide, ("node-4", second.clone()), &to, vote()).unwrap_err();
    let wanted = to.named("node-3".parse().unwrap());
    let refused = ask(guide, ("node-2", second), &wanted, vote()).unwrap_err();
    assert!(
        matches!(refused, TransportError::WrongNode { .. }),
        "{refused}"
    );
}

#[test]
fn the_guide_makes_a_cluster_that_is_closed_and_survives_a_node() {
    let guide = Guide::new();
    let mut nodes = guide.follow();
    assert_eq!(nodes.len(), 3);
    let mode = |name: &str| std::fs::metadata(guide.file(name)).unwrap().mode() & 0o777;
    assert_eq!(
        [mode("certs/ca-key.pem"), mode("certs/node-1-key.pem")],
        [0o600; 2]
    );
    nodes[0].signal("HUP");
    nodes[0].wait_for_text("read again: certificate certs/node-1.pem", RENEWED);
    let reach = guide.reach();

    // Not without a token, nor from an authority that is not ours, nor in plain.
    let bare = reach.replace("--token-file tokens", "");
    assert_eq!(
        guide.run(&format!("ck nodes {bare}")).status.code(),
        Some(4)
    );
    guide.done("ck cert ca --out others");
    let strange = reach.replace("certs/ca.pem", "others/ca.pem");
    assert_eq!(
        guide.run(&format!("ck nodes {strange}")).status.code(),
        Some(3)
    );
    let plain = format!("ck nodes --server http://127.0.0.1:{}", guide.ports);
    assert_eq!(guide.run(&plain).status.code(), Some(3));

    no_node_speaks_for_another(&guide);
    nodes[1].kill();
    wait_for("the others serve what node-2 served", BOUND, || {
        let rows = guide.done(&format!("ck partitions {reach} --json"));
        let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
        let rows = rows["partitions"].as_array().unwrap();
        let lives = |row: &serde_json::Value| {
            let primary = row["primary_node"].as_str().unwrap_or_default();
            primary == "node-1" || primary == "node-3"
        };
        (rows.len() == 16 && rows.iter().all(lives)).then_some(())
    });
    let lines = guide.blocks("sh");
    let mut again = lines
        .lines()
        .filter(|line| line.contains("--id node-2 --http"));
    nodes[1] = guide.start(again.next().unwrap());
    nodes[1].wait_for_text("node-2 is ready", BOUND);

    for node in &mut nodes {
        assert!(node.is_running());
        let printed = node.printed();
        for line in guide.blocks("text").lines() {
            let token = line.split(' ').nth(1).unwrap();
            assert_silent(&printed, token);
        }
    }
}

#[test]
fn a_node_with_anothers_certificate_does_not_start() {
    let guide = Guide::new();
    guide.done("ck cert ca --out certs");
    guide.done("ck cert node --id node-2 --host 127.0.0.1 --out certs");
    let serve = "ck serve --id node-1 --http 127.0.0.1:0 --data data --peer-ca certs/ca.pem \
                 --peer-cert certs/node-2.pem --peer-key certs/node-2-key.pem";
    let refused = guide.run(serve);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("node-1") && said.contains("node-2"), "{said}");
    let again = guide.run("ck cert node --id node-2 --host 127.0.0.1 --out certs");
    assert_eq!(again.status.code(), Some(4), "nothing is written over");
    let open = "ck serve --id node-1 --http 0.0.0.0:0 --advertise localhost --data data";
    let refused = guide.run(open);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for named in ["--tls-cert", "--token-file", "--peer-ca", "--insecure"] {
        assert!(said.contains(named), "{said}");
    }
}
