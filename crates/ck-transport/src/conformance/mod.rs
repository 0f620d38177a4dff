//! The suite that every [`Transport`] has to pass, with real peers on both sides of each case.
//!
//! [`conformance_tests!`](crate::conformance_tests) writes one test for each case. A case panics
//! with what it expected; every wait in it is bounded by [`PATIENCE`].

mod bodies;
mod calls;
mod peers;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use ck_core::NodeId;

use crate::{BoxFuture, ClusterId, Limits, PeerId, Service, Transport, TransportError};

use self::probe::Probe;

pub use self::bodies::*;
pub use self::calls::*;
pub use self::peers::*;

/// How long a case waits for something that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a case watches that something does not happen.
const WATCH: Duration = Duration::from_millis(200);

/// What a transport under test provides.
pub trait Fixture: Send + Sync {
    /// Starts a peer with [`limits`], at `address` or, when there is none, at a free one.
    fn start(
        &self,
        address: Option<String>,
        me: PeerId,
        service: Arc<dyn Service>,
    ) -> BoxFuture<'_, Result<Arc<dyn Transport>, TransportError>>;

    /// An address at which nobody answers.
    fn nowhere(&self) -> String;
}

/// The limits of every peer of the suite: small, so that cases reach them.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        payload_bytes_max: 1024 * 1024,
        calls_per_connection_max: 16,
        requests_max: 64,
        buffered_bytes_max: 64 * 1024 * 1024,
        body_stall_max: Duration::from_secs(2),
    }
}

/// The cluster of the suite's peers, unless a case says otherwise.
const CLUSTER: ClusterId = ClusterId(0xc1);

fn id(name: &str, member: u64) -> PeerId {
    PeerId {
        node: NodeId::new(name).expect("the suite's names are valid"),
        member: Some(member),
        store: u128::from(member) << 64,
        cluster: Some(CLUSTER),
        cluster_name: "suite".into(),
    }
}

/// A peer with its probe.
struct Side {
    transport: Arc<dyn Transport>,
    probe: Arc<Probe>,
    address: String,
}

impl Side {
    async fn start(fixture: &dyn Fixture, me: PeerId) -> Self {
        Self::start_at(fixture, None, me)
            .await
            .expect("a free address can be taken")
    }

    async fn start_at(
        fixture: &dyn Fixture,
        address: Option<String>,
        me: PeerId,
    ) -> Result<Self, TransportError> {
        let probe = Arc::new(Probe::default());
        let service: Arc<dyn Service> = Arc::clone(&probe) as _;
        let transport = fixture.start(address, me, service).await?;
        let address = transport.local_address();
        Ok(Self {
            transport,
            probe,
            address,
        })
    }
}

/// Member 1, who asks, and member 2, who answers.
async fn pair(fixture: &dyn Fixture) -> (Side, Side) {
    (
        Side::start(fixture, id("node-1", 1)).await,
        Side::start(fixture, id("node-2", 2)).await,
    )
}

/// Waits for what has to happen.
async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Writes one test for each case of the suite, with the given test attribute.
///
/// ```ignore
/// ck_transport::conformance_tests!(tokio::test(start_paused = true), MyFixture::new());
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($test:meta, $fixture:expr) => {
        $crate::conformance_tests! { @cases $test, $fixture,
            a_call_reaches_the_service_and_its_answer_the_caller
            calls_run_at_the_same_time
            a_payload_of_the_limit_passes_both_ways
            a_payload_over_the_limit_is_refused_unrun
            a_reply_over_the_limit_is_refused
            a_deadline_ends_the_call_and_drops_the_handler
            a_dropped_call_drops_the_handler_and_frees_its_slot
            calls_over_the_limit_are_refused_at_once
            a_refusal_carries_code_and_message
            a_panic_is_contained_and_reported
            an_upload_arrives_whole_and_in_order
            a_download_arrives_whole_and_in_order
            a_slow_reader_of_a_download_holds_its_writer_and_nobody_else
            a_slow_reader_of_an_upload_holds_its_writer_and_nobody_else
            a_dropped_download_stops_its_writer_and_frees_its_slot
            a_download_dropped_in_silence_stops_its_writer_at_once
            a_dropped_upload_call_cuts_the_body_off
            a_body_cut_off_is_never_taken_for_complete
            a_stalled_body_is_given_up
            another_member_is_refused
            another_node_is_refused
            another_cluster_is_refused_from_both_sides
            a_peer_without_a_cluster_talks_to_anyone
            a_late_identity_is_seen_by_both_sides
            a_cluster_learnt_late_parts_strangers
            nobody_there_is_unreachable
            a_peer_that_goes_ends_the_calls_to_it
            a_peer_that_returns_is_found_again
            a_transport_shut_down_refuses_calls
        }
    };
    (@cases $test:meta, $fixture:expr, $($case:ident)+) => {
        $(
            #[$test]
            async fn $case() {
                $crate::conformance::$case(&$fixture).await;
            }
        )+
    };
}
