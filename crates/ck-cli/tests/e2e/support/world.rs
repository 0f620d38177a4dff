//! `ck serve` processes in a network that can be cut.

use super::net::{self, Net};
use super::{Cluster, Server};

/// A cluster in such a network. The nodes end before the network does.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) net: Net,
}

/// Runs a test over `nodes` nodes that are ready, or says why it cannot.
pub(crate) fn in_namespaces(nodes: usize, flags: &[&str], test: impl FnOnce(&mut World) + Send) {
    net::in_namespaces(nodes, |net| {
        let cluster = cluster(&net, nodes, flags);
        let mut world = World { cluster, net };
        world.cluster.start_all();
        world.cluster.wait_until_ready();
        test(&mut world);
    });
}

fn cluster(net: &Net, nodes: usize, flags: &[&str]) -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let join: Vec<String> = (0..nodes).map(|node| net.http(node).to_string()).collect();
    let servers = (0..nodes)
        .map(|node| {
            let mut server = Server::new(&format!("node-{}", node + 1), 0, directory.path())
                .with(&["--insecure", "--join", &join.join(",")])
                .with(flags);
            server.http = net.http(node);
            server.inside = Some(net.namespace(node));
            server
        })
        .collect();
    Cluster { servers, directory }
}
