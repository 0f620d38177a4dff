//! What was answered, by route: how often, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;

use crate::handlers::ROUTES;
use crate::route::Route;

/// Upper bounds of the buckets, in seconds; one without an end follows.
pub(crate) const BOUNDS: [f64; 11] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// Who answered a request. As many as there are routes, and three: callers cannot make up more.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Way {
    /// Nobody: it was refused before a route was found, or there is none.
    #[default]
    None,
    /// The dashboard.
    Ui,
    /// A route of the application.
    Application,
    /// One of the routes.
    Route(&'static Route),
}

/// Answers of all ways, since the start.
#[derive(Debug)]
pub(crate) struct Answered(Box<[Figures]>);

/// Answers of one way.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    by_class: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Default for Answered {
    fn default() -> Self {
        Self((0..ROUTES.len() + 3).map(|_| Figures::default()).collect())
    }
}

impl Answered {
    /// One more. A stream was answered when its first bytes were.
    pub(crate) fn add(&self, way: Way, status: StatusCode, took: Duration) {
        let figures = &self.0[way.number()];
        let class = usize::from(status.as_u16() / 100).wrapping_sub(1);
        if let Some(class) = figures.by_class.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        figures.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        figures.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Method and path of each way that was taken, with its figures.
    pub(crate) fn ways(&self) -> impl Iterator<Item = ([&'static str; 2], &Figures)> {
        let others = [Way::None, Way::Ui, Way::Application];
        let ways = others.into_iter().chain(ROUTES.iter().map(Way::Route));
        let names = ways.map(Way::name);
        names.zip(&self.0).filter(|(_, one)| one.count() > 0)
    }
}

impl Way {
    /// Method and path, as figures and spans name it.
    pub(crate) fn name(self) -> [&'static str; 2] {
        match self {
            Self::None => ["-", "none"],
            Self::Ui => ["-", "ui"],
            Self::Application => ["-", "application"],
            Self::Route(route) => [route.method.as_str(), route.path],
        }
    }

    /// Its place among the figures.
    fn number(self) -> usize {
        match self {
            Self::None => 0,
            Self::Ui => 1,
            Self::Application => 2,
            Self::Route(route) => {
                let place = ROUTES.iter().position(|one| std::ptr::eq(one, route));
                place.map_or(0, |place| place + 3)
            }
        }
    }
}

impl Figures {
    /// Answers by the first digit of their status.
    pub(crate) fn by_class(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.by_class.iter();
        (1..).zip(counts.map(|class| class.load(Ordering::Relaxed)))
    }

    /// Upper bound and number of each bucket.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let counts = self.buckets.iter();
        bounds
            .zip(counts.map(|bucket| bucket.load(Ordering::Relaxed)))
            .collect()
    }

    /// How long they took in all, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64()
    }

    fn count(&self) -> u64 {
        let counts = self.buckets.iter();
        counts.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}
