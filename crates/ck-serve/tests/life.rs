//! An application inside its node's process, from its flags to its end, by real signals.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ck_http::{BoxFuture, Incoming, Reply, Request, Routes};
use ck_node::{Handle, NoHandler, PartitionId};
use ck_serve::{
    Announce, Application, ApplicationError, Opened, Opening, ServeArgs, ServeError, SettingsError,
};
use clap::Parser;
use nix::sys::signal::{Signal, raise};
use tokio::sync::Notify;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Signals are the process's: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command line with a flag of its own beside the node's.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    serve: ServeArgs,
    #[arg(long)]
    greeting: String,
}

fn args(data: &Path, more: &[&str]) -> Args {
    let data = data.join("node").display().to_string();
    let flags = ["app", "--id", "n", "--http", "127.0.0.1:0", "--data", &data];
    let flags = flags.iter().chain(&["--greeting", "hello"]).chain(more);
    let alone = ["--replication-factor", "1", "--partitions", "4"];
    Args::try_parse_from(flags.chain(&alone)).unwrap()
}

/// What the application was told, in order.
#[derive(Debug)]
enum Told {
    Open { http: String },
    Started(Handle),
    Stopping { serves: bool },
}

/// How the application ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Well,
    NoOpen,
    NoStart,
    NoRest,
    NoDisk,
}

struct Greeter {
    greeting: String,
    way: Way,
    told: Mutex<Sender<Told>>,
    http: Mutex<String>,
    /// Told when its disk breaks.
    broken: Notify,
}

impl Greeter {
    fn tell(&self, told: Told) {
        self.told.lock().unwrap().send(told).unwrap();
    }
}

impl Routes for Greeter {
    fn serves(&self, path: &str) -> bool {
        path == "/hello"
    }
    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        if request.method() == ck_http::Method::DELETE {
            self.broken.notify_one();
        }
        Box::pin(async { Reply::new(self.greeting.clone().into_bytes().into()) })
    }
}

impl Application for Greeter {
    fn open<'a>(&'a self, opening: Opening<'a>) -> BoxFuture<'a, Result<Opened, ApplicationError>> {
        Box::pin(async move {
            if self.way == Way::NoOpen {
                return Err("the disk is full".into());
            }
            assert_eq!(opening.node.as_str(), "n");
            // A store of its own, before the node has made its.
            std::fs::create_dir_all(opening.data.join("greetings"))?;
            let http = opening.http.to_owned();
            self.http.lock().unwrap().clone_from(&http);
            self.tell(Told::Open { http });
            let opened = Opened::new(Arc::new(NoHandler)).volatile();
            Ok(opened
                .with_service("hello", opening.http)
                .with_service("other", "h:1"))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        Box::pin(async move {
            if self.way == Way::NoStart {
                return Err("a port is taken".into());
            }
            self.tell(Told::Started(node));
            Ok(())
        })
    }

    fn failed(&self) -> BoxFuture<'_, ApplicationError> {
        Box::pin(async {
            if self.way != Way::NoDisk {
                std::future::pending::<()>().await;
            }
            self.broken.notified().await;
            "the disk is gone".into()
        })
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let http = self.http.lock().unwrap().clone();
            let asked = tokio::task::spawn_blocking(move || hello(&http));
            let serves = asked.await.unwrap().ends_with("hello");
            self.tell(Told::Stopping { serves });
            if self.way == Way::NoRest {
                std::future::pending::<()>().await;
            }
        })
    }

    fn stopping_timeout(&self) -> Duration {
        if self.way == Way::NoRest {
            Duration::from_millis(100)
        } else {
            PATIENCE
        }
    }
}

