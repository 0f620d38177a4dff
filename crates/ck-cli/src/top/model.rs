//! What is shown, and what inputs make of it.

use std::collections::{BTreeMap, VecDeque};

use ck_api::{Lifecycle, TableAnswer, TableRow};
use ck_client::WatchEvent;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tokio::time::Instant;

use super::feed::{Asked, Input};

/// Happenings that are kept.
const HAPPENINGS_MAX: usize = 200;

/// States of partitions, in the order in which somebody has to know of them.
const WORST_FIRST: [&str; 4] = ["unavailable", "degraded", "moving", "stable"];

/// A part of the screen that arrows move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Panel {
    Nodes,
    Partitions,
    Moves,
    Events,
}

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Nodes, Self::Partitions, Self::Moves, Self::Events];

    const fn at(self) -> usize {
        self as usize
    }
}

/// What a node has of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) primaries: u64,
    pub(super) copies: u64,
}

/// The cluster as far as it is known, and where the reader is in it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) cluster: String,
    pub(super) colours: bool,
    pub(super) server: String,
    pub(super) table: Option<TableAnswer>,
    pub(super) asked: Asked,
    /// Since when nobody is followed, and why.
    pub(super) cut: Option<(Instant, String)>,
    /// The newest last.
    pub(super) happenings: VecDeque<Lifecycle>,
    pub(super) panel: Panel,
    /// Where the cursor of each panel is.
    cursors: [usize; 4],
    /// The member whose partitions stand out.
    pub(super) only: Option<u64>,
    /// Cells in a line of partitions, as they were drawn last; what the arrows up and down go by.
    pub(super) cells_in_line: usize,
    changed: bool,
}

impl Model {
    pub(super) fn new(cluster: String, colours: bool) -> Self {
        Self {
            cluster,
            colours,
            server: String::new(),
            table: None,
            asked: Asked::default(),
            cut: None,
            happenings: VecDeque::new(),
            panel: Panel::Nodes,
            cursors: [0; 4],
            only: None,
            cells_in_line: 1,
            changed: true,
        }
    }

    /// Whether there is something to draw.
    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Everything was drawn.
    pub(super) const fn is_drawn(&mut self) {
        self.changed = false;
    }

    /// Takes an input in; whether it goes on.
    pub(super) fn take(&mut self, input: Input) -> bool {
        self.changed = true;
        match input {
            Input::Told(event, server) => {
                self.cut = None;
                self.server = server;
                self.told(*event);
            }
            Input::Cut(since, why) => self.cut = Some((since, why)),
            Input::Asked(asked) => self.asked = *asked,
            Input::Key(key) => return self.pressed(key),
            Input::Resized => {}
            Input::Gone => return false,
        }
        true
    }

