//! The description of the interface, made from the table of routes, the words for each of them and the
//! types of the bodies.
//!
//! The routes are the source: methods, paths and roles are theirs. What is said of them stands in
//! [`looks`] and [`acts`]; a route nothing is said of makes no document, and neither do words for a
//! route that is not there.

mod acts;
mod looks;
mod words;

use std::collections::BTreeMap;

use ck_api::{Code, Problem, Redirect};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::handlers::ROUTES;
use crate::redirect::is_passed_on;
use crate::route::{Handler, PREFIX, Route};
use words::{Answered, Asked, Described, Parameter};

/// Statuses that any request may be answered with, whatever the route.
const OF_ALL: &[u16] = &[400, 414, 421, 431, 503];

/// Those of routes with a body, which are those that carry something out.
const OF_ACTS: &[u16] = &[408, 413, 415, 504];

/// Those of routes that may ask for a token.
const OF_GUARDED: &[u16] = &[401, 403];

/// The document that is served at `/openapi.json`, which is checked in; made anew from the code.
///
/// # Errors
/// The routes that are not described, and the descriptions without a route.
pub fn document() -> Result<Value, Vec<String>> {
    let mut described: BTreeMap<(String, &str), Described> = looks::all()
        .into_iter()
        .chain(acts::all())
        .map(|one| ((one.method.to_string(), one.path), one))
        .collect();
    let mut maker = Maker::new();
    let mut paths: Map<String, Value> = Map::new();
    let mut wrong = Vec::new();
    for route in ROUTES {
        let key = (route.method.to_string(), route.path);
        let Some(words) = described.remove(&key) else {
            wrong.push(format!("{} {} is not described", key.0, key.1));
            continue;
        };
        for bare in [false].into_iter().chain(route.bare.then_some(true)) {
            let prefix = if bare { "" } else { PREFIX };
            let path = paths.entry(format!("{prefix}{}", route.path));
            let path = path.or_insert_with(|| json!({}));
            path[key.0.to_lowercase()] = maker.operation(route, &words, bare);
        }
    }
    let without = described.keys();
    wrong
        .extend(without.map(|(method, path)| format!("{method} {path} is described and no route")));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let components = maker.components();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ClusterKit",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Where the partitions of a cluster are, and who may act on them. Errors \
                are `application/problem+json` with a stable `code`. Answers that depend on the table \
                carry `CK-Version`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": components,
    }))
}