/// Asks the application, and gives the whole answer.
fn hello(http: &str) -> String {
    let mut stream = TcpStream::connect(http).unwrap();
    let head = format!("GET /hello HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

type Running = std::thread::JoinHandle<Result<(), ServeError>>;

fn start(args: Args, way: Way) -> (Running, Receiver<Told>) {
    let (tell, told) = channel();
    let greeter = Arc::new(Greeter {
        greeting: args.greeting,
        way,
        told: Mutex::new(tell),
        http: Mutex::default(),
        broken: Notify::new(),
    });
    let serve = args.serve;
    let running = std::thread::spawn(move || ck_serve::run(&serve, Announce::Json, greeter));
    (running, told)
}

/// How it ended, which takes no longer than a test may wait.
#[track_caller]
fn ended(running: Running) -> Result<(), ServeError> {
    let began = Instant::now();
    while !running.is_finished() {
        assert!(began.elapsed() < PATIENCE, "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.join().unwrap()
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(PATIENCE).unwrap()
}

/// Starts, and waits until the node serves and answers.
fn until_ready(args: Args, way: Way) -> (Running, Receiver<Told>, Handle) {
    let (running, told) = start(args, way);
    let Told::Open { http } = next(&told) else {
        panic!("it is opened first");
    };
    let Told::Started(node) = next(&told) else {
        panic!("then it is given the node");
    };
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    waiting
        .block_on(async { tokio::time::timeout(PATIENCE, node.ready()).await })
        .unwrap()
        .unwrap();
    // Requests are accepted from the beginning, and answered once the node has started.
    assert!(hello(&http).ends_with("hello"));
    (running, told, node)
}

#[test]
fn it_is_opened_started_asked_and_stopped_in_this_order() {
    let _alone = alone();
    let data = tempfile::tempdir().unwrap();
    let more = ["--service", "other=h:2"];
    let (running, told, node) = until_ready(args(data.path(), &more), Way::Well);
    let services = node.nodes().remove(0).services;
    assert_eq!(services["other"], "h:2", "the flag stands before");
    assert!(services["hello"].starts_with("127.0.0.1:"));
    raise(Signal::SIGTERM).unwrap();
    let Told::Stopping { serves } = next(&told) else {
        panic!("then it is stopped");
    };
    assert!(serves, "requests are still answered");
    ended(running).unwrap();
    assert!(!node.owns(PartitionId(0)));
    assert!(!node.is_healthy());
    let state = node.state();
    let member = state.member_by_node("n").unwrap();
    assert_eq!(member.session, None, "the session has ended");
}

#[test]
fn a_hang_up_ends_nothing() {
    let _alone = alone();
    let data = tempfile::tempdir().unwrap();
    let (running, told, node) = until_ready(args(data.path(), &[]), Way::Well);
    for _ in 0..3 {
        raise(Signal::SIGHUP).unwrap();
        assert!(hello(&node.status().http_address).ends_with("hello"));
    }
    raise(Signal::SIGTERM).unwrap();
    assert!(matches!(next(&told), Told::Stopping { serves: true }));
    ended(running).unwrap();
}

#[test]
fn a_session_is_not_ended_for_an_application_that_does_not_rest() {
    let _alone = alone();
    let data = tempfile::tempdir().unwrap();
    let (running, told, node) = until_ready(args(data.path(), &[]), Way::NoRest);
    raise(Signal::SIGTERM).unwrap();
    assert!(matches!(next(&told), Told::Stopping { .. }));
    let error = ended(running).unwrap_err();
    assert!(matches!(error, ServeError::Unrest { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
    let state = node.state();
    assert!(
        state.member_by_node("n").unwrap().session.is_some(),
        "nothing says that its acknowledgements are on its disk"
    );
}

#[test]
fn an_application_whose_disk_is_gone_ends_without_a_word_to_the_cluster() {
    let _alone = alone();
    let data = tempfile::tempdir().unwrap();
    let (running, _told, node) = until_ready(args(data.path(), &[]), Way::NoDisk);
    let http = node.status().http_address;
    let mut stream = TcpStream::connect(&http).unwrap();
    let head = format!("DELETE /hello HTTP/1.1\r\nhost: {http}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let error = ended(running).unwrap_err();
    let text = "the application cannot go on: the disk is gone";
    assert_eq!((error.to_string().as_str(), error.exit_code()), (text, 1));
    let state = node.state();
    assert!(state.member_by_node("n").unwrap().session.is_some());
}

#[test]
fn an_application_that_cannot_start_ends_the_process_with_its_reason() {
    let _alone = alone();
    let data = tempfile::tempdir().unwrap();
    let (running, _told) = start(args(data.path(), &[]), Way::NoOpen);
    let error = ended(running).unwrap_err();
    let text = "the application cannot be opened: the disk is full";
    assert_eq!((error.to_string().as_str(), error.exit_code()), (text, 1));
    assert!(!data.path().join("node").exists(), "no node was started");
    let (running, told) = start(args(data.path(), &[]), Way::NoStart);
    let error = ended(running).unwrap_err();
    let text = "the application cannot start: a port is taken";
    assert_eq!(error.to_string(), text);
    assert!(matches!(next(&told), Told::Open { .. }));
}

#[test]
fn an_application_inside_takes_no_orders_outside() {
    let data = tempfile::tempdir().unwrap();
    let outside = args(data.path(), &["--application", "durable"]);
    let (running, _told) = start(outside, Way::Well);
    let error = ended(running).unwrap_err();
    assert!(matches!(
        error,
        ServeError::Settings(SettingsError::Outside)
    ));
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn the_flags_fit_beside_others() {
    <Args as clap::CommandFactory>::command().debug_assert();
}
