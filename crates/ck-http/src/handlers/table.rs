//! The whole table, and what changes of it. Any node answers from what it has applied itself.

use std::sync::Arc;
use std::time::Duration;

use ck_api::{Code, Problem, Role};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::access::Denied;
use crate::handlers::formed;
use crate::handlers::ownership::EVENTS;
use crate::orders::newest;
use crate::query;
use crate::reply::{CK_VERSION_NAME, Refused, plain_with};
use crate::route::{Answer, Ask, Later};
use crate::stream::ReplyBody;
use crate::surface::{Core, PAST_MAX};
use crate::table::{self, Coding, Form, Place, Refusal, Seat, Watcher};
use crate::view::View;

/// Longest wait for a turn to look into the past.
const TURN_WITHIN: Duration = Duration::from_secs(1);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn table(core: &Arc<Core>, ask: &Ask<'_>) -> Result<Later, Refused> {
    query::only(ask.query(), &["min_version", "wait", "at"])?;
    let form = table::form(&ask.head.headers)?;
    let at = query::version(ask.query(), "at")?;
    let least = query::version(ask.query(), "min_version")?;
    let wait_max = core.config.limits.wait_max.as_secs().max(1);
    let wait = query::number(ask.query(), "wait", 0, wait_max)?;
    let view = formed(core)?;
    if let Some(at) = at {
        let Some(extra) = least.map(|_| "min_version").or(wait.map(|_| "wait")) else {
            return past(core, &view, at, ask, form);
        };
        let what = "cannot stand beside `at`: what is past is not waited for";
        return Err(query::invalid(extra, "", what));
    }
    let Some(least) = least else {
        if wait.is_some() {
            let what = "needs `min_version`, the version to wait for";
            return Err(query::invalid("wait", "", what));
        }
        return Ok(Later::Now(
            view.table(form.0, form.1).reply(&ask.head.headers),
        ));
    };
    let least = placed(&view, least);
    let wait = Duration::from_secs(wait.unwrap_or(0));
    if view.place() >= least || wait.is_zero() {
        return reached(&view, least, &ask.head.headers, form).map(Later::Now);
    }
    let seat = Seat::take(core)?;
    let (core, asked) = (Arc::clone(core), ask.head.headers.clone());
    Ok(Later::Later(Box::pin(async move {
        let waited = until(&core, &asked, least, wait).await;
        drop(seat);
        if let Err(denied) = waited {
            return Ok(denied.reply());
        }
        reached(&*formed(&core)?, least, &asked, form)
    })))
}

/// A version of a query; of the present incarnation unless it names one.
fn placed(view: &View, (incarnation, version): (Option<u64>, u64)) -> Place {
    Place {
        incarnation: incarnation.unwrap_or(view.place().incarnation),
        version,
    }
}

