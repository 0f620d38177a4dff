//! An application beside a node, as a client of `/v1/orders`: does what the test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BOUND, Reply, Server, request};

/// What the application does about an order.
pub(crate) enum Does {
    /// It is done.
    Ack,
    /// It fails, and says why.
    Fail(&'static str),
    /// Nothing: it hangs.
    Hang,
}

type Policy = Box<dyn FnMut(&Value) -> Does + Send>;

/// The subscription of one node's orders.
pub(crate) struct Application {
    http: SocketAddr,
    stream: TcpStream,
    policy: Arc<Mutex<Policy>>,
    told: Arc<Mutex<Vec<Value>>>,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    /// Subscribes; each order is done at once as long as nothing else was said.
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        let http = server.http;
        let mut stream = TcpStream::connect(http).expect("the node listens");
        stream.set_read_timeout(Some(BOUND)).unwrap();
        write!(
            stream,
            "GET /v1/orders HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let policy: Arc<Mutex<Policy>> = Arc::new(Mutex::new(Box::new(|_| Does::Ack)));
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let (does, tells) = (Arc::clone(&policy), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some(data) = line.strip_prefix("data: ") else {
                    continue;
                };
                let order: Value = serde_json::from_str(data).expect("data is JSON");
                let answer = order["event"]
                    .is_string()
                    .then(|| does.lock().unwrap()(&order));
                match answer {
                    Some(Does::Ack) => drop(acknowledge(http, &order, &json!({}))),
                    Some(Does::Fail(why)) => {
                        drop(acknowledge(http, &order, &json!({ "error": why })));
                    }
                    Some(Does::Hang) | None => {}
                }
                tells.lock().unwrap().push(order);
            }
        });
        Self {
            http,
            stream,
            policy,
            told,
            thread: Some(thread),
        }
    }

    /// From the next order on it does this.
    pub(crate) fn does(&self, policy: impl FnMut(&Value) -> Does + Send + 'static) {
        *self.policy.lock().unwrap() = Box::new(policy);
    }

    /// What it was told so far, oldest first.
    pub(crate) fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }

    /// Acknowledges an order, with these fields otherwise than the order says.
    #[track_caller]
    pub(crate) fn acknowledge(&self, order: &Value, otherwise: &Value) -> Reply {
        acknowledge(self.http, order, otherwise).expect("the node answers")
    }
}

impl Drop for Application {
    /// It dies: the connection breaks, and whatever was open stays open.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Acknowledges an order at a node, with these fields otherwise than the order says.
pub(crate) fn acknowledge(http: SocketAddr, order: &Value, otherwise: &Value) -> Option<Reply> {
    let mut ack = json!({
        "stage": order["event"], "session": order["session"], "epoch": order["epoch"],
    });
    if !order["switch"].is_null() {
        ack["switch"] = order["switch"].clone();
    }
    for (name, value) in otherwise.as_object().expect("an object") {
        ack[name] = value.clone();
    }
    let path = format!("/v1/orders/{}/ack", order["id"].as_str()?);
    let headers = [("Content-Type", "application/json")];
    let body = ack.to_string();
    let bound = Duration::from_secs(10);
    request(http, "POST", &path, &headers, body.as_bytes(), bound).ok()
}
