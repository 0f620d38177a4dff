//! Who is sent to the leader: whoever asks for it, and nobody else.

use ck_http::Method;
use ck_http::fake::Fake;

use crate::support::{Live, captured};

/// What a node answers for itself, whoever leads.
const OWN: &[&str] = &["/plans", "/orders", "/backup"];

#[tokio::test]
async fn operations_are_redirected_when_asked_for() {
    let fake = Fake::with_partitions(captured(), 3);
    fake.is_asked_at("node-2");
    let live = Live::start(fake).await;
    let before = live.version();
    let mut redirected = 0;
    for route in ck_http::routes().filter(|route| route.path != "/v1/orders") {
        let is_own = OWN.iter().any(|own| route.path.contains(own));
        let path = [("{id}", "3"), ("{node}", "node-1"), ("{key}", "a%2Fb")]
            .iter()
            .fold(route.path.clone(), |path, (name, value)| {
                path.replace(name, value)
            });
        let target = format!("{path}?expected=7");
        let method = route.method.as_str();
        if route.method == Method::GET && path.ends_with("/watch") {
            continue;
        }
        let asked = [("prefer", "respond-async, redirect")];
        let got = live.send(method, &target, &asked, b"").await;
        let is_sent = route.method != Method::GET && !is_own;
        assert_eq!(got.status == 307, is_sent, "{method} {target}: {got:?}");
        if is_sent {
            let location = got.header("location").unwrap();
            assert!(
                location.starts_with("http://") && location.ends_with(&target),
                "{location}"
            );
            assert_eq!(got.json()["leader_id"], "node-1");
            redirected += 1;
        }
    }
    assert!(redirected >= 12, "{redirected}");
    assert_eq!(live.version(), before, "nothing was carried out");
    let unasked = live.json("POST", "/v1/nodes/node-3/cordon", "").await;
    assert_eq!(unasked.status, 200);
}
