//! The description of the interface.

use bytes::Bytes;

use crate::reply::{JSON, Rendered};
use crate::route::{Answer, Ask};
use crate::surface::Core;

/// Made from the code by a test, which fails where it is another.
const DOCUMENT: &[u8] = include_bytes!("../../openapi.json");

pub(super) fn document(_: &Core, ask: &Ask<'_>) -> Answer {
    let rendered = Rendered::of_body(JSON, Bytes::from_static(DOCUMENT), None);
    Ok(rendered.reply(&ask.head.headers))
}
