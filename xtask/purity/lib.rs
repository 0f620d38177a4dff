//! Links the pure crates into a program without the standard library.
//!
//! It brings its own panic handler and its own allocator. The standard library defines a panic
//! handler, too, and a program has one: as soon as any crate below enables `std`, the compiler
//! stops with E0152, duplicate lang item. So building this is the proof.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use ck_control as _;
use ck_core as _;

/// Hands out nothing: the program is linked, never run.
struct NoMemory;

// SAFETY: a null pointer is how an allocator says that it has no memory left; nothing is ever
// handed out, so there is nothing to free.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {}
}
