use std::sync::mpsc;

use bytes::Bytes;
use ck_control::{Command, Config};
use http_body_util::Full;
use hyper::Request;

use super::*;
use crate::fake::Fake;
use crate::surface::Surface;
use crate::{Reply, SurfaceConfig};

async fn ask(surface: Surface, target: String) -> Reply {
    let request = Request::get(target).header("host", "localhost");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    surface.handle(request).await
}

/// A surface whose table has a past, and the target that shows it.
async fn with_past() -> (Surface, String) {
    let fake = Arc::new(Fake::with_partitions(Config::default(), 3));
    let surface = Surface::new(SurfaceConfig::default(), Arc::clone(&fake) as _).unwrap();
    let before = surface.core.feed().place();
    let set = Command::SetCustom {
        key: "a".into(),
        value: b"1".to_vec(),
        expected: None,
    };
    fake.apply(set).unwrap();
    let mut places = surface.core.feed().places();
    places.wait_for(|place| *place > before).await.unwrap();
    (surface, format!("/v1/table?at={}", before.version))
}

#[test]
fn a_look_into_the_past_keeps_nobody_else_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (surface, past) = with_past().await;
        // The one thread for what takes long is taken.
        let (free, taken) = mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || taken.recv());
        let asked = tokio::spawn(ask(surface.clone(), past));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(surface, "/v1/table".into()).await.status(), 200);
        assert!(!asked.is_finished(), "it was made on the runtime");
        drop(free);
        assert!(holding.await.unwrap().is_err());
        assert_eq!(asked.await.unwrap().status(), 200);
    });
}

#[tokio::test]
async fn few_look_into_the_past_at_a_time() {
    let (surface, past) = with_past().await;
    let looks = Arc::clone(&surface.core.past);
    let others = looks.acquire_many(PAST_MAX as u32).await.unwrap();
    let refused = ask(surface.clone(), past.clone()).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(others);
    assert_eq!(ask(surface, past).await.status(), 200);
    assert_eq!(looks.available_permits(), PAST_MAX, "given back");
}
