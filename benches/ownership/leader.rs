//! A leader's machine with a thousand sessions that renew: every renewal and every answer is encoded
//! and decoded as on the wire, leadership is confirmed round by round. What carries the bytes, and
//! what replicates the log to a thousand members, is not in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use benches::ratio::Report;
use ck_control::{
    Bugs, ClusterId, Command, Config, Entry, Founder, Generation, Genesis, Incarnation, Leader,
    LeaderInput, LeaderOutput, LeaseTerms, MemberNumber, Nonce, Pace, Position, Profile, Proposal,
    Registration, Renewal, SessionId, State, StoreId, Time,
};
use ck_core::NodeId;
use ck_core::placement::{Balanced, Placement};

const SESSIONS: u64 = 1_000;
const PARTITIONS: u32 = 4_096;

/// Time that is played through.
const PLAYED: Duration = Duration::from_secs(2);

/// A majority answers within this.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(2);

/// Of a core.
const LIMIT: f64 = 0.10;

fn node(number: u64) -> NodeId {
    NodeId::new(&format!("node-{number}")).expect("a short name")
}

fn registration(number: u64) -> Registration {
    Registration {
        node: node(number),
        display_name: String::new(),
        store: StoreId(number.into()),
        generation: Generation(1),
        member: None,
        previous: None,
        homes: Vec::new(),
        process: Nonce(number),
        durable: true,
        stopped: None,
        served: false,
        peer_address: format!("node-{number}:1"),
        http_address: String::new(),
        weight: 1,
        domain: None,
        services: BTreeMap::new(),
        labels: BTreeMap::new(),
        command_version: ck_control::COMMAND_VERSION,
    }
}

fn apply(state: &mut State, command: Command) {
    let position = Position(state.applied().0 + 1);
    let proposal = Proposal::new(0, "bench".to_owned(), command);
    let entry = Entry {
        position,
        term: 1,
        proposal,
    };
    let applied = state.apply(&entry).expect("a known command");
    applied.expect("a command that fits");
}

/// A thousand members with sessions, the first of which leads, and partitions over them.
fn cluster() -> State {
    let mut state = State::default();
    let config = Config {
        partitions: PARTITIONS,
        members_max: u32::try_from(SESSIONS).unwrap_or(u32::MAX),
        ..Config::default()
    };
    apply(
        &mut state,
        Command::Genesis(Genesis {
            cluster: ClusterId(1),
            name: "bench".to_owned(),
            incarnation: Incarnation(1),
            config,
            founder: Founder {
                node: node(1),
                store: StoreId(1),
            },
        }),
    );
    for number in 1..=SESSIONS {
        apply(&mut state, Command::Register(registration(number)));
    }
    let plan = Balanced::default().place(&state.topology(), &state.spec(), None);
    apply(
        &mut state,
        Command::CreatePartitions {
            table: plan.expect("enough nodes").table,
            strategy: None,
        },
    );
    apply(
        &mut state,
        Command::Office {
            member: MemberNumber(1),
            nonce: Nonce(1),
            term: 1,
        },
    );
    state
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Confirmed(u64),
    Renewal(u64),
}

fn codec<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard());
    let bytes = bytes.expect("plain data");
    let decoded = bincode::serde::decode_from_slice(&bytes, bincode::config::standard());
    decoded.expect("what was encoded").0
}

/// Plays [`PLAYED`] through. Returns how many renewals were answered.
fn play(state: &State) -> u64 {
    let mut leader = Leader::new(MemberNumber(1), Nonce(1), Pace::default(), Bugs::default());
    let start = Time(1_000_000_000);
    leader.handle(LeaderInput::Applied(state.clone()), start);
    leader.handle(LeaderInput::Leads { term: 1 }, start);
    let members: Vec<(MemberNumber, SessionId)> = state
        .sessions()
        .map(|session| (session.member, session.id))
        .collect();
    let every = LeaseTerms::of(Profile::Lan).renews_every();
    let apart = every / u32::try_from(SESSIONS).unwrap_or(1);
    let mut queue: BinaryHeap<Reverse<(Time, Happens)>> = (0..SESSIONS)
        .map(|at| {
            Reverse((
                start.after(apart * u32::try_from(at).unwrap_or(0)),
                Happens::Renewal(at),
            ))
        })
        .collect();
    let (end, mut answered) = (start.after(PLAYED), 0);
    while let Some(Reverse((now, what))) = queue.pop().filter(|Reverse((now, _))| *now < end) {
        if leader.next_deadline().is_some_and(|at| at <= now) {
            leader.handle(LeaderInput::Tick, now);
        }
        match what {
            Happens::Confirmed(round) => {
                let round = ck_control::Round(round);
                leader.handle(LeaderInput::Confirmed { round, term: 1 }, now);
            }
            Happens::Renewal(at) => {
                let (member, session) = members[usize::try_from(at).unwrap_or(0)];
                let renewal = codec(&Renewal {
                    member,
                    session,
                    process: Nonce(member.0),
                    sent: now,
                    applied: state.applied(),
                    unanswered: Duration::ZERO,
                    leaving: false,
                    reports: Vec::new(),
                });
                leader.handle(LeaderInput::Renewal(renewal), now);
                queue.push(Reverse((now.after(every), Happens::Renewal(at))));
            }
        }
        while let Some(output) = leader.poll_output() {
            match output {
                LeaderOutput::Confirm { round, .. } => {
                    let at = now.after(CONFIRMED_WITHIN);
                    queue.push(Reverse((at, Happens::Confirmed(round.0))));
                }
                LeaderOutput::Answer { answer, .. } => {
                    std::hint::black_box(codec(&answer));
                    answered += 1;
                }
                LeaderOutput::Propose(_) | LeaderOutput::Plan { .. } => {}
            }
        }
    }
    answered
}

pub(crate) fn measure(report: &mut Report) {
    let state = cluster();
    let expected = SESSIONS * u64::try_from(PLAYED.as_millis() / 400).unwrap_or(0);
    let answered = play(&state);
    assert!(
        answered + SESSIONS >= expected,
        "{answered} of {expected} were answered"
    );
    report.share_at_most("leader, 1,000 sessions renew", LIMIT, PLAYED, || {
        std::hint::black_box(play(&state));
    });
    report.note(&format!("{answered} renewals answered in {PLAYED:?}"));
}
