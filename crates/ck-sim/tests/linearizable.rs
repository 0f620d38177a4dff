//! Verdicts on small random histories, against stateright's tester, which searches without memory or
//! rules; and on long ones that are right by construction, and wrong by one change.

use ck_sim::history::{Kind, Limits, Operation, Outcome, Problem, Report, check};
use ck_sim::random::Random;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// A register as stateright sees it. An operation's effect is in what it returns.
#[derive(Clone, Default)]
struct Register(Option<String>);

#[derive(Clone, Debug, PartialEq)]
enum Ask {
    Put(Option<String>),
    Read,
    Cas(Option<String>, Option<String>),
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Done,
    Was(Option<String>),
    Mismatch,
}

impl SequentialSpec for Register {
    type Op = Ask;
    type Ret = Told;

    fn invoke(&mut self, op: &Ask) -> Told {
        match op {
            Ask::Put(value) => self.0.clone_from(value),
            Ask::Read => return Told::Was(self.0.clone()),
            Ask::Cas(expected, _) if *expected != self.0 => return Told::Mismatch,
            Ask::Cas(_, value) => self.0.clone_from(value),
        }
        Told::Done
    }
}

fn by_stateright(operations: &[Operation]) -> bool {
    // Ends of one instant come after its starts: operations that touch overlap.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let is_read = operation.op == Kind::Get;
        match operation.outcome {
            Outcome::Failed => continue,
            Outcome::Unknown if is_read => continue,
            Outcome::Unknown => {}
            Outcome::Ok | Outcome::Mismatch => {
                events.push((operation.end.unwrap(), true, at));
            }
        }
        events.push((operation.start, false, at));
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(Register::default());
    for (_, is_end, at) in events {
        let Operation {
            op,
            value,
            expected,
            outcome,
            ..
        } = operations[at].clone();
        // One thread each: what is open must not hold back what its client does next.
        if is_end {
            let told = match (op, outcome) {
                (Kind::Get, _) => Told::Was(value),
                (_, Outcome::Mismatch) => Told::Mismatch,
                _ => Told::Done,
            };
            tester.on_return(at, told).unwrap();
        } else {
            let ask = match op {
                Kind::Get => Ask::Read,
                Kind::Put | Kind::Delete => Ask::Put(value),
                Kind::Cas => Ask::Cas(expected, value),
            };
            tester.on_invoke(at, ask).unwrap();
        }
    }
    tester.is_consistent()
}

fn by_us(operations: &[Operation]) -> Report {
    let mut text = String::new();
    for operation in operations {
        text += &serde_json::to_string(operation).unwrap();
        text.push('\n');
    }
    check(text.as_bytes(), Limits::default()).unwrap()
}

/// A register that is served honestly: each operation takes effect at one instant between its start
/// and its end.
struct Honest {
    clients: usize,
    operations: usize,
    values: u64,
    /// How many in a thousand have an unknown outcome.
    unknown: u64,
    /// Most time an operation takes.
    long: u64,
}

impl Honest {
    fn history(&self, random: &mut Random) -> Vec<Operation> {
        // When it takes effect, and which it is; the free clients' times.
        let mut planned: Vec<(u64, Operation)> = Vec::new();
        let mut free = vec![0; self.clients];
        for at in 0..self.operations {
            let client = random.index(self.clients);
            let start = free[client] + random.below(4);
            let end = start + 1 + random.below(self.long);
            free[client] = end + 1;
            let op = *random.pick(&[Kind::Put, Kind::Get, Kind::Get, Kind::Cas, Kind::Delete]);
            let mut value = || match self.values {
                0 => Some(format!("v{at}")),
                values => Some(format!("v{}", random.below(values))),
            };
            let (value, expected) = match op {
                Kind::Put => (value(), None),
                Kind::Cas => (value(), value()),
                Kind::Get | Kind::Delete => (None, None),
            };
            let is_open = random.permille(self.unknown);
            let effect = if is_open && random.permille(300) {
                u64::MAX
            } else {
                random.between(start, end + 1 + if is_open { 30 } else { 0 })
            };
            planned.push((
                effect,
                Operation {
                    op,
                    client: format!("c{client}"),
                    key: "k".into(),
                    value,
                    expected,
                    start,
                    end: Some(end),
                    outcome: if is_open {
                        Outcome::Unknown
                    } else {
                        Outcome::Ok
                    },
                    partition: None,
                },
            ));
        }
        planned.sort_by_key(|(effect, _)| *effect);
        let mut state: Option<String> = None;
        for (effect, operation) in &mut planned {
            if *effect == u64::MAX {
                continue;
            }
            let is_known = operation.outcome == Outcome::Ok;
            match operation.op {
                Kind::Get if is_known => operation.value.clone_from(&state),
                Kind::Get => {}
                Kind::Put | Kind::Delete => state.clone_from(&operation.value),
                Kind::Cas => {
                    // Half of them know what is there, else none would ever succeed.
                    if is_known && random.permille(500) {
                        operation.expected.clone_from(&state);
                    }
                    if operation.expected == state {
                        state.clone_from(&operation.value);
                    } else if is_known {
                        operation.outcome = Outcome::Mismatch;
                    }
                }
            }
        }
        planned
            .into_iter()
            .map(|(_, operation)| operation)
            .collect()
    }
}

