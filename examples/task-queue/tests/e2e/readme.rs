//! The README's command and its session, as somebody types them.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use crate::support::{BOUND, Client, wait_for};

const README: &str = include_str!("../../README.md");

/// A shell and whatever it has started.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        // The group is the shell's own, so this ends its nodes and nothing else.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill")
            .args(["-s", "KILL", "--", &group])
            .status();
        let _ = self.0.wait();
    }
}

/// Ports that differ in their last digit, as those of the README: the digits before it.
fn ports() -> u16 {
    let begin = std::process::id() % 180;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free =
        |tens: &u16| (1..=3).all(|one| free(tens * 10 + one) && free(tens * 10 + one + 2_000));
    (0..180)
        .map(|step| 2_400 + u16::try_from((begin + step) % 180).expect("it is small"))
        .find(all_free)
        .expect("three free ports")
}

#[test]
fn the_command_starts_three_nodes_and_the_session_is_answered() {
    let block = README.split("```sh\n").nth(1).expect("a command");
    let command = block.split("```").next().expect("an end of it");
    let (build, command) = command.split_once(" && ").expect("it builds first");
    assert_eq!(build, "cargo build -p ck-queue");
    let tens = ports();
    let command = command
        .replace("target/debug/ck-queue", env!("CARGO_BIN_EXE_ck-queue"))
        .replace(":808", &format!(":{tens}"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let shell = Command::new("sh")
        .args(["-c", &command])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let _shell = Shell(shell.expect("a shell"));
    let address = |node: u16| SocketAddr::from(([127, 0, 0, 1], tens * 10 + node));
    let mut client = Client::of((1..=3).map(address).collect());
    for _ in 0..3 {
        wait_for("every node sees all partitions", BOUND, || {
            let counted = client.once("GET", "/queues/mail", &[], b"")?.json();
            let all = counted["partitions"].as_u64().filter(|all| *all > 0)?;
            (counted["partitions_counted"] == all).then_some(())
        });
    }
    session(&mut client);
}

/// What the README shows, but for the names of tasks and receipts.
fn session(client: &mut Client) {
    let first = client.enqueue("mail", "key=user:1001", b"hello");
    let second = client.enqueue("mail", "key=user:1001&max_attempts=2", b"world");
    let tasks = client.lease("mail", "max=2&visibility_ms=1000&wait_ms=5000");
    let names: Vec<_> = tasks.iter().map(|one| &one.task).collect();
    assert_eq!(names, [&first, &second]);
    client.acknowledge(&tasks[0]);
    assert_eq!(client.counts("mail"), [0, 0, 1, 0]);
    let again = client.lease_one("mail", "visibility_ms=100&wait_ms=15000");
    assert_eq!((&again.task, again.attempts), (&second, 2));
    wait_for("the second is dead", BOUND, || {
        let dead = client.ask("GET", "/queues/mail/dead?limit=10", b"").json();
        (dead["tasks"][0]["task"] == second.as_str()).then_some(())
    });
    let retry = client.ask("POST", &format!("/tasks/{second}/retry"), b"");
    assert_eq!(retry.status, 204, "{}", retry.text());
    let shown = client.ask("GET", &format!("/tasks/{second}"), b"").json();
    assert_eq!(shown["state"], "ready");
    assert_eq!(shown["attempts"], 0);
}