/// What is shared by the operations: schemas of what is read, and of what is written.
struct Maker {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Maker {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            asked: settings.clone().for_deserialize().into_generator(),
            answered: settings.for_serialize().into_generator(),
        }
    }

    fn operation(&mut self, route: &Route, words: &Described, bare: bool) -> Value {
        let (summary, rest) = words.says.split_once(". ").unwrap_or((words.says, ""));
        let mut operation = json!({
            "operationId": operation_id(route, bare),
            "summary": summary.trim_end_matches('.'),
            "parameters": parameters(route, &words.parameters),
            "responses": self.responses(route, words),
            "x-ck-role": route.role.to_string(),
        });
        if !rest.is_empty() {
            operation["description"] = rest.into();
        }
        if bare {
            let says = format!(
                "As {PREFIX}{}, for clients of the Go library. {rest}",
                route.path
            );
            operation["description"] = says.trim_end().into();
        }
        if !route.is_open() {
            operation["security"] = json!([{}, {"token": []}]);
        }
        let body = match words.body {
            Asked::Nothing => return operation,
            Asked::Json(schema, required) => json!({
                "required": required,
                "content": {"application/json": {"schema": schema(&mut self.asked)}},
            }),
            Asked::Bytes => json!({
                "required": false,
                "content": {"application/octet-stream": {"schema": {}}},
            }),
        };
        operation["requestBody"] = body;
        operation
    }

    fn responses(&mut self, route: &Route, words: &Described) -> Value {
        let mut responses = Map::new();
        let is_act = matches!(route.handler, Handler::Act(_) | Handler::ActRaw(_));
        let acts: &[u16] = if is_act { OF_ACTS } else { &[] };
        let guarded: &[u16] = if route.is_open() { &[] } else { OF_GUARDED };
        let statuses = OF_ALL.iter().chain(acts).chain(guarded);
        for status in statuses.chain(words.refusals) {
            responses.insert(
                status.to_string(),
                json!({"$ref": "#/components/responses/Problem"}),
            );
        }
        if is_passed_on(route) {
            let schema = self.answered.subschema_for::<Redirect>();
            let redirect = json!({
                "description": "This node is not the leader, and `Prefer: redirect` was sent: the \
                    leader's address is in `Location`.",
                "content": {"application/json": {"schema": schema}},
            });
            responses.insert("307".to_owned(), redirect);
        }
        for (status, says, answered) in &words.answers {
            let mut content = Map::new();
            for (kind, schema) in answered {
                let schema = match schema {
                    Answered::Json(schema) => schema(&mut self.answered).to_value(),
                    Answered::Text => json!({"type": "string"}),
                    Answered::Bytes => json!({}),
                };
                content.insert((*kind).to_owned(), json!({ "schema": schema }));
            }
            let mut response = json!({ "description": says });
            if !content.is_empty() {
                response["content"] = content.into();
            }
            // A problem under the same status is a form the answer may take as well.
            if responses.contains_key(&status.to_string()) {
                let problem = self.problem();
                response["content"][ck_api::PROBLEM_JSON] = problem;
            }
            if words.has_version {
                response["headers"] = json!({"CK-Version": {
                    "$ref": "#/components/headers/CK-Version",
                }});
            }
            responses.insert(status.to_string(), response);
        }
        responses.into()
    }

    fn problem(&mut self) -> Value {
        let schema = self.answered.subschema_for::<Problem>();
        json!({ "schema": schema })
    }

    fn components(mut self) -> Value {
        let problem = self.problem();
        let mut schemas = self.answered.take_definitions(true);
        for (name, schema) in self.asked.take_definitions(true) {
            let known = schemas.insert(name.clone(), schema.clone());
            assert!(
                known.is_none_or(|known| known == schema),
                "{name} is read in another form than it is written in; give them names of their own"
            );
        }
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        json!({
            "schemas": schemas,
            "headers": {"CK-Version": {
                "description": "Incarnation and version of the table that the answer was made from.",
                "required": true,
                "schema": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+$"},
            }},
            "responses": {"Problem": {
                "description": "Why it was not done, and what to do about it. What the cluster refuses \
                    has the code of that refusal; the others are listed in `x-ck-codes`.",
                "content": {ck_api::PROBLEM_JSON: problem},
                "x-ck-codes": codes,
            }},
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Asked for where the node was started with a token.",
            }},
        })
    }
}

/// `getNodesById` and the like: of the method and the path, so that it is never chosen twice.
fn operation_id(route: &Route, bare: bool) -> String {
    let mut id = route.method.as_str().to_lowercase();
    for word in route
        .path
        .split(['/', '-', '.'])
        .filter(|word| !word.is_empty())
    {
        let by = if word.starts_with('{') { "By" } else { "" };
        let word = word.trim_matches(['{', '}']);
        let (first, rest) = word.split_at(1);
        id.push_str(&format!("{by}{}{rest}", first.to_uppercase()));
    }
    if bare {
        id.push_str("Bare");
    }
    id
}

/// The variables of the path, then what else is asked for.
fn parameters(route: &Route, named: &[Parameter]) -> Vec<Value> {
    let variables = route.path.split('/').filter(|word| word.starts_with('{'));
    let variables = variables.map(|word| {
        let name = word.trim_matches(['{', '}']);
        let (schema, says) = words::variable(route.path, name);
        json!({"name": name, "in": "path", "required": true, "schema": schema, "description": says})
    });
    let named = named.iter().map(|one| {
        json!({
            "name": one.name, "in": one.place, "required": one.required, "schema": one.schema,
            "description": one.says,
        })
    });
    let prefer = is_passed_on(route).then(|| {
        json!({
            "name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "`redirect`: be sent to the leader, rather than have it asked.",
        })
    });
    variables.chain(named).chain(prefer).collect()
}
