use ck_api::{TableMember, TableRow};

use super::*;

/// Draws numbers, the same ones each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn table(version: u64) -> TableAnswer {
    let row = TableRow {
        epoch: 1,
        state: "stable".into(),
        primary: Some(1),
        replicas: vec![2],
    };
    TableAnswer {
        incarnation: 1,
        version,
        replication_factor: 2,
        members: (1..=2).map(member).collect(),
        rows: vec![row; 8],
        ..TableAnswer::default()
    }
}

fn member(number: u64) -> TableMember {
    TableMember {
        member: number,
        id: format!("node-{number}"),
        ..TableMember::default()
    }
}

/// A later table, which may differ in nothing but its version.
fn later(before: &TableAnswer, draw: &mut Draw) -> TableAnswer {
    let mut table = before.clone();
    table.version += 1 + draw.below(3);
    for _ in 0..draw.below(3) {
        let at = draw.below(table.rows.len() as u64) as usize;
        table.rows[at].epoch += 1;
        table.rows[at].primary = Some(1 + draw.below(5)).filter(|number| *number < 5);
    }
    match draw.below(8) {
        0 => {
            let newest = table.members.last().map_or(0, |one| one.member);
            table.members.push(member(newest + 1));
        }
        1 if table.members.len() > 1 => {
            table.members.remove(0);
        }
        2 => table.replication_factor ^= 1,
        _ => {}
    }
    table
}

/// Takes an event over, as a watcher does; whether it was one of the table.
fn follow(table: &mut TableAnswer, event: &Bytes) -> bool {
    let text = std::str::from_utf8(event).unwrap();
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data = line("data: ").unwrap();
    let before = Place::of(table);
    match line("event: ").unwrap() {
        name::TABLE => *table = serde_json::from_str(data).unwrap(),
        name::DELTA => table.apply(&serde_json::from_str(data).unwrap()).unwrap(),
        _ => {
            assert_eq!(line("id: "), None, "nothing is resumed from it");
            return false;
        }
    }
    assert_eq!(line("id: ").unwrap(), Place::of(table).to_string());
    assert!(Place::of(table) > before, "never back");
    true
}

fn drain(feed: &Feed, cursor: &mut Cursor, table: &mut TableAnswer) -> bool {
    loop {
        match feed.take(cursor) {
            Taken::Events(events) => {
                for event in events {
                    follow(table, &event);
                }
            }
            Taken::Nothing => return true,
            Taken::Behind => return false,
        }
    }
}

#[test]
fn from_every_version_that_is_kept_the_same_table_is_reached() {
    let mut draw = Draw(7);
    let feed = Feed::new(table(10), 1000, 1 << 20);
    let mut all = vec![table(10)];
    for _ in 0..200 {
        let next = later(all.last().unwrap(), &mut draw);
        feed.record(next.clone());
        feed.record(all[draw.below(all.len() as u64) as usize].clone());
        all.push(next);
    }
    let newest = all.last().unwrap();
    for known in &all {
        let mut now = known.clone();
        let (mut cursor, first) = feed.begin(Some(Place::of(known))).unwrap();
        assert!(first.is_none());
        assert!(drain(&feed, &mut cursor, &mut now));
        now.version = newest.version;
        assert_eq!(&now, newest, "from {}", known.version);
        assert_eq!(cursor.floor, Place::of(newest));
        // The one before may differ in nothing but its version, and is then as good.
        let mut found = feed.at(Place::of(known)).unwrap().table();
        assert!(found.version <= known.version, "never newer than asked for");
        found.version = known.version;
        assert_eq!(&found, known);
    }
    let (mut cursor, first) = feed.begin(None).unwrap();
    let mut now = TableAnswer::default();
    assert!(follow(&mut now, &first.unwrap()));
    assert_eq!(&now, newest);
    assert!(matches!(feed.take(&mut cursor), Taken::Nothing));
}

