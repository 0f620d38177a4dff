//! How a route is described.

use ck_api::table::BINCODE;
use hyper::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// The schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The body a route reads.
pub(super) enum Asked {
    Nothing,
    /// JSON, and whether it has to be there.
    Json(Shape, bool),
    Bytes,
}

/// The body a route answers with.
pub(super) enum Answered {
    Json(Shape),
    Text,
    Bytes,
}

/// A parameter of the query, or a header field.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) required: bool,
    pub(super) schema: Value,
    pub(super) says: &'static str,
}

/// Forms of an answer by media type.
type Forms = Vec<(&'static str, Answered)>;

/// What is said of a route.
pub(super) struct Described {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) says: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Asked,
    pub(super) answers: Vec<(u16, &'static str, Forms)>,
    /// Statuses of problems beside those that any request may meet.
    pub(super) refusals: &'static [u16],
    /// Whether every answer that is no problem carries `CK-Version`.
    pub(super) has_version: bool,
}

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";

/// The schema of a type, as a function.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A route that looks.
pub(super) fn get(path: &'static str, says: &'static str) -> Described {
    route(Method::GET, path, says)
}

/// A route, described by a sentence; what follows it is told at length.
pub(super) fn route(method: Method, path: &'static str, says: &'static str) -> Described {
    Described {
        method,
        path,
        says,
        parameters: Vec::new(),
        body: Asked::Nothing,
        answers: Vec::new(),
        refusals: &[],
        has_version: true,
    }
}

impl Described {
    pub(super) fn takes(mut self, name: &'static str, schema: Value, says: &'static str) -> Self {
        let (place, required) = ("query", false);
        self.parameters.push(Parameter {
            name,
            place,
            required,
            schema,
            says,
        });
        self
    }

    /// As [`Described::takes`], and has to be given.
    pub(super) fn needs(self, name: &'static str, schema: Value, says: &'static str) -> Self {
        let mut described = self.takes(name, schema, says);
        if let Some(last) = described.parameters.last_mut() {
            last.required = true;
        }
        described
    }

    /// A header field that may be given.
    pub(super) fn heeds(self, name: &'static str, schema: Value, says: &'static str) -> Self {
        let mut described = self.takes(name, schema, says);
        if let Some(last) = described.parameters.last_mut() {
            last.place = "header";
        }
        described
    }

    /// A body that has to be there.
    pub(super) fn reads<T: JsonSchema>(self) -> Self {
        Self {
            body: Asked::Json(of::<T>, true),
            ..self
        }
    }

    /// A body that may be left out.
    pub(super) fn may_read<T: JsonSchema>(self) -> Self {
        Self {
            body: Asked::Json(of::<T>, false),
            ..self
        }
    }

    pub(super) fn reads_bytes(self) -> Self {
        Self {
            body: Asked::Bytes,
            ..self
        }
    }

    pub(super) fn gives<T: JsonSchema>(self, status: u16, says: &'static str) -> Self {
        self.gives_as(status, says, vec![(JSON, Answered::Json(of::<T>))])
    }

    pub(super) fn gives_as(mut self, status: u16, says: &'static str, forms: Forms) -> Self {
        self.answers.push((status, says, forms));
        self
    }

    /// Whoever has these bytes already is told so.
    pub(super) fn tagged(self) -> Self {
        let says = "An entity tag the caller has: it has these bytes already.";
        self.heeds("If-None-Match", json!({"type": "string"}), says)
            .gives_as(304, "The caller has it already.", Vec::new())
    }

    pub(super) fn refuses(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }

    /// Its answers do not depend on the table.
    pub(super) fn without_version(self) -> Self {
        Self {
            has_version: false,
            ..self
        }
    }
}

/// A version of the table, alone or behind its incarnation.
pub(super) fn version() -> Value {
    json!({"type": "string", "pattern": "^([0-9]{1,19}\\.)?[0-9]{1,19}$"})
}

pub(super) fn number(least: u64, most: u64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

pub(super) fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

pub(super) fn partition() -> Value {
    json!({"type": "string", "pattern": "^(partition-)?[0-9]{1,9}$"})
}

/// The forms of the whole table.
pub(super) fn table_forms(table: Shape) -> Forms {
    vec![(JSON, Answered::Json(table)), (BINCODE, Answered::Bytes)]
}

/// A variable segment of a path: its schema, and what it is.
pub(super) fn variable(path: &str, name: &str) -> (Value, &'static str) {
    let first = path.split('/').nth(1).unwrap_or_default();
    match (first, name) {
        ("partitions" | "explain", "id") => (partition(), "A partition: `partition-3`, or `3`."),
        ("nodes", "id") | (_, "node") => (text(), "The id of a node."),
        ("plans", "id") => (
            text(),
            "The id of a plan, or `current` for the one under way.",
        ),
        ("orders", "id") => (text(), "The id of an order."),
        ("custom", "key") => (
            text(),
            "The key, percent-encoded: `app%2Fa` is the key `app/a`.",
        ),
        _ => (text(), "The name of what is meant."),
    }
}
