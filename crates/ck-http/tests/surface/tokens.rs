//! Tokens in three roles, on every route there is.

use std::sync::Arc;

use ck_http::fake::Fake;
use ck_http::{
    AcceptedTokens, BoxFuture, Incoming, Method, Orders, Reply, Request, Role, RouteInfo, Routes,
    SurfaceConfig,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Got, Live, PATIENCE, captured};

const ROLES: [Role; 3] = [Role::Read, Role::Operate, Role::Admin];

/// The token of a role in [`config`].
fn token(role: Role) -> String {
    format!("Bearer t0ken-of-{role}")
}

fn accepted(roles: &[Role]) -> AcceptedTokens {
    let lines = roles.iter().map(|role| format!("{role} t0ken-of-{role}\n"));
    AcceptedTokens::new(lines.collect::<String>().parse().unwrap())
}

async fn live(roles: &[Role]) -> Live {
    let config = SurfaceConfig {
        tokens: accepted(roles),
        ..SurfaceConfig::default()
    };
    Live::start_with(Fake::with_partitions(captured(), 3), config).await
}

/// Calls a route with what is shown; never one that would not end.
async fn call(live: &Live, route: &RouteInfo, shown: &[&str]) -> Got {
    let path = ["{id}", "{key}", "{node}", "{version}"]
        .iter()
        .fold(route.path.clone(), |path, name| {
            path.replace(name, "node-2")
        });
    let headers: Vec<_> = shown.iter().map(|one| ("authorization", *one)).collect();
    // Without the body an answer has an end, however long it would go on.
    let method = match route.method.as_str() {
        "GET" => "HEAD",
        other => other,
    };
    live.send(method, &path, &headers, b"").await
}

fn is_denied(got: &Got) -> bool {
    matches!(got.status, 401 | 403)
}

#[tokio::test]
async fn every_route_has_a_role_and_asks_for_it() {
    let live = live(&ROLES).await;
    let mut asked = [0; 3];
    for route in ck_http::routes() {
        let name = format!("{} {}", route.method, route.path);
        if route.open {
            assert!(["/health", "/ready"].contains(&route.path.trim_start_matches("/v1")));
            for shown in [&[][..], &["Bearer wrong"]] {
                assert!(!is_denied(&call(&live, &route, shown).await), "{name}");
            }
            continue;
        }
        asked[route.role as usize] += 1;
        let right = token(route.role);
        let (short, long) = (&right[..right.len() - 1], format!("{right}x"));
        let changed = format!("{short}?");
        let basic = right.replace("Bearer", "Basic");
        for shown in [
            &[][..],
            &[short],
            &[&*long],
            &[&*changed],
            &[&*basic],
            &[&*right, &*right],
        ] {
            let got = call(&live, &route, shown).await;
            assert_eq!(got.status, 401, "{name} with {shown:?}");
            let challenge = got.header("www-authenticate").unwrap();
            let scope = format!("scope=\"{}\"", route.role);
            let told = challenge.starts_with("Bearer ") && challenge.contains(&scope);
            assert!(told, "{name}: {challenge}");
        }
        for role in ROLES {
            let got = call(&live, &route, &[&token(role)]).await;
            let expected = role < route.role;
            assert_eq!(got.status == 403, expected, "{name} with {role}: {got:?}");
            assert_ne!(got.status, 401, "{name} with {role}");
        }
    }
    assert!(asked.iter().all(|count| *count > 5), "{asked:?}");
}