/// Changes what one answered operation saw, or when it was.
fn damage(operations: &mut [Operation], random: &mut Random) {
    let at = random.index(operations.len());
    let other = random.index(operations.len());
    let value = operations[other].value.clone();
    let operation = &mut operations[at];
    match (operation.op, operation.outcome) {
        (Kind::Get, _) => operation.value = value,
        (Kind::Cas, Outcome::Ok) => operation.outcome = Outcome::Mismatch,
        (Kind::Cas, Outcome::Mismatch) => operation.outcome = Outcome::Ok,
        (_, Outcome::Unknown) => operation.outcome = Outcome::Failed,
        _ => {
            let later = operation.start + 10;
            (operation.start, operation.end) = (later, Some(later + 1));
        }
    }
}

#[test]
fn verdicts_agree_with_stateright_on_small_histories() {
    let mut counts = [0_u32; 2];
    let mut kinds: Vec<&str> = Vec::new();
    for seed in 0..8_000 {
        let mut random = Random::new(seed, 1);
        let honest = Honest {
            clients: 1 + random.index(4),
            operations: 2 + random.index(8),
            values: random.below(4),
            unknown: random.below(400),
            long: 1 + random.below(12),
        };
        let mut operations = honest.history(&mut random);
        if seed % 4 != 0 {
            for _ in 0..=random.below(2) {
                damage(&mut operations, &mut random);
            }
        }
        let theirs = by_stateright(&operations);
        let ours = by_us(&operations);
        assert!(ours.undecided.is_empty());
        assert_eq!(
            ours.found == 0,
            theirs,
            "seed {seed}: {ours:?}\n{operations:#?}"
        );
        assert!(
            theirs || seed % 4 != 0,
            "seed {seed} is right by construction"
        );
        counts[usize::from(theirs)] += 1;
        kinds.extend(ours.problems.iter().map(Problem::kind));
        // What is shown as contradictory is so by itself, with all else allowed to have happened.
        if let Some(problem) = ours.problems.first() {
            assert!(
                !by_stateright(&weakened(&operations, &problem.lines())),
                "seed {seed}"
            );
        }
    }
    println!("not linearizable {}, linearizable {}", counts[0], counts[1]);
    assert!(counts.iter().all(|count| *count > 1_500), "{counts:?}");
    for kind in [
        "unwritten-read",
        "stale-read",
        "lost-write",
        "not-linearizable",
    ] {
        let count = kinds.iter().filter(|one| **one == kind).count();
        assert!(count > 50, "{kind}: {count}");
    }
}

/// The history with all but these lines given up: reads are left out, and of writes that ended
/// before all of them nothing is changed; others may have happened.
fn weakened(operations: &[Operation], lines: &[u64]) -> Vec<Operation> {
    let kept = |line: u64| &operations[usize::try_from(line).unwrap() - 1];
    let first = lines.iter().map(|line| kept(*line).start).min().unwrap();
    let mut weak = Vec::new();
    for (line, operation) in (1..).zip(operations) {
        let mut operation = operation.clone();
        let is_before = operation.end.is_some_and(|end| end < first);
        if !lines.contains(&line) && operation.outcome != Outcome::Failed && !is_before {
            if operation.outcome == Outcome::Mismatch {
                continue;
            }
            operation.outcome = Outcome::Unknown;
        }
        weak.push(operation);
    }
    weak
}

#[test]
fn long_histories_are_decided_quickly() {
    for (seed, clients) in [(1, 8), (2, 12), (3, 16), (4, 16)] {
        let mut random = Random::new(seed, 2);
        let honest = Honest {
            clients,
            operations: 4_000,
            values: 0,
            unknown: 30,
            long: 40,
        };
        let operations = honest.history(&mut random);
        let report = by_us(&operations);
        assert_eq!(
            (report.found, report.undecided.len()),
            (0, 0),
            "seed {seed}"
        );
        assert!(report.unknown > 60, "{}", report.unknown);
        // Two that took the same value away, somewhere in the midst of it.
        let mut wrong = operations;
        let twice = |one: &&Operation| {
            let is_swap = one.op == Kind::Cas && one.outcome == Outcome::Ok;
            is_swap && one.expected.is_some() && one.expected != one.value
        };
        let mut twin = wrong.iter().filter(twice).nth(200).unwrap().clone();
        twin.value = Some("twin".into());
        wrong.push(twin);
        let report = by_us(&wrong);
        assert_eq!(
            (report.found, report.undecided.len()),
            (1, 0),
            "seed {seed}"
        );
        let lines = report.problems[0].lines();
        assert!(lines.len() <= 4, "{}: {:?}", lines.len(), lines.last());
        assert!(lines.contains(&(wrong.len() as u64)), "seed {seed}");
    }
}
