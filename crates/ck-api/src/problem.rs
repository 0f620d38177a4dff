//! Errors as bodies: `application/problem+json` (RFC 9457) with a stable `code`.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// A problem the surface itself reports. What the cluster refuses keeps the code of the
        /// refusal, so [`Problem::code`] is text and may be one not listed here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A short summary that does not change from occurrence to occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The code of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// The body is not JSON; `detail` names line and column.
    MalformedJson = "malformed-json", 400, "The body is not valid JSON";
    /// The body is JSON of another shape: an unknown, missing, repeated or mistyped field.
    InvalidBody = "invalid-body", 400, "The body has a wrong field";
    /// A query parameter is absent or empty.
    MissingParameter = "missing-parameter", 400, "A query parameter is missing";
    /// A query parameter, header or path segment has a value that is not allowed.
    InvalidParameter = "invalid-parameter", 400, "A parameter has a value that is not allowed";
    /// A query parameter is given twice.
    RepeatedParameter = "repeated-parameter", 400, "A query parameter is repeated";
    /// A precondition header on a path that takes its condition as a parameter.
    ConditionUnsupported = "condition-unsupported", 400, "The condition is not supported here";
    /// The request breaks HTTP itself: no `Host`, a body that ended early.
    BadRequest = "bad-request", 400, "The request is not valid HTTP";
    /// No token, or not the right one.
    Unauthorized = "unauthorized", 401, "A token is required";
    /// The token does not carry the role.
    Forbidden = "forbidden", 403, "The token does not carry the role";
    /// No such path.
    NotFound = "not-found", 404, "There is no such path";
    /// No such partition.
    PartitionUnknown = "partition-unknown", 404, "There is no such partition";
    /// No such node.
    NodeUnknown = "node-unknown", 404, "There is no such node";
    /// No such version of the table here, or not yet.
    VersionUnknown = "version-unknown", 404, "There is no such version here";
    /// No such order, or one of an earlier start of the node.
    OrderUnknown = "order-unknown", 404, "There is no such order";
    /// No such plan on this node.
    PlanUnknown = "plan-unknown", 404, "There is no such plan on this node";
    /// No such custom key.
    CustomUnknown = "custom-unknown", 404, "There is no such custom key";
    /// The path does not take this method; `Allow` lists those it does.
    MethodNotAllowed = "method-not-allowed", 405, "The path does not take this method";
    /// The body did not arrive in time.
    BodyTimeout = "body-timeout", 408, "The body did not arrive in time";
    /// The caller's fencing token is of an earlier grant; `newest` has the present epoch.
    EpochOld = "epoch-old", 409, "The fencing token is of an earlier grant";
    /// The cluster's mode is advisory: it gives routes and no right to act.
    Advisory = "advisory", 409, "The cluster gives no right to act";
    /// The partitions have not been created yet.
    NoPartitions = "no-partitions", 409, "The partitions have not been created yet";
    /// Fewer nodes than the replication factor.
    TooFewNodes = "too-few-nodes", 409, "There are fewer nodes than the replication factor";
    /// A joining node names another cluster.
    OtherCluster = "other-cluster", 409, "The node belongs to another cluster";
    /// Another node answers at the address given.
    WrongNode = "wrong-node", 409, "Another node answers at that address";
    /// A joining node names configuration that the cluster does not have.
    ConfigurationConflict = "configuration-conflict", 409, "The node's configuration is another";
    /// A node id is in use by another node.
    NodeInUse = "node-in-use", 409, "The node id is in use";
    /// A joining node's generation is older than the one known.
    GenerationOld = "generation-old", 409, "The node's generation is older than the known one";
    /// An acknowledgement of an order that is not wanted any more, or of another one.
    OrderSuperseded = "order-superseded", 409, "The order is not the one that is acknowledged";
    /// A node whose handler is within its process gives no orders.
    NoOrders = "no-orders", 409, "The node gives no orders";
    /// A plan that is not under way cannot be paused, resumed or aborted.
    PlanNotUnderWay = "plan-not-under-way", 409, "The plan is not under way";
    /// No placement can be computed over the nodes of now.
    NoPlacement = "no-placement", 409, "No placement can be computed";
    /// The cluster's state does not allow it.
    Conflict = "conflict", 409, "The cluster's state does not allow it";
    /// The versions asked about are not kept any more.
    Compacted = "compacted", 410, "The version is not kept any more";
    /// A condition (`If-Match`, an expected version) does not hold.
    PreconditionFailed = "precondition-failed", 412, "The condition does not hold";
    /// The body is larger than the limit.
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    /// The key or the whole target is longer than the limit.
    UriTooLong = "uri-too-long", 414, "The request target is too long";
    /// None of the media types the caller accepts can be answered.
    NotAcceptable = "not-acceptable", 406, "No accepted media type can be answered";
    /// The body is of a type that the path does not read.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body's media type is not supported";
    /// `Host` names none of this server's names.
    HostNotAllowed = "host-not-allowed", 421, "The host name is not one of this server's";
    /// Another node is the primary of the partition; `newest` names it.
    NotOwner = "not-owner", 421, "Another node acts on the partition";
    /// A node in the body does not answer at its address.
    NodeUnreachable = "node-unreachable", 422, "The node does not answer at its address";
    /// The header block is too large, or has too many fields.
    HeadersTooLarge = "headers-too-large", 431, "The header fields are too large";
    /// A defect of the server.
    Internal = "internal", 500, "The server has a defect";
    /// The node has not joined or formed a cluster yet.
    NotFormed = "not-formed", 503, "The node is not part of a cluster yet";
    /// No consensus leader is known.
    NoLeader = "no-leader", 503, "The cluster has no leader at the moment";
    /// This node is not the leader, and could not pass the operation on.
    NotLeader = "not-leader", 503, "The node is not the leader";
    /// As many operations wait as may.
    Busy = "busy", 503, "Too many operations wait already";
    /// A limit on connections or requests is reached.
    Overloaded = "overloaded", 503, "The server is at one of its limits";
    /// As many callers watch the table as may.
    TooManyWatchers = "too-many-watchers", 503, "Too many callers watch already";
    /// A reader of events was too slow, and its stream ended.
    TooSlow = "too-slow", 503, "The reader was too slow";
    /// This node has not reached the version that was asked for.
    Behind = "behind", 503, "The node has not reached the version";
    /// The partition is being handed over, or its primary may not act at this instant.
    Moving = "moving", 503, "The partition is moving";
    /// No node may act on the partition at present.
    Unavailable = "unavailable", 503, "No node may act on the partition";
    /// Fewer copies are in sync than a write needs.
    TooFewInSync = "too-few-in-sync", 503, "Too few copies are in sync";
    /// The node is stopping.
    Stopping = "stopping", 503, "The node is stopping";
    /// The operation did not finish in time; it may have taken effect, or still do so.
    OutcomeUnknown = "outcome-unknown", 504, "The operation did not finish in time";
}