#[test]
fn what_is_kept_is_bounded_and_the_rest_is_compacted() {
    for (events, bytes) in [(10, 1 << 20), (1000, 4000)] {
        let mut draw = Draw(3);
        let feed = Feed::new(table(1), events, bytes);
        let mut all = vec![table(1)];
        for _ in 0..300 {
            let next = later(all.last().unwrap(), &mut draw);
            feed.record(next.clone());
            all.push(next);
        }
        let kept = feed.kept();
        assert!(kept.items.len() <= events && kept.weight <= bytes);
        assert!(kept.items.len() > 5, "{}", kept.items.len());
        let oldest = Place::of(&kept.base);
        drop(kept);
        for known in &all {
            let place = Place::of(known);
            let found = feed.at(place);
            assert_eq!(feed.begin(Some(place)).is_ok(), place >= oldest);
            if place < oldest {
                assert_eq!(found.err(), Some(Refusal::Compacted { oldest }));
                continue;
            }
            let mut found = found.unwrap().table();
            found.version = known.version;
            assert_eq!(&found, known);
        }
    }
}

#[test]
fn a_reader_that_falls_behind_is_told_so() {
    let mut draw = Draw(1);
    let feed = Feed::new(table(1), 4, 1 << 20);
    let (mut slow, _) = feed.begin(None).unwrap();
    let mut now = table(1);
    while feed.kept().first <= 1 {
        now = later(&now, &mut draw);
        feed.record(now.clone());
    }
    assert!(matches!(feed.take(&mut slow), Taken::Behind));
}

#[test]
fn the_newest_change_is_kept_whatever_its_size() {
    let feed = Feed::new(table(1), 10, 1);
    let (mut cursor, _) = feed.begin(None).unwrap();
    let mut next = table(2);
    next.rows[3].epoch = 9;
    feed.record(next.clone());
    let mut now = table(1);
    assert!(drain(&feed, &mut cursor, &mut now));
    assert_eq!(now, next);
}

#[test]
fn another_incarnation_is_told_whole_and_never_left_again() {
    let feed = Feed::new(table(50), 10, 1 << 20);
    let (mut cursor, _) = feed.begin(None).unwrap();
    let mut now = table(50);
    let restored = TableAnswer {
        incarnation: 2,
        ..table(3)
    };
    feed.record(restored.clone());
    feed.record(table(60));
    assert!(drain(&feed, &mut cursor, &mut now));
    assert_eq!(now, restored);
    let old = Place {
        incarnation: 1,
        version: 50,
    };
    assert!(
        feed.begin(Some(old)).unwrap().1.is_some(),
        "the whole table"
    );
    let to_come = Place {
        incarnation: 3,
        version: 1,
    };
    let newest = Place::of(&restored);
    assert_eq!(
        feed.begin(Some(to_come)).err(),
        Some(Refusal::Ahead { newest })
    );
}

#[test]
fn whoever_has_seen_in_between_what_was_joined_here_is_told_the_whole_table() {
    let feed = Feed::new(table(30), 10, 1 << 20);
    let mut next = table(35);
    next.rows[1].epoch = 2;
    feed.record(next.clone());
    // Another node told of 32, at which a row was what it is neither before nor after.
    let mut now = table(32);
    now.rows[0].state = "moving".into();
    let (mut cursor, first) = feed.begin(Some(Place::of(&now))).unwrap();
    assert!(first.is_none());
    assert!(drain(&feed, &mut cursor, &mut now));
    assert_eq!(now, next);
    next.version = 36;
    next.rows[0].epoch = 2;
    feed.record(next.clone());
    assert!(drain(&feed, &mut cursor, &mut now), "and on from there");
    assert_eq!(now, next);
}