/// Waits until the table is as new as that, the time is over, the server stops, or the caller's token
/// is taken away.
async fn until(core: &Core, asked: &HeaderMap, least: Place, wait: Duration) -> Result<(), Denied> {
    let (mut places, mut closing) = (core.feed().places(), core.closing.subscribe());
    let arrived = async {
        let _ = places.wait_for(|place| *place >= least).await;
    };
    let stopped = async {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    let denied = async {
        loop {
            match core.config.tokens.admit_for_long(asked, Role::Read) {
                Ok(mut tokens) => tokens.wait().await,
                Err(denied) => return denied,
            }
        }
    };
    tokio::select! {
        biased;
        denied = denied => Err(denied),
        () = stopped => Ok(()),
        () = arrived => Ok(()),
        () = tokio::time::sleep(wait) => Ok(()),
    }
}

/// The table, where it is as new as that. Where it is not, whoever has it already is told so, and
/// nobody is given an older one than he knows of.
fn reached(view: &View, least: Place, asked: &HeaderMap, (form, coding): (Form, Coding)) -> Answer {
    let reply = view.table(form, coding).reply(asked);
    let have = view.place();
    if have >= least || reply.status() == StatusCode::NOT_MODIFIED {
        return Ok(reply);
    }
    let detail = format!(
        "this node's table is at {have}, not yet at {least}; ask again, wait longer with `wait`, or \
         ask another node"
    );
    let problem = Problem::new(Code::Behind, detail).with_field("min_version");
    let problem = problem.with_count(have.version, least.version);
    Err(problem.with_retry_after_ms(100).into())
}

/// The table as it was. Made beside the runtime, by few at a time.
fn past(
    core: &Arc<Core>,
    view: &View,
    at: (Option<u64>, u64),
    ask: &Ask<'_>,
    (form, coding): (Form, Coding),
) -> Result<Later, Refused> {
    let (at, now) = (placed(view, at), view.place());
    if at == now {
        let reply = view.table(form, coding).reply(&ask.head.headers);
        return Ok(Later::Now(reply));
    }
    if at > now {
        return Err(refused(view, "at", at, Refusal::Ahead { newest: now }));
    }
    let feed = core.feed();
    let found = feed.at(at.min(feed.place()));
    let found = found.map_err(|refusal| refused(view, "at", at, refusal))?;
    let (looks, asked) = (Arc::clone(&core.past), ask.head.headers.clone());
    Ok(Later::Later(Box::pin(async move {
        let turn = tokio::time::timeout(TURN_WITHIN, looks.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let detail = format!(
                "{PAST_MAX} tables of the past are being made already; ask again in a moment"
            );
            let problem = Problem::new(Code::Overloaded, detail).with_field("at");
            return Err(problem.with_retry_after_ms(1000).into());
        };
        let made = tokio::task::spawn_blocking(move || {
            // Its turn lasts as long as the work, whether or not somebody waits for it.
            let _turn = turn;
            let table = found.table();
            let version = Place::of(&table).to_string();
            let version =
                HeaderValue::from_str(&version).expect("digits and a dot are visible ASCII");
            table::rendered(&version, &table, form, coding)
        });
        let rendered = made.await.map_err(|error| {
            let detail = format!("the table could not be made: {error}; report this");
            Refused::new(Code::Internal, detail)
        })?;
        Ok(rendered.reply(&asked))
    })))
}

fn refused(view: &View, field: &str, asked: Place, refusal: Refusal) -> Refused {
    let (code, detail) = match refusal {
        Refusal::Compacted { oldest } => {
            let detail = format!(
                "version {asked} is not kept here any more, {oldest} is the oldest; ask without \
                 `{field}`"
            );
            (Code::Compacted, detail)
        }
        Refusal::Ahead { newest } => {
            let detail = format!("version {asked} has not come to this node, which is at {newest}");
            // Who watches comes back for it; a look at the past has no future.
            let looks = field == "at";
            (
                if looks {
                    Code::VersionUnknown
                } else {
                    Code::Behind
                },
                detail,
            )
        }
    };
    let problem = Problem::new(code, detail).with_field(field);
    let problem = problem.with_newest(newest(view.state(), None));
    problem.with_value(asked.to_string()).into()
}

pub(super) fn watch(core: &Arc<Core>, ask: &Ask<'_>) -> Result<Later, Refused> {
    query::only(ask.query(), &["from"])?;
    let from = query::version(ask.query(), "from")?;
    let from = last_event(&ask.head.headers)?.or(from);
    let view = formed(core)?;
    let mut reply = if ask.head.method == Method::HEAD {
        plain_with(StatusCode::OK, EVENTS, ReplyBody::default())
    } else {
        let admitted = core
            .config
            .tokens
            .admit_for_long(&ask.head.headers, Role::Read);
        let tokens = match admitted {
            Ok(tokens) => tokens,
            Err(denied) => return Ok(Later::Now(denied.reply())),
        };
        let seat = Seat::take(core)?;
        let feed = core.feed();
        let from = from.map(|from| placed(&view, from));
        let (cursor, first) = feed
            .begin(from)
            .map_err(|refusal| refused(&view, "from", from.unwrap_or_default(), refusal))?;
        let watcher = Watcher::new((seat, tokens), Arc::clone(feed), (cursor, first));
        plain_with(StatusCode::OK, EVENTS, watcher.into())
    };
    reply.headers_mut().insert(CK_VERSION_NAME, view.version());
    Ok(Later::Now(reply))
}

/// Where a stream that broke off is resumed. Stands before `from`: whoever comes back asks with the
/// address he came with first.
fn last_event(asked: &HeaderMap) -> Result<Option<(Option<u64>, u64)>, Refused> {
    let Some(value) = asked.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("\u{fffd}");
    let known = query::parse_version(text);
    known
        .map(Some)
        .ok_or_else(|| query::no_version(LAST_EVENT_ID.as_str(), text))
}

#[cfg(test)]
mod tests;
