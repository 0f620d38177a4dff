//! A look-up allocates nothing.
//!
//! A test binary of its own, since it replaces the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use benches::input;
use ck_core::KeyHash;

thread_local! {
    /// Allocations of this thread; others, such as the test harness, do not disturb the count.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, and this passes it on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` above, with the same layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(of: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    of();
    COUNT.with(Cell::get) - before
}

#[test]
fn lookup_allocates_nothing() {
    let keys = input::keys();
    for partitions in [64, 16_384] {
        let table = input::table(partitions, 10);
        let count = allocations(|| {
            for key in &keys {
                let row = black_box(&table).lookup(KeyHash::Xxh3, key);
                black_box((
                    row.primary(),
                    row.replicas().len(),
                    row.contains("node-001"),
                ));
            }
        });
        assert_eq!(count, 0, "{partitions} partitions");
    }
}

#[test]
fn allocations_are_counted() {
    let count = allocations(|| drop(black_box(vec![1_u8])));
    assert_eq!(count, 1);
}
