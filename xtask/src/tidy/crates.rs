//! The short list of outside crates that the pure ones may name.

use super::Violation;
use crate::repo::Package;

/// Crates whose trees have to stay small and free of the standard library.
pub(super) const PURE: &[&str] = &["ck-core", "ck-control"];

/// Each is `no_std`, well kept, and saves code that would be ours to get wrong.
const ALLOWED: &[&str] = &[
    "thiserror",
    "serde",
    "xxhash-rust",
    "md-5",
    "hashbrown",
    "smallvec",
];

pub(super) fn check(packages: &[Package], found: &mut Vec<Violation>) {
    for package in packages
        .iter()
        .filter(|package| PURE.contains(&package.name.as_str()))
    {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let is_ours = dependency.path.is_some();
            if dependency.kind.is_none() && !is_ours && !ALLOWED.contains(&name) {
                let message = format!("depends on {name}; a pure crate may name {ALLOWED:?}");
                found.push(Violation::of(&package.name, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Dependency;

    #[test]
    fn pure_crate_with_a_crate_off_the_list_is_refused() {
        let dependency = |name: &str, kind: Option<&str>| Dependency {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            path: None,
        };
        let package = |name: &str| Package {
            name: name.to_owned(),
            dependencies: vec![
                dependency("serde", None),
                dependency("rand", None),
                dependency("proptest", Some("dev")),
            ],
        };
        let mut found = Vec::new();
        check(&[package("ck-core"), package("ck-node")], &mut found);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .to_string()
                .starts_with("ck-core: depends on rand;"),
            "{found:?}"
        );
    }
}