#[test]
fn the_past_is_never_newer_than_what_was_asked_for() {
    let feed = Feed::new(table(30), 10, 1 << 20);
    for version in 31..=34 {
        feed.record(table(version));
    }
    let at = |version| {
        let place = Place {
            incarnation: 1,
            version,
        };
        feed.at(place).unwrap().table()
    };
    assert_eq!((at(31), at(33)), (table(30), table(30)));
    assert_eq!(at(34), table(34));
}

#[test]
fn what_was_undone_in_between_is_told_to_whoever_has_seen_it_elsewhere() {
    let feed = Feed::new(table(30), 10, 1 << 20);
    let (mut other, _) = feed.begin(None).unwrap();
    // Nobody here has seen the versions in between, at one of which a row was another.
    feed.record(table(35));
    let mut now = table(33);
    now.rows[0].state = "moving".into();
    let (mut cursor, first) = feed.begin(Some(Place::of(&now))).unwrap();
    assert!(first.is_none());
    assert!(drain(&feed, &mut cursor, &mut now));
    assert_eq!(now, table(35));
    let mut now = table(30);
    assert!(drain(&feed, &mut other, &mut now));
    assert_eq!(now, table(35), "a change without rows");
    // The next version is not told when it changes nothing.
    feed.record(table(36));
    assert!(matches!(feed.take(&mut other), Taken::Nothing));
    assert_eq!(other.floor, Place::of(&table(36)));
}

#[test]
fn whoever_has_seen_more_elsewhere_is_not_taken_back() {
    let feed = Feed::new(table(10), 10, 1 << 20);
    let ahead = Place {
        incarnation: 1,
        version: 12,
    };
    let (mut cursor, first) = feed.begin(Some(ahead)).unwrap();
    assert!(first.is_none());
    let mut next = table(11);
    next.rows[0].epoch = 2;
    feed.record(next.clone());
    assert!(matches!(feed.take(&mut cursor), Taken::Nothing));
    assert_eq!(cursor.floor, ahead);
    next.version = 13;
    next.rows[1].epoch = 2;
    feed.record(next.clone());
    let mut now = TableAnswer {
        version: 12,
        ..table(12)
    };
    now.rows[0].epoch = 2;
    assert!(drain(&feed, &mut cursor, &mut now));
    assert_eq!(now, next);
}

#[test]
fn what_happened_comes_behind_what_it_changed() {
    let feed = Feed::new(table(1), 10, 1 << 20);
    let (mut cursor, _) = feed.begin(None).unwrap();
    let mut next = table(4);
    next.rows[0].primary = None;
    feed.record(next);
    let happened = Lifecycle {
        version: 3,
        kind: "node-down".into(),
        text: "a sentence\nof two lines".into(),
        ..Lifecycle::default()
    };
    feed.tell(&happened);
    let Taken::Events(events) = feed.take(&mut cursor) else {
        panic!("two events");
    };
    let mut now = table(1);
    assert!(follow(&mut now, &events[0]) && !follow(&mut now, &events[1]));
    assert_eq!(now.version, 4);
    let text = std::str::from_utf8(&events[1]).unwrap();
    assert_eq!(text.lines().count(), 3, "event, data, end: {text}");
}

/// One row of 4,096 changes as cheaply as one of 64.
#[test]
fn the_bytes_of_a_change_do_not_grow_with_the_table() {
    let bytes = |rows: usize| {
        let before = TableAnswer {
            rows: vec![table(1).rows[0].clone(); rows],
            ..table(1000)
        };
        let feed = Feed::new(before.clone(), 10, 1 << 20);
        let (mut cursor, _) = feed.begin(None).unwrap();
        let mut after = before;
        after.version += 1;
        after.rows[rows - 1].epoch += 1;
        feed.record(after);
        let Taken::Events(events) = feed.take(&mut cursor) else {
            panic!("one change");
        };
        events.iter().map(Bytes::len).sum::<usize>()
    };
    let (small, large) = (bytes(64), bytes(4096));
    assert!(large <= 2 * small, "{large} bytes against {small}");
}
