//! The clock that leases are counted on.

use ck_control::Time;

/// A clock that never goes back and keeps counting while the machine sleeps.
///
/// Every right to act is measured on it, so it must keep within the cluster's clock-rate bound
/// (5 % by default) of real time. Cheap to read: it is read for every effect.
pub trait Clock: Send + Sync + 'static {
    /// The reading now.
    fn now(&self) -> Time;
}

/// `CLOCK_BOOTTIME` where there is one (Linux), the monotonic clock elsewhere.
///
/// Read through the C library, so that a test can preload another one. The monotonic clock of other
/// systems may stop while the machine sleeps: good for development, not for leases.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: nix::time::ClockId = nix::time::ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: nix::time::ClockId = nix::time::ClockId::CLOCK_MONOTONIC;

impl Clock for BootClock {
    #[inline]
    #[expect(
        clippy::cast_sign_loss,
        reason = "a clock that counts from the boot is not negative"
    )]
    fn now(&self) -> Time {
        let reading = nix::time::clock_gettime(BOOT).expect("the kernel has this clock");
        let (seconds, nanoseconds) = (reading.tv_sec() as u64, reading.tv_nsec() as u64);
        Time(
            seconds
                .wrapping_mul(1_000_000_000)
                .wrapping_add(nanoseconds),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let mut last = BootClock.now();
        for _ in 0..10_000 {
            let now = BootClock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last > Time::ZERO);
    }
}
