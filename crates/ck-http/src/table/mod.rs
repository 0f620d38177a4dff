//! The table as it was and as it changes: kept once, told to everybody who watches.
//!
//! One task a surface compares the node's newest state with the one before and writes down what
//! differs, as the very bytes that are sent. Watchers read that list, each from a place of its own,
//! so that a change is made into bytes once, however many there are. The list is bounded; who falls
//! behind its beginning is cut off.

mod codec;
mod feed;
mod image;
mod lifecycle;
mod negotiate;
mod recorder;
mod watcher;

pub(crate) use codec::Coding;
pub(crate) use feed::{Feed, Lag, Place, Refusal};
pub(crate) use image::image;
pub(crate) use negotiate::{Form, form};
pub(crate) use recorder::Recorder;
pub(crate) use watcher::{Seat, Watcher};

use bytes::Bytes;
use ck_api::TableAnswer;
use hyper::header::HeaderValue;
use serde::Serialize;

use crate::reply::{JSON, Rendered, to_json};

const BINCODE: HeaderValue = HeaderValue::from_static(ck_api::table::BINCODE);

/// A table as a body.
pub(crate) fn rendered(
    version: &HeaderValue,
    table: &TableAnswer,
    form: Form,
    coding: Coding,
) -> Rendered {
    let (kind, body) = match form {
        Form::Json => (JSON, to_json(table)),
        Form::Binary => (BINCODE, codec::binary(table)),
    };
    let (body, coding) = coding.encode(body);
    Rendered::of_form(version, kind, coding.name(), body)
}

/// A server-sent event of the table. One that has a place is resumed from by its id.
fn event(name: &str, place: Option<Place>, data: &impl Serialize) -> Bytes {
    let id = place.map_or_else(String::new, |place| format!("id: {place}\n"));
    let mut text = format!("{id}event: {name}\ndata: ").into_bytes();
    // JSON on one line: a line break within a text is escaped.
    text.extend_from_slice(&to_json(data));
    text.extend_from_slice(b"\n\n");
    text.into()
}
