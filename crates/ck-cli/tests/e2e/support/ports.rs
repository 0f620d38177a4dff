//! Ports that are free now and that nobody is given by chance: below the range from which the
//! system takes ports of its own, so that a node killed and started again finds them free.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// HTTP ports are taken from here; the peer port of each is 2,000 above.
const FIRST: u16 = 20_000;
const SPAN: u32 = 2_000;
const PEER_OFFSET: u16 = 2_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// `count` consecutive HTTP ports that are free, their peer ports too.
pub(crate) fn block(count: u16) -> u16 {
    let begin = std::process::id().wrapping_mul(37);
    for _ in 0..SPAN {
        let offset = begin.wrapping_add(NEXT.fetch_add(u32::from(count), Ordering::Relaxed)) % SPAN;
        let base = FIRST + u16::try_from(offset).expect("SPAN fits");
        let all = base..base + count;
        let inside = offset + u32::from(count) <= SPAN;
        if inside
            && all
                .clone()
                .chain(all.map(|port| port + PEER_OFFSET))
                .all(is_free)
        {
            return base;
        }
    }
    panic!("no {count} free ports from {FIRST} on");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
