//! A cluster of real processes on loopback.

use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::poll::Server;

/// Longest that a cluster takes to be as it was after a node has come back.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Between two looks at whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A program that is one node, with the flags of `ck serve`.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its package.
    pub package: &'static str,
    /// Its binary.
    pub binary: &'static str,
    /// What comes before the flags.
    pub arguments: &'static [&'static str],
}

/// The server without an application.
pub const SERVER: Program = Program {
    package: "ck-cli",
    binary: "ck",
    arguments: &["serve"],
};

impl Program {
    /// Builds the program as it ships.
    ///
    /// # Errors
    /// When it does not build.
    pub fn build(&self) -> Result<(), Box<dyn Error>> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked"])
            .args(["-p", self.package, "--bin", self.binary])
            .status()?;
        if built.success() {
            Ok(())
        } else {
            Err(format!("{} does not build", self.binary).into())
        }
    }

    /// Where cargo has put it: two folders above this program.
    ///
    /// # Errors
    /// When this program has no folder.
    pub fn path(&self) -> Result<PathBuf, Box<dyn Error>> {
        let here = std::env::current_exe()?;
        let folder = here.parent().and_then(|deps| deps.parent());
        let folder = folder.ok_or("this program has no folder")?;
        Ok(folder.join(self.binary))
    }
}

/// Nodes that end with it.
#[derive(Debug)]
pub struct Cluster {
    program: Program,
    ports: Vec<u16>,
    processes: Vec<Option<Child>>,
    directory: TempDir,
    partitions: u32,
    profile: String,
}

impl Cluster {
    /// Starts `nodes` of them, and waits until nothing moves.
    ///
    /// # Errors
    /// When one does not start, or they do not settle.
    pub fn start(
        program: Program,
        nodes: u16,
        partitions: u32,
        profile: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let mut cluster = Self {
            program,
            ports: (0..nodes).map(|_| free_port()).collect::<Result<_, _>>()?,
            processes: (0..nodes).map(|_| None).collect(),
            directory: tempfile::tempdir()?,
            partitions,
            profile: profile.to_owned(),
        };
        for node in 0..usize::from(nodes) {
            cluster.start_node(node)?;
        }
        cluster.settle()?;
        // So that roles go back to a returned node soon; what is measured does not depend on it.
        match cluster
            .server(0)
            .patch("/v1/config", r#"{"settle_ms":200}"#)
        {
            Some(200) => Ok(cluster),
            other => Err(format!("the configuration is not changed: {other:?}").into()),
        }
    }

    /// Starts a node, the first time or again with its data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_node(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let name = format!("node-{}", node + 1);
        let log = std::fs::File::create(self.directory.path().join(format!("{name}.log")))?;
        let mut command = Command::new(self.program.path()?);
        command.args(self.program.arguments);
        command.args(["--id", &name]);
        command.args(["--http", &format!("127.0.0.1:{}", self.ports[node])]);
        for port in &self.ports {
            command.args(["--join", &format!("127.0.0.1:{port}")]);
        }
        command.arg("--data").arg(self.directory.path().join(&name));
        command.args(["--partitions", &self.partitions.to_string()]);
        command.args(["--profile", &self.profile]);
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.processes[node] = Some(child);
        Ok(())
    }

    /// Kills a node and waits for its end.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let mut child = self.processes[node].take().ok_or("it is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks a node to stop, and does not wait.
    ///
    /// # Errors
    /// When it is not running.
    pub fn terminate(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let child = self.processes[node].as_ref().ok_or("it is not running")?;
        let told = Command::new("kill").arg(child.id().to_string()).status()?;
        if told.success() {
            Ok(())
        } else {
            Err("kill does not work".into())
        }
    }

    /// Waits until a node that was asked to stop has ended.
    ///
    /// # Errors
    /// When that cannot be waited for.
    pub fn wait_for_end(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        if let Some(mut child) = self.processes[node].take() {
            child.wait()?;
        }
        Ok(())
    }

    /// One node, to be asked.
    #[must_use]
    pub fn server(&self, node: usize) -> Server {
        Server::new(&format!("node-{}", node + 1), self.ports[node])
    }

    /// Every node.
    #[must_use]
    pub fn all(&self) -> Vec<Server> {
        (0..self.ports.len())
            .map(|node| self.server(node))
            .collect()
    }

    /// Every node but one.
    #[must_use]
    pub fn survivors(&self, victim: usize) -> Vec<Server> {
        let others = (0..self.ports.len()).filter(|node| *node != victim);
        others.map(|node| self.server(node)).collect()
    }

    /// Which node leads the log.
    ///
    /// # Errors
    /// When none is known.
    pub fn leader(&self) -> Result<usize, Box<dyn Error>> {
        let answer = self.server(0).json("/v1/nodes").ok_or("no answer")?;
        let nodes = answer["nodes"].as_array().cloned().unwrap_or_default();
        let leader = nodes.iter().find(|node| node["leader"] == true);
        let name = leader
            .and_then(|node| node["id"].as_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix("node-")
            .and_then(|text| text.parse::<usize>().ok());
        Ok(number.ok_or("no leader is known")? - 1)
    }

    /// Waits until every node is ready, every partition stable, and nothing moves.
    ///
    /// # Errors
    /// When that takes longer than two minutes.
    pub fn settle(&self) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        let mut servers = self.all();
        let mut calm = 0;
        while calm < 10 {
            let is_calm = servers.iter_mut().all(|server| {
                let ready = matches!(server.get("/ready", ""), Some((200, ..)));
                ready && is_calm(server, self.partitions)
            });
            calm = if is_calm { calm + 1 } else { 0 };
            if began.elapsed() > SETTLE_TIMEOUT {
                return Err(format!("not calm within {SETTLE_TIMEOUT:?}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn is_calm(server: &mut Server, partitions: u32) -> bool {
    let Some(stats) = server.json("/v1/partitions/stats") else {
        return false;
    };
    let zero = |field: &str| stats[field] == 0;
    let primaries = stats["partitions_per_node"].as_object();
    let leads = |count: &serde_json::Value| count.as_u64().is_some_and(|count| count > 0);
    stats["total_partitions"] == partitions
        && zero("in_flight")
        && zero("unavailable")
        && zero("under_replicated")
        && primaries.is_some_and(|all| all.values().all(leads))
}

impl Cluster {
    /// A further node that joins the others.
    ///
    /// # Errors
    /// When it does not start.
    pub fn join(&mut self) -> Result<usize, Box<dyn Error>> {
        self.ports.push(free_port()?);
        self.processes.push(None);
        let node = self.ports.len() - 1;
        self.start_node(node)?;
        let began = Instant::now();
        let mut server = self.server(node);
        while !matches!(server.get("/ready", ""), Some((200, ..))) {
            if began.elapsed() > SETTLE_TIMEOUT {
                return Err(
                    format!("node-{} is not ready within {SETTLE_TIMEOUT:?}", node + 1).into(),
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(node)
    }

    /// Ends what still runs.
    pub fn end(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port whose neighbour for peers, 2,000 above, is free as well.
fn free_port() -> Result<u16, Box<dyn Error>> {
    for _ in 0..100 {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let peers = port
            .checked_add(2_000)
            .map(|peer| TcpListener::bind(("127.0.0.1", peer)));
        if matches!(peers, Some(Ok(_))) {
            return Ok(port);
        }
    }
    Err("no free pair of ports".into())
}
