//! Keys, and who has them.

use benches::processes::Server;

/// One write of a key; whether it was acknowledged.
pub(crate) fn put(server: &mut Server, key: &str, value: &str) -> Option<u16> {
    server.send(
        "PUT",
        &format!("/kv/{key}"),
        "application/octet-stream",
        value,
    )
}

/// The primary of a key by that node's table.
fn primary(server: &mut Server, key: &str) -> Option<String> {
    let answer = server.json(&format!("/partitions/key?key={key}"))?;
    answer["primary_node"].as_str().map(str::to_owned)
}

/// At most `most` keys whose primary is `node`, no two of one partition.
pub(crate) fn of_primary(server: &mut Server, node: &str, most: usize) -> Vec<String> {
    let mut partitions = std::collections::BTreeSet::new();
    let mut keys = Vec::new();
    for number in 0..100_000 {
        if keys.len() == most {
            break;
        }
        let key = format!("key-{number}");
        let Some(answer) = server.json(&format!("/partitions/key?key={key}")) else {
            continue;
        };
        let is_its = answer["primary_node"] == node;
        if is_its && partitions.insert(answer["id"].to_string()) {
            keys.push(key);
        }
        if number > 64 * most {
            break;
        }
    }
    keys
}

/// The node that a write of `key` is best sent to.
pub(crate) fn route(servers: &mut [Server], asked: usize, key: &str) -> Option<usize> {
    let primary = primary(servers.get_mut(asked)?, key)?;
    servers.iter().position(|server| server.name == primary)
}
