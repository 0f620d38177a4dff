//! Runs what was asked, and says what came of it.

use std::error::Error;
use std::io::{BufRead, IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use ck_client::{Client, ClientConfig, ClientTls, Router, RouterConfig, read_token};
use ck_load::torture::Sum;
use ck_load::{
    Access, Clock, LoadError, Mark, Partitions, Progress, Recorder, Report, Server, Setting,
    Spread, Way, plot, run,
};
use indicatif::{ProgressBar, ProgressStyle};
use nix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Cli, Command, LoadArgs, RouteBy, Target, TortureArgs};

/// Most marks that are kept.
const MARKS_MAX: usize = 1_000;

/// Runs the program.
pub(crate) fn main(cli: &Cli) -> ExitCode {
    let done = match &cli.command {
        None => load(&cli.load),
        Some(Command::Torture(args)) => torture(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_usage = matches!(error.downcast_ref(), Some(LoadError::Plan(_)));
            // With standard error closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {}", told(&*error));
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

/// The error and its causes.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn load(cli: &LoadArgs) -> Result<(), Box<dyn Error>> {
    let plan = cli.plan();
    plan.validate().map_err(LoadError::from)?;
    let access = access(cli)?;
    let servers = resolved(&cli.servers, access.tls.is_some())?;
    let recorder = cli.history.as_deref().map(Recorder::create).transpose()?;
    let marks = cli.marks.then(marks);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (own, since) = (processor_time(), Instant::now());
    let summary = runtime.block_on(async {
        let partitions = match &recorder {
            Some(_) => partitions(&cli.servers, &access).await,
            None => None,
        };
        let way = match cli.route {
            RouteBy::Any => Way::Any(Spread::new(servers, access)),
            RouteBy::Client => Way::Client(router(cli, access).await?),
        };
        let setting = Setting {
            ways: vec![way],
            recorder: recorder.as_ref(),
            clock: Clock::default(),
            partitions,
        };
        let bar = bar(cli.json);
        let summary = run(plan, &setting, |progress| show(&bar, progress)).await;
        bar.finish_and_clear();
        Ok::<_, Box<dyn Error>>(summary?)
    })?;
    let own = processor_time().saturating_sub(own);
    // Connections that are still open hold nothing that the recorder waits for.
    drop(runtime);
    if let Some(recorder) = recorder {
        recorder.finish()?;
    }
    let report = Report::new(&summary, own, since.elapsed());
    if let Some(path) = &cli.plot {
        let marks = marks.map(|marks| placed(&marks, summary.begin));
        let title = format!("{} on {}", report_title(&report), cli.servers.join(", "));
        let svg = plot(&title, &summary.measured, &marks.unwrap_or_default());
        std::fs::write(path, svg)
            .map_err(|source| format!("cannot write the plot {}: {source}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if cli.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    if report.served == 0 {
        return Err("nothing was served; look at the servers".into());
    }
    Ok(())
}

fn torture(args: &TortureArgs) -> Result<(), Box<dyn Error>> {
    let mut failed = 0;
    let mut sum = Sum::default();
    for number in 0..args.runs {
        let torture = args.run(number);
        let seed = torture.seed;
        let folder = folder(args.keep.as_deref(), seed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let bar = bar(args.json);
        let ran = torture.run(folder.path(), |progress| show(&bar, progress));
        let verdict = runtime.block_on(async {
            tokio::select! {
                verdict = ran => Some(verdict),
                () = interrupted() => None,
            }
        });
        bar.finish_and_clear();
        // Dropped, the run has ended its processes.
        let Some(verdict) = verdict else {
            return Err("interrupted".into());
        };
        let passed = match (&verdict, &args.expect) {
            (Ok(verdict), None) => verdict.passed,
            (Ok(verdict), Some(kind)) => verdict.wrong.iter().any(|wrong| wrong.starts_with(kind)),
            (Err(_), _) => false,
        };
        if let Ok(verdict) = &verdict {
            sum.add(verdict);
        }
        let mut out = std::io::stdout().lock();
        match &verdict {
            Ok(verdict) if args.json => {
                serde_json::to_writer(&mut out, verdict)?;
                writeln!(out)?;
            }
            Ok(verdict) => writeln!(out, "{verdict}")?,
            Err(error) => {
                let mut errors = std::io::stderr();
                writeln!(errors, "seed {seed}: no verdict: {}", told(error))?;
            }
        }
        if !passed {
            failed += 1;
            // Kept: nothing of a run that failed is thrown away.
            let kept = folder.keep();
            writeln!(
                std::io::stderr(),
                "seed {seed}: its files are in {}",
                kept.display()
            )?;
        }
    }
    if args.runs > 1 && !args.json {
        writeln!(std::io::stdout(), "{sum}")?;
    }
    match failed {
        0 => Ok(sum.reaches(args.overlap_min, args.acknowledged_min)?),
        failed => Err(format!("{failed} of {} runs failed", args.runs).into()),
    }
}

/// Waits for Ctrl-C or SIGTERM; for ever where signals cannot be listened to.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Where a run's files are.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.keep(),
        }
    }
}

fn folder(keep: Option<&Path>, seed: u64) -> Result<Folder, Box<dyn Error>> {
    let Some(keep) = keep else {
        return Ok(Folder::Temporary(tempfile::tempdir()?));
    };
    let path = keep.join(format!("seed-{seed}"));
    std::fs::create_dir_all(keep)?;
    // Data of an earlier run are no beginning for this one.
    std::fs::create_dir(&path)
        .map_err(|source| format!("cannot make {}: {source}; name another", path.display()))?;
    Ok(Folder::Kept(path))
}

async fn router(cli: &LoadArgs, access: Access) -> Result<Router, Box<dyn Error>> {
    if cli.target == Target::Etcd {
        return Err("etcd has no table to route by; leave out --route client".into());
    }
    let seeds = cli.servers.iter().cloned();
    let mut config = RouterConfig::new(seeds).with_timeout(cli.timeout);
    config.attempt_timeout = config.attempt_timeout.min(cli.timeout);
    (config.tls, config.token) = (access.tls, access.token);
    Ok(Router::connect(config).await?)
}

fn report_title(report: &Report) -> String {
    format!("{:.0} operations a second", report.per_second)
}

/// What the flags say of how servers are spoken to.
fn access(cli: &LoadArgs) -> Result<Access, Box<dyn Error>> {
    let tls = cli.ca.as_deref().map(ClientTls::trusting).transpose()?;
    let token = cli.token_file.as_deref().map(read_token).transpose()?;
    Ok(Access { tls, token })
}

fn resolved(servers: &[String], encrypted: bool) -> Result<Vec<Server>, Box<dyn Error>> {
    let mut addresses = Vec::new();
    for server in servers {
        let (plain, over_tls) = ("http://", "https://");
        if server.starts_with(if encrypted { plain } else { over_tls }) {
            let message = "is asked over TLS with --ca FILE, and only then";
            return Err(format!("{server:?}: a server {message}").into());
        }
        let bare = server.strip_prefix(plain);
        let server = bare.or(server.strip_prefix(over_tls)).unwrap_or(server);
        let host = server.rsplit_once(':').map_or(server, |pair| pair.0);
        let host = host.trim_matches(['[', ']']);
        let found = server.to_socket_addrs();
        let found = found.map_err(|error| format!("{server:?} is no HOST:PORT: {error}"))?;
        let mut found: Vec<SocketAddr> = found.collect();
        // Names often have an address of each family; services listen on the older one.
        found.sort_by_key(SocketAddr::is_ipv6);
        addresses.extend(found.first().map(|address| Server {
            host: host.to_owned(),
            address: *address,
        }));
    }
    if addresses.is_empty() {
        return Err("no server is named; write --servers HOST:PORT".into());
    }
    Ok(addresses)
}

/// How the cluster maps keys, or nothing where it is none of ours.
async fn partitions(servers: &[String], access: &Access) -> Option<Partitions> {
    let mut config = ClientConfig::new(servers);
    config.tls.clone_from(&access.tls);
    config.token.clone_from(&access.token);
    let client = Client::new(config).ok()?;
    let cluster = client.cluster().await.ok()?;
    Partitions::told(&cluster.hash_config)
}

fn bar(hidden: bool) -> ProgressBar {
    if hidden || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    bar.set_length(millis(progress.length));
    bar.set_position(millis(progress.elapsed));
    let Progress {
        elapsed,
        length,
        served,
        failed,
    } = progress;
    let (elapsed, length) = (elapsed.as_secs_f64(), length.as_secs_f64());
    bar.set_message(format!(
        "{elapsed:.0} of {length:.0} s, {served} served, {failed} not"
    ));
}

/// Reads marks from standard input for as long as the process lives.
fn marks() -> Receiver<(Instant, String)> {
    let (sender, marks) = sync_channel(MARKS_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            // More than are kept are dropped, as is the rest once nobody listens.
            if sender.try_send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    marks
}

fn placed(marks: &Receiver<(Instant, String)>, begin: Instant) -> Vec<Mark> {
    let marks = marks.try_iter().filter(|(at, _)| *at >= begin);
    marks
        .map(|(at, label)| Mark {
            at: at - begin,
            label,
        })
        .collect()
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