impl Code {
    /// Whether this answer promises that nothing was done, so that any request may be repeated. What
    /// answers a data plane's requests gives these codes under that condition alone.
    ///
    /// ```
    /// use ck_api::Code;
    /// assert!(Code::NotOwner.is_not_done() && Code::Moving.is_not_done());
    /// assert!(!Code::OutcomeUnknown.is_not_done() && !Code::Conflict.is_not_done());
    /// ```
    #[must_use]
    pub const fn is_not_done(self) -> bool {
        matches!(
            self,
            Self::NotOwner
                | Self::EpochOld
                | Self::Moving
                | Self::Unavailable
                | Self::TooFewInSync
                | Self::Busy
                | Self::Overloaded
                | Self::Stopping
                | Self::NotFormed
        )
    }
}

/// An error body.
///
/// ```
/// use ck_api::{Code, Problem};
/// let problem = Problem::new(Code::MissingParameter, "`key` is missing; ask as `?key=user:1001`")
///     .with_field("key");
/// assert_eq!((problem.status, problem.code.as_str()), (400, "missing-parameter"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// A URI for the kind of problem: `urn:clusterkit:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A summary that does not change from occurrence to occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, the value, and the remedy.
    pub detail: String,
    /// Stable kebab-case name of the problem; callers branch on this.
    pub code: String,
    /// The field, parameter or header at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value at fault, cut at 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When to try again at the earliest, in milliseconds. Absent when trying again is no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How many there are, where a number falls short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<u64>,
    /// How many are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<u64>,
    /// Where things stand, where a condition or an acknowledgement did not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Newest>,
}

