//! Pictures of known moments, and what keys do.

use std::time::Duration;

use ck_api::{
    DeltaRow, Lifecycle, Plan, PlanProgress, TableAnswer, TableDelta, TableMember, TableRow,
    Transfer, TransferList,
};
use ck_client::WatchEvent;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use tokio::time::Instant;

use super::feed::{Asked, Input};
use super::model::Model;
use super::view;

fn table() -> TableAnswer {
    let member = |number: u64, status: &str| TableMember {
        member: number,
        id: format!("node-{number}"),
        domain: Some(format!("zone-{number}")),
        weight: 1,
        status: status.into(),
        ..TableMember::default()
    };
    let row = |at: u64| TableRow {
        epoch: 4 + at % 3,
        state: "stable".into(),
        primary: Some(at % 3 + 1),
        replicas: vec![(at + 1) % 3 + 1],
    };
    TableAnswer {
        incarnation: 1,
        version: 31,
        replication_factor: 2,
        members: vec![
            member(1, "active"),
            member(2, "active"),
            member(3, "active"),
        ],
        rows: (0..64).map(row).collect(),
        ..TableAnswer::default()
    }
}

fn told(event: WatchEvent) -> Input {
    Input::Told(Box::new(event), "127.0.0.1:8080".into())
}

fn model() -> Model {
    let mut model = Model::new("orders".into(), false);
    assert!(model.take(told(WatchEvent::Table(table()))));
    model.take(Input::Asked(Box::new(Asked {
        leader: "node-1".into(),
        term: 3,
        ..Asked::default()
    })));
    model
}

/// A node is lost: two partitions have another primary, one has none.
fn lost() -> Model {
    let mut model = model();
    let row = |partition, state: &str, primary, replicas| DeltaRow {
        partition,
        epoch: 9,
        state: state.into(),
        primary,
        replicas,
    };
    let down = TableMember {
        status: "down".into(),
        ..table().members[2].clone()
    };
    let delta = TableDelta {
        incarnation: 1,
        from: 31,
        version: 33,
        rows: vec![
            row(2, "degraded", Some(1), vec![3]),
            row(5, "moving", Some(1), vec![3, 2]),
            row(8, "unavailable", None, vec![3]),
        ],
        members: vec![down],
        ..TableDelta::default()
    };
    model.take(told(WatchEvent::Delta(delta)));
    for (version, kind, text) in [
        (
            32,
            "node-down",
            "node-3 is down: it was not heard for 2000 ms",
        ),
        (
            33,
            "failover",
            "partition-2: node-1 acts, node-3 did: failover",
        ),
    ] {
        model.take(told(WatchEvent::Lifecycle(Lifecycle {
            version,
            kind: kind.into(),
            text: text.into(),
            ..Lifecycle::default()
        })));
    }
    model.take(Input::Asked(Box::new(moving())));
    model
}

/// A plan is under way, and the brake is pulled.
fn moving() -> Asked {
    let transfer = Transfer {
        id: 7,
        stage: "catch-up".into(),
        from: Some("node-1".into()),
        to: "node-2".into(),
        partition: "partition-5".into(),
        waits_for: "copy".into(),
        reason: "loss".into(),
        done: 3,
        total: 10,
        attempt: 2,
        ..Transfer::default()
    };
    let plan = Plan {
        trigger: "loss".into(),
        progress: Some(PlanProgress {
            total: 43,
            done: 12,
            actor: "node-1".into(),
            ..PlanProgress::default()
        }),
        ..Plan::default()
    };
    Asked {
        leader: "node-1".into(),
        term: 3,
        moves: TransferList {
            transfers: vec![transfer],
            braked: true,
            ..TransferList::default()
        },
        plan: Some(plan),
    }
}

fn terminal(model: &mut Model, width: u16, height: u16, now: Instant) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| view::draw(frame, model, now))
        .unwrap();
    terminal
}

fn picture(model: &mut Model, width: u16, height: u16) -> String {
    terminal(model, width, height, Instant::now())
        .backend()
        .to_string()
}

fn press(model: &mut Model, codes: &[KeyCode]) {
    for code in codes {
        let key = KeyEvent::new(*code, KeyModifiers::NONE);
        assert!(model.take(Input::Key(key)), "{code:?} ends it");
    }
}

#[test]
fn a_cluster_at_rest_is_shown() {
    insta::assert_snapshot!(picture(&mut model(), 100, 26));
}

#[test]
fn a_lost_node_its_partitions_and_the_moves_are_shown() {
    insta::assert_snapshot!(picture(&mut lost(), 100, 26));
}

#[test]
fn it_fits_a_small_terminal_and_a_tiny_one() {
    insta::assert_snapshot!(picture(&mut lost(), 80, 24));
    // Nothing panics where nothing fits.
    for (width, height) in [(1, 1), (3, 2), (20, 5), (200, 3), (5, 60), (65, 300)] {
        picture(&mut lost(), width, height);
        picture(&mut Model::new(String::new(), true), width, height);
    }
}

