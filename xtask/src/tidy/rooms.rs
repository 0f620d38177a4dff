//! Crates that one module alone may name, so that replacing one of them is a change in one place.

use super::Violation;
use crate::repo::File;
use crate::source;

/// A crate with a room of its own.
struct Room {
    /// The crate, as code spells it.
    name: &'static str,
    /// Files the rule is about: those whose path starts so.
    within: &'static str,
    /// Beginnings of the paths that may name it nevertheless.
    rooms: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        name: "openraft",
        within: "crates/",
        rooms: &["crates/ck-node/src/consensus"],
    },
    Room {
        name: "redb",
        within: "crates/",
        rooms: &[
            "crates/ck-node/src/store",
            // A store of a newer format is made with it, to be refused.
            "crates/ck-cli/tests/e2e/store",
        ],
    },
    Room {
        name: "bincode",
        within: "crates/",
        rooms: &[
            "crates/ck-node/src/codec",
            "crates/ck-transport/src/codec",
            "crates/ck-http/src/table/codec",
            // Formats are pinned by golden files, which are written and read with it.
            "crates/ck-control/tests/",
            "crates/ck-control/src/state/tests",
        ],
    },
    // The command line speaks HTTP like everybody else; only what starts a node links one.
    Room {
        name: "ck_serve",
        within: "crates/ck-cli/src/",
        rooms: &[
            "crates/ck-cli/src/commands/serve",
            // How a time is written is the same for every command.
            "crates/ck-cli/src/args",
        ],
    },
];

pub(super) fn check(file: &File, found: &mut Vec<Violation>) {
    if !file.path.ends_with(".rs") {
        return;
    }
    let code = source::code_only(&file.text);
    for Room {
        name,
        within,
        rooms,
    } in ROOMS
    {
        let starts_with = |start: &&str| file.path.starts_with(*start);
        if !starts_with(within) || rooms.iter().any(starts_with) {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            if source::words(line).any(|word| word == *name) {
                let message = format!("`{name}` is named in {} alone", rooms.join(", "));
                found.push(Violation::at(file, number + 1, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn crate_named_outside_its_room_is_refused() {
        for Room {
            name,
            within,
            rooms,
        } in ROOMS
        {
            let text = format!("// {name}\nuse {name}::Thing;\n");
            let found = found_by(check, &format!("{within}elsewhere.rs"), &text);
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].contains("elsewhere.rs:2: "), "{found:?}");
            for room in *rooms {
                assert_eq!(found_by(check, &format!("{room}/a.rs"), &text), [""; 0]);
            }
        }
        assert_eq!(
            found_by(check, "crates/ck-http/src/a.rs", "use ck_node::Handle;"),
            [""; 0]
        );
    }
}