/// Where things stand, for a caller whose picture was old.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Newest {
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
    /// The partition it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The node that may act on it; empty when nobody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_node: Option<String>,
    /// The HTTP address of that node, `host:port`; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_address: Option<String>,
    /// Grants of its primary role so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The open switch of its move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u64>,
    /// The HTTP address of the node that takes the primary role next, while a switch is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_address: Option<String>,
}

/// Longest `value` a problem repeats, in bytes.
const VALUE_BYTES_MAX: usize = 256;

impl Problem {
    /// A problem of that code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::refusal(code.name(), code.status(), code.title(), detail)
    }

    /// A problem whose code is the cluster's own, with the status chosen for it.
    #[must_use]
    pub fn refusal(code: &str, status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:clusterkit:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            field: None,
            value: None,
            retry_after_ms: None,
            have: None,
            need: None,
            newest: None,
        }
    }

    /// Names the field, parameter or header at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Repeats the value at fault, cut at 256 bytes.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        let mut value = value.into();
        if value.len() > VALUE_BYTES_MAX {
            let end = (0..=VALUE_BYTES_MAX)
                .rev()
                .find(|at| value.is_char_boundary(*at));
            value.truncate(end.unwrap_or(0));
        }
        self.value = Some(value);
        self
    }

    /// Says when to try again at the earliest.
    #[must_use]
    pub fn with_retry_after_ms(mut self, after_ms: u64) -> Self {
        self.retry_after_ms = Some(after_ms);
        self
    }

    /// Says how many there are and how many are needed.
    #[must_use]
    pub fn with_count(mut self, have: u64, need: u64) -> Self {
        self.have = Some(have);
        self.need = Some(need);
        self
    }

    /// Says where things stand.
    #[must_use]
    pub fn with_newest(mut self, newest: Newest) -> Self {
        self.newest = Some(newest);
        self
    }

    /// The code, when it is one of the surface's own.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::from_name(&self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.detail, self.code, self.status)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_an_error_status() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert_eq!(Code::from_name(code.name()), Some(*code));
            let kebab = code
                .name()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'-');
            assert!(kebab, "{}", code.name());
            assert!(
                Code::ALL[..at]
                    .iter()
                    .all(|other| other.name() != code.name()),
                "{code:?}"
            );
        }
    }

    #[test]
    fn only_the_internal_code_is_a_500() {
        let of_500: Vec<_> = Code::ALL
            .iter()
            .filter(|code| code.status() == 500)
            .collect();
        assert_eq!(of_500, [&Code::Internal]);
    }

    #[test]
    fn a_problem_is_written_with_the_rfc_names_and_without_empty_ones() {
        let problem = Problem::new(Code::TooFewNodes, "2 of 3").with_count(2, 3);
        let text = serde_json::to_string(&problem).unwrap();
        assert!(text.starts_with(r#"{"type":"urn:clusterkit:problem:too-few-nodes","title":"#));
        assert!(
            text.ends_with(r#""code":"too-few-nodes","have":2,"need":3}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }

    #[test]
    fn a_long_value_is_cut_on_a_character() {
        let problem = Problem::new(Code::InvalidParameter, "x").with_value("é".repeat(200));
        assert_eq!(problem.value.unwrap().len(), 256);
    }
}