#[test]
fn the_partitions_of_one_node_stand_out() {
    let mut model = lost();
    press(
        &mut model,
        &[
            KeyCode::Down,
            KeyCode::Enter,
            KeyCode::Tab,
            KeyCode::Right,
            KeyCode::Right,
        ],
    );
    let shown = picture(&mut model, 100, 26);
    assert!(shown.contains("partitions of node-2"), "{shown}");
    assert!(shown.contains("at node-1, copies node-3"), "{shown}");
    assert!(shown.contains("o■·o■o"), "{shown}");
    press(&mut model, &[KeyCode::Esc]);
    assert!(!picture(&mut model, 100, 26).contains("partitions of node-2"));
}

#[test]
fn a_cursor_stays_within_what_there_is() {
    let mut model = model();
    press(&mut model, &[KeyCode::Char('2'), KeyCode::End]);
    assert!(picture(&mut model, 100, 26).contains("partition-63 stable"));
    press(
        &mut model,
        &[KeyCode::PageDown, KeyCode::Down, KeyCode::Right],
    );
    assert!(picture(&mut model, 100, 26).contains("partition-63 stable"));
    press(&mut model, &[KeyCode::Up]);
    let line = model.cells_in_line;
    let above = format!("partition-{} stable", 63 - line);
    assert!(picture(&mut model, 100, 26).contains(&above), "{above}");
    press(&mut model, &[KeyCode::Home, KeyCode::PageUp, KeyCode::Left]);
    assert!(picture(&mut model, 100, 26).contains("partition-0 stable"));
    // Fewer rows than where it was.
    press(&mut model, &[KeyCode::End]);
    let mut fewer = table();
    fewer.rows.truncate(3);
    model.take(told(WatchEvent::Table(fewer)));
    assert!(picture(&mut model, 100, 26).contains("partition-2 stable"));
    for panel in ['1', '2', '3', '4'] {
        press(
            &mut model,
            &[
                KeyCode::Char(panel),
                KeyCode::End,
                KeyCode::Down,
                KeyCode::BackTab,
            ],
        );
    }
}

#[test]
fn what_is_amiss_among_thousands_is_found() {
    let mut model = model();
    let mut many = table();
    let row = many.rows[0].clone();
    many.rows = vec![row; 4_096];
    many.rows[3_001].state = "unavailable".into();
    many.rows[17].state = "degraded".into();
    model.take(told(WatchEvent::Table(many)));
    let shown = picture(&mut model, 100, 26);
    for part in [
        "× unavailable: 3001",
        "□ degraded: 17",
        "1 unavailable",
        ", 0 to ",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    press(&mut model, &[KeyCode::Char('n')]);
    assert!(picture(&mut model, 100, 26).contains("partition-17 degraded"));
    press(&mut model, &[KeyCode::Char('n')]);
    let shown = picture(&mut model, 100, 26);
    assert!(shown.contains("partition-3001 unavailable"), "{shown}");
    press(&mut model, &[KeyCode::Char('n')]);
    assert!(picture(&mut model, 100, 26).contains("partition-17 degraded"));
}

#[test]
fn a_picture_that_is_cut_off_says_for_how_long() {
    let (mut model, since) = (model(), Instant::now());
    model.take(Input::Cut(since, "no server answers".into()));
    let later = since + Duration::from_secs(7);
    let shown = terminal(&mut model, 120, 26, later).backend().to_string();
    assert!(
        shown.contains("cut off for 7 s: no server answers"),
        "{shown}"
    );
    model.take(told(WatchEvent::Table(table())));
    assert!(!picture(&mut model, 120, 26).contains("cut off"));
}

#[test]
fn colours_are_used_where_they_are_wanted() {
    let coloured = |colours: bool| {
        let mut model = lost();
        model.colours = colours;
        let terminal = terminal(&mut model, 100, 26, Instant::now());
        let cells = terminal.backend().buffer().content().iter();
        let signs: Vec<_> = cells.filter(|cell| cell.symbol() == "×").collect();
        // The cell of the partition comes before the sign's meaning.
        signs[0].fg
    };
    assert_eq!(
        (coloured(true), coloured(false)),
        (Color::Red, Color::Reset)
    );
}

#[test]
fn it_ends_by_key_and_with_the_terminal() {
    for (code, modifiers) in [
        (KeyCode::Char('q'), KeyModifiers::NONE),
        (KeyCode::Char('c'), KeyModifiers::CONTROL),
    ] {
        assert!(!model().take(Input::Key(KeyEvent::new(code, modifiers))));
    }
    assert!(!model().take(Input::Gone));
}

#[test]
fn happenings_are_kept_in_bounds() {
    let mut model = model();
    for version in 0..1_000 {
        let one = Lifecycle {
            version,
            ..Lifecycle::default()
        };
        model.take(told(WatchEvent::Lifecycle(one)));
    }
    assert_eq!(model.happenings.len(), 200);
    assert_eq!(model.happenings.back().map(|one| one.version), Some(999));
}
