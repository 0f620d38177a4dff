//! The bytes of the commands that move copies and roles, and of what goes with them.

use alloc::vec;
use alloc::vec::Vec;

use ck_core::{Epoch, PartitionId};

use super::world::{World, config, table};
use crate::state::{
    Command, Entry, InSyncChange, Move, Party, RebalanceCommand, Registration, TransferCommand,
    Trigger,
};
use crate::{
    ConfigChange, LeaseTerms, MemberNumber, Mode, Position, Profile, Release, SwitchId, TransferId,
};

struct Log {
    world: World,
    entries: Vec<Entry>,
}

impl Log {
    /// Applies a command that must be accepted; returns its position.
    fn ok(&mut self, command: Command) -> u64 {
        self.world.ok(command.clone());
        self.world.position -= 1;
        self.entries.push(self.world.entry(command));
        self.world.position
    }

    fn step(&mut self, step: TransferCommand) -> u64 {
        let office = Some(self.world.office());
        self.ok(Command::Transfer { office, step })
    }

    fn party(&self, n: u64) -> Party {
        Party {
            member: MemberNumber(n),
            session: self.world.session(n),
        }
    }

    fn open(
        &mut self,
        partition: u32,
        source: u64,
        leaving: Option<u64>,
        force: bool,
    ) -> TransferId {
        let handoff = leaving == Some(source);
        let begun = Move {
            partition: PartitionId(partition),
            source: self.party(source),
            target: self.party(3),
            handoff,
            leaving: leaving.map(MemberNumber),
            reason: Trigger::Drain,
            force,
        };
        TransferId(self.step(TransferCommand::Open(begun)))
    }

    /// Up to the open switch.
    fn open_switch(&mut self, partition: u32, source: u64, force: bool) -> (TransferId, SwitchId) {
        let transfer = self.open(partition, source, Some(source), force);
        self.step(TransferCommand::Prepared { transfer });
        let session = self.world.session(source);
        let epoch = Epoch(1);
        self.step(TransferCommand::CaughtUp {
            transfer,
            session,
            epoch,
        });
        let switch = self.step(TransferCommand::OpenSwitch { transfer });
        (transfer, SwitchId(switch))
    }
}

fn moves(log: &mut Log) {
    let (transfer, switch) = log.open_switch(0, 1, false);
    let release = Release {
        session: log.world.session(1),
        partition: PartitionId(0),
        epoch: Epoch(1),
        switch,
    };
    log.step(TransferCommand::Commit { transfer, release });
    log.step(TransferCommand::Activated { transfer });
    log.step(TransferCommand::Finish { transfer });
    let (transfer, _) = log.open_switch(1, 2, true);
    let revoked = Position(log.step(TransferCommand::Revoke { transfer }));
    log.step(TransferCommand::CommitRevoked { transfer, revoked });
    log.step(TransferCommand::Activated { transfer });
    log.step(TransferCommand::Finish { transfer });
    log.world.check(&[
        "3 2 epoch 2 held 3 sync 2 3 stable",
        "3 1 epoch 2 held 3 sync 1 3 stable",
    ]);
}

fn the_rest(log: &mut Log) {
    let change = ConfigChange {
        replication_factor: Some(1),
        min_in_sync: Some(1),
        ..ConfigChange::default()
    };
    log.ok(Command::Configure { change });
    let (partition, member) = (PartitionId(0), MemberNumber(2));
    log.step(TransferCommand::Trim { partition, member });
    log.ok(Command::InSync {
        partition: PartitionId(1),
        session: log.world.session(3),
        epoch: Epoch(2),
        change: InSyncChange::Remove(MemberNumber(1)),
    });
    let target = log.party(1);
    log.ok(Command::InSync {
        partition: PartitionId(1),
        session: log.world.session(3),
        epoch: Epoch(2),
        change: InSyncChange::Add(target),
    });
    for _ in 0..2 {
        let since = Position(log.ok(Command::Rebalance {
            step: RebalanceCommand::Begin {
                base: log.world.version(),
                table: table(&["2", "1"]),
                trigger: Trigger::Manual,
                started_at_ms: 5,
            },
        }));
        let step = RebalanceCommand::Pause { paused: true };
        log.ok(Command::Rebalance { step });
        let step = RebalanceCommand::Finish { since };
        log.ok(Command::Rebalance { step });
    }
    let begin = RebalanceCommand::Begin {
        base: log.world.version(),
        table: table(&["2", "1"]),
        trigger: Trigger::Manual,
        started_at_ms: 5,
    };
    log.ok(Command::Rebalance { step: begin });
    let step = RebalanceCommand::Abort;
    log.ok(Command::Rebalance { step });
    let office = Some(log.world.office());
    log.ok(Command::Expire {
        office: log.world.office(),
        sessions: vec![log.world.session(3)],
    });
    log.ok(Command::Register(Registration {
        served: true,
        ..log.world.restart(3)
    }));
    log.ok(Command::Promote {
        partition: PartitionId(0),
        member: MemberNumber(3),
        accept_loss: true,
    });
    log.ok(Command::Brake { office, lost: 3 });
    log.ok(Command::Brake { office, lost: 0 });
    log.ok(Command::SetMode {
        mode: Mode::Advisory,
    });
    let since = Position(log.ok(Command::SetMode { mode: Mode::Fenced }));
    let sessions = log.world.state.sessions().map(|one| one.id).collect();
    log.ok(Command::ModeApplied { since, sessions });
    let terms = LeaseTerms::of(Profile::Fast);
    let since = Position(log.ok(Command::SetLease { terms }));
    let office = log.world.office();
    log.ok(Command::LeaseSettled { office, since });
}

fn log() -> Vec<Entry> {
    let mut log = Log {
        world: World::of(3, config(2, 2)),
        entries: Vec::new(),
    };
    log.ok(Command::CreatePartitions {
        table: table(&["1 2", "2 1"]),
        strategy: None,
    });
    let transfer = log.open(0, 1, Some(2), false);
    log.step(TransferCommand::Pause {
        transfer,
        paused: true,
    });
    log.step(TransferCommand::Abort { transfer });
    moves(&mut log);
    the_rest(&mut log);
    log.entries
}

/// To make the file of a new version: `CK_GOLDEN=write cargo test -p ck-control golden`.
#[test]
fn the_golden_file_of_moves_is_read_and_written_byte_for_byte() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/moves-1.bin");
    let settings = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(log(), settings).unwrap();
    if std::env::var_os("CK_GOLDEN").is_some_and(|mode| mode == "write") {
        assert!(
            !std::fs::exists(path).unwrap(),
            "{path} exists and is never changed"
        );
        std::fs::write(path, &bytes).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    let (read, _) = bincode::serde::decode_from_slice::<Vec<Entry>, _>(&golden, settings).unwrap();
    assert_eq!(read, log());
    assert_eq!(bytes, golden, "the bytes of a command have changed");
}

#[test]
fn every_command_of_moves_is_in_the_golden_file() {
    let entries = log();
    let mut names: Vec<&str> = entries
        .iter()
        .map(|entry| entry.proposal.command.name())
        .collect();
    names.sort_unstable();
    names.dedup();
    let moves = names.iter().filter(|name| name.starts_with("transfer-"));
    assert_eq!(moves.count(), 11, "{names:?}");
}