#[tokio::test]
async fn looking_is_open_where_there_is_no_token_for_it() {
    let live = live(&[Role::Operate, Role::Admin]).await;
    for route in ck_http::routes() {
        let got = call(&live, &route, &[]).await;
        let looks = route.role == Role::Read;
        assert_eq!(is_denied(&got), !looks, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_refusal_names_what_is_needed_and_repeats_no_token() {
    let live = live(&ROLES).await;
    let low = [("authorization", "Bearer t0ken-of-read")];
    let got = live.send("POST", "/v1/rebalance", &low, b"").await;
    assert_eq!((got.status, got.code().as_str()), (403, "forbidden"));
    let detail = got.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("needs operate"), "{detail}");
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert!(got.header("content-security-policy").is_some());
    assert_eq!(got.header("access-control-allow-origin"), None);
    let wrong = [("authorization", "Bearer t0ken-of-ghosts")];
    let got = live.send("GET", "/v1/nodes", &wrong, b"").await;
    assert_eq!((got.status, got.code().as_str()), (401, "unauthorized"));
    let body = String::from_utf8(got.body).unwrap();
    assert!(!body.contains("t0ken") && !detail.contains("t0ken"));
}

#[tokio::test]
async fn replaced_tokens_count_from_the_next_request_on() {
    let tokens = accepted(&[Role::Admin]);
    let config = SurfaceConfig {
        tokens: tokens.clone(),
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(Fake::with_partitions(captured(), 3), config).await;
    let old = [("authorization", &*token(Role::Admin))];
    let ask = async |headers: &[(&str, &str)]| {
        let got = live.send("POST", "/v1/rebalance", headers, b"").await;
        got.status
    };
    assert_eq!(ask(&old).await, 200);
    tokens.replace("admin an0ther".parse().unwrap());
    assert_eq!(ask(&old).await, 401);
    assert_eq!(ask(&[("authorization", "Bearer an0ther")]).await, 200);
}

/// Reads until the bytes end with that; whether they do before the connection is closed.
async fn reads_until(stream: &mut TcpStream, end: &[u8]) -> bool {
    let mut read = Vec::new();
    let reading = async {
        while !read.windows(end.len()).any(|at| at == end) {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

#[tokio::test]
async fn streams_end_when_the_tokens_are_replaced() {
    let tokens = accepted(&ROLES);
    let config = SurfaceConfig {
        tokens: tokens.clone(),
        orders: Some(Orders::default()),
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(Fake::with_partitions(captured(), 3), config).await;
    let open = async |path: &str| {
        let mut stream = live.connect().await;
        let shown = token(Role::Operate);
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {shown}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let (mut table, mut orders) = (open("/v1/watch").await, open("/v1/orders").await);
    for stream in [&mut table, &mut orders] {
        assert!(reads_until(stream, b"event: ").await);
    }
    tokens.replace("admin an0ther\nread l00k".parse().unwrap());
    for stream in [&mut table, &mut orders] {
        assert!(
            reads_until(stream, b"\r\n0\r\n\r\n").await,
            "the last chunk"
        );
    }
    // Whoever comes back is not let in with the one that is gone.
    for path in ["/v1/watch", "/v1/orders"] {
        let mut refused = open(path).await;
        assert!(reads_until(&mut refused, b"HTTP/1.1 401 ").await, "{path}");
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_token_it_began_with_and_with_no_other() {
    let tokens = accepted(&ROLES);
    let config = SurfaceConfig {
        tokens: tokens.clone(),
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(Fake::with_partitions(captured(), 3), config).await;
    let admin = token(Role::Admin);
    let shown = [("authorization", &*admin)];
    let newest = live.send("GET", "/v1/table", &shown, b"").await.json()["version"].clone();
    let next = newest.as_u64().unwrap() + 1;
    let mut waiting = Vec::new();
    for role in [Role::Read, Role::Admin] {
        let mut stream = live.connect().await;
        let head = format!(
            "GET /v1/table?min_version={next}&wait=60 HTTP/1.1\r\nhost: localhost\r\n\
             authorization: {}\r\n\r\n",
            token(role)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let both = async {
        loop {
            let figures = live.send("GET", "/v1/metrics", &shown, b"").await;
            if figures.body_has("clusterkit_http_watchers 2.0\n") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("both wait");
    let kept = format!("admin t0ken-of-{}\nread an0ther", Role::Admin);
    tokens.replace(kept.parse().unwrap());
    assert!(reads_until(&mut waiting[0], b"HTTP/1.1 401 ").await);
    crate::table::change(&live, 7);
    assert!(
        reads_until(&mut waiting[1], b"HTTP/1.1 200 ").await,
        "it has waited on"
    );
}

/// An application that says of some paths who may call them.
struct Guarded;

impl Routes for Guarded {
    fn serves(&self, path: &str) -> bool {
        path.starts_with("/app/")
    }

    fn role(&self, method: &Method, path: &str) -> Option<Role> {
        match path {
            "/app/open" => None,
            "/app/admin" => Some(Role::Admin),
            _ if *method == Method::GET => Some(Role::Read),
            _ => Some(Role::Operate),
        }
    }

    fn answer(&self, _: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async { Reply::new("answered".into()) })
    }
}

#[tokio::test]
async fn an_application_says_who_may_call_its_routes() {
    let config = SurfaceConfig {
        tokens: accepted(&ROLES),
        ..SurfaceConfig::default()
    };
    let fake = Fake::with_partitions(captured(), 3);
    let live = Live::start_beside(fake, config, Arc::new(Guarded)).await;
    for (method, path, role) in [
        ("GET", "/app/open", None),
        ("PUT", "/app/open", None),
        ("GET", "/app/a", Some(Role::Read)),
        ("PUT", "/app/a", Some(Role::Operate)),
        ("GET", "/app/admin", Some(Role::Admin)),
    ] {
        let got = live.send(method, path, &[], b"").await;
        let expected = if role.is_none() { 200 } else { 401 };
        assert_eq!(got.status, expected, "{method} {path}");
        for shown in ROLES {
            let shown_as = token(shown);
            let headers = [("authorization", &*shown_as)];
            let got = live.send(method, path, &headers, b"").await;
            let expected = if role.is_some_and(|role| shown < role) {
                403
            } else {
                200
            };
            assert_eq!(got.status, expected, "{method} {path} with {shown}");
        }
    }
}
