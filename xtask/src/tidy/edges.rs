//! Which crate of the workspace may depend on which. Arrows point down and never reverse.

use super::Violation;
use crate::repo::Package;

/// Every package of the workspace with those it may name. A new package is entered here, which is
/// when somebody asks where it belongs.
const EDGES: &[(&str, &[&str])] = &[
    ("ck-core", &[]),
    ("ck-control", &["ck-core"]),
    ("ck-sim", &["ck-core", "ck-control"]),
    ("ck-tls", &["ck-core"]),
    ("ck-transport", &["ck-core", "ck-tls"]),
    ("ck-node", &["ck-core", "ck-control", "ck-transport"]),
    ("ck-api", &["ck-core"]),
    ("ck-spec", &["ck-core", "ck-api"]),
    ("ck-client", &["ck-core", "ck-tls", "ck-api"]),
    (
        "ck-http",
        &["ck-core", "ck-control", "ck-tls", "ck-node", "ck-api"],
    ),
    (
        "ck-serve",
        &[
            "ck-core",
            "ck-control",
            "ck-node",
            "ck-api",
            "ck-http",
            "ck-client",
        ],
    ),
    (
        "ck-cli",
        &[
            "ck-core",
            "ck-control",
            "ck-tls",
            "ck-sim",
            "ck-node",
            "ck-api",
            "ck-spec",
            "ck-client",
            "ck-serve",
        ],
    ),
    (
        "partitions-demo",
        &[
            "ck-core",
            "ck-control",
            "ck-node",
            "ck-api",
            "ck-http",
            "ck-client",
        ],
    ),
    (
        "ck-load",
        &["ck-core", "ck-control", "ck-sim", "ck-api", "ck-client"],
    ),
    // A service: what it lacks is mended in what it is built on.
    ("ck-kv", &["ck-node", "ck-http", "ck-client", "ck-serve"]),
    ("ck-queue", &["ck-node", "ck-http", "ck-serve", "ck-kv"]),
    ("visits", &["ck-node", "ck-http", "ck-client", "ck-serve"]),
    (
        "benches",
        &[
            "ck-core",
            "ck-control",
            "ck-node",
            "ck-api",
            "ck-http",
            "ck-client",
        ],
    ),
    ("simulated-handler", &["ck-core", "ck-control"]),
    ("ck-sql", &["ck-node", "ck-http", "ck-client", "ck-serve"]),
    ("custom-placement", &["ck-core"]),
    ("ck-fuzz", &["ck-core", "ck-spec"]),
    ("xtask", &[]),
];

pub(super) fn check(packages: &[Package], found: &mut Vec<Violation>) {
    for package in packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            let message = "not in the list of packages; enter it in xtask/src/tidy/edges.rs";
            found.push(Violation::of(&package.name, message.to_owned()));
            continue;
        };
        for dependency in &package.dependencies {
            // A package may name itself with other features, for its own tests.
            let is_ours = dependency.path.is_some() && dependency.name != package.name;
            // Tests reach upwards at times (a client's against a real server); code does not.
            let is_code = dependency.kind.as_deref() != Some("dev");
            if is_ours && is_code && !allowed.contains(&dependency.name.as_str()) {
                let name = &dependency.name;
                let message = format!("depends on {name}; it may name {allowed:?} alone");
                found.push(Violation::of(&package.name, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Dependency;

    #[track_caller]
    fn found(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let dependency = Dependency {
            name: dependency.to_owned(),
            kind: kind.map(str::to_owned),
            path: Some("crates".into()),
        };
        let package = Package {
            name: package.to_owned(),
            dependencies: vec![dependency],
        };
        let mut found = Vec::new();
        check(&[package], &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reversed_arrow_is_refused() {
        let expected = "ck-core: depends on ck-control; it may name [] alone";
        assert_eq!(found("ck-core", "ck-control", None), [expected]);
        assert_eq!(found("ck-transport", "ck-control", Some("build")).len(), 1);
        assert_eq!(found("ck-control", "ck-core", None).len(), 0);
        assert_eq!(found("ck-client", "ck-http", Some("dev")).len(), 0);
    }

    #[test]
    fn package_nobody_placed_is_refused() {
        assert!(found("ck-new", "ck-core", None)[0].starts_with("ck-new: not in the list"));
    }

    #[test]
    fn the_list_itself_has_no_cycle() {
        for (at, (name, allowed)) in EDGES.iter().enumerate() {
            for below in *allowed {
                let other = EDGES.iter().position(|(name, _)| name == below);
                assert!(
                    other.is_some_and(|other| other < at),
                    "{name} names {below}"
                );
            }
        }
    }
}