    fn told(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Table(table) => self.table = Some(table),
            WatchEvent::Delta(delta) => {
                // Whoever follows leaves no gap; what does not fit all the same is said.
                if let Some(table) = &mut self.table
                    && let Err(error) = table.apply(&delta)
                {
                    let version = delta.version;
                    self.happened(Lifecycle {
                        version,
                        kind: "missed".into(),
                        text: error.to_string(),
                        ..Lifecycle::default()
                    });
                }
            }
            WatchEvent::Lifecycle(one) => self.happened(one),
            _ => {}
        }
    }

    fn happened(&mut self, one: Lifecycle) {
        if self.happenings.len() == HAPPENINGS_MAX {
            self.happenings.pop_front();
        }
        self.happenings.push_back(one);
    }

    fn pressed(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let panels = Panel::ALL.len();
        let line = match self.panel {
            Panel::Partitions => self.cells_in_line.cast_signed(),
            _ => 1,
        };
        match key.code {
            KeyCode::Char('c') if control => return false,
            KeyCode::Char('q' | 'Q') => return false,
            KeyCode::Tab => self.panel = Panel::ALL[(self.panel.at() + 1) % panels],
            KeyCode::BackTab => self.panel = Panel::ALL[(self.panel.at() + panels - 1) % panels],
            KeyCode::Char(digit @ '1'..='4') => {
                self.panel = Panel::ALL[usize::from(digit as u8 - b'1')];
            }
            KeyCode::Up | KeyCode::Char('k') => self.step(-line),
            KeyCode::Down | KeyCode::Char('j') => self.step(line),
            KeyCode::Left | KeyCode::Char('h') => self.step(-1),
            KeyCode::Right | KeyCode::Char('l') => self.step(1),
            KeyCode::PageUp => self.step(-10 * line),
            KeyCode::PageDown => self.step(10 * line),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter if self.panel == Panel::Nodes => {
                let chosen = self.node_at_cursor();
                self.only = chosen.filter(|_| self.only != chosen);
            }
            KeyCode::Esc => self.only = None,
            KeyCode::Char('n') => self.go_to_trouble(),
            _ => {}
        }
        true
    }

    fn step(&mut self, by: isize) {
        let last = self.length(self.panel).saturating_sub(1);
        let cursor = &mut self.cursors[self.panel.at()];
        *cursor = (*cursor).min(last).saturating_add_signed(by).min(last);
    }

    /// How many entries a panel has.
    fn length(&self, panel: Panel) -> usize {
        let table = self.table.as_ref();
        match panel {
            Panel::Nodes => table.map_or(0, |table| table.members.len()),
            Panel::Partitions => table.map_or(0, |table| table.rows.len()),
            Panel::Moves => self.asked.moves.transfers.len(),
            Panel::Events => self.happenings.len(),
        }
    }

    /// Where a panel's cursor is, within what there is.
    pub(super) fn cursor(&self, panel: Panel) -> usize {
        self.cursors[panel.at()].min(self.length(panel).saturating_sub(1))
    }

    fn node_at_cursor(&self) -> Option<u64> {
        let members = &self.table.as_ref()?.members;
        members.get(self.cursor(Panel::Nodes)).map(|one| one.member)
    }

    /// The partition at the cursor, with its number.
    pub(super) fn row_at_cursor(&self) -> Option<(usize, &TableRow)> {
        let at = self.cursor(Panel::Partitions);
        let row = self.table.as_ref()?.rows.get(at)?;
        Some((at, row))
    }

    /// A member's name.
    pub(super) fn name(&self, member: u64) -> String {
        let table = self.table.as_ref();
        let known = table.and_then(|table| table.member(member));
        known.map_or_else(|| format!("member {member}"), |one| one.id.clone())
    }

    /// What each member has.
    pub(super) fn held(&self) -> BTreeMap<u64, Held> {
        let mut held: BTreeMap<u64, Held> = BTreeMap::new();
        for row in self.table.iter().flat_map(|table| &table.rows) {
            if let Some(primary) = row.primary {
                held.entry(primary).or_default().primaries += 1;
            }
            for member in row.primary.iter().chain(&row.replicas) {
                held.entry(*member).or_default().copies += 1;
            }
        }
        held
    }

    /// The partitions in each state there is, by number; the worst state first.
    pub(super) fn by_state(&self) -> Vec<(&str, Vec<u32>)> {
        let mut states: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        let rows = self.table.iter().flat_map(|table| &table.rows);
        for (number, row) in (0..).zip(rows) {
            states.entry(row.state.as_str()).or_default().push(number);
        }
        let mut states: Vec<_> = states.into_iter().collect();
        let rank = |state: &str| WORST_FIRST.iter().position(|one| *one == state);
        states.sort_by_key(|(state, _)| rank(state).unwrap_or(WORST_FIRST.len()));
        states
    }

    /// Puts the cursor on the next partition that is not stable, if one is not.
    fn go_to_trouble(&mut self) {
        let rows = self.table.as_ref().map_or(&[][..], |table| &table.rows);
        let here = self.cursor(Panel::Partitions);
        let in_trouble = |at: &usize| rows[*at].state != "stable";
        let behind = (here + 1..rows.len()).find(in_trouble);
        let next = behind.or_else(|| (0..rows.len().min(here + 1)).find(in_trouble));
        if let Some(next) = next {
            self.panel = Panel::Partitions;
            self.cursors[Panel::Partitions.at()] = next;
        }
    }
}
