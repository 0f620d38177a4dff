//! Single key presses, without waiting for the return key.

use std::io::{self, IsTerminal, Read};

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use nix::unistd::{getpgrp, tcgetpgrp};
use tokio::sync::mpsc;

/// The terminal's former mode, restored on drop.
pub(super) struct Keys {
    before: Termios,
}

impl Keys {
    /// Sends `()` when `q` is pressed. `None` when standard input is no terminal, or is that of
    /// another job: then nothing is read.
    pub(super) fn watch(pressed: mpsc::Sender<()>) -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || tcgetpgrp(&stdin).ok()? != getpgrp() {
            return None;
        }
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut keys = before.clone();
        // Interrupts and output stay as they are.
        keys.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        termios::tcsetattr(&stdin, SetArg::TCSANOW, &keys).ok()?;
        std::thread::spawn(move || {
            for byte in io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if matches!(byte, b'q' | b'Q') && pressed.blocking_send(()).is_err() {
                    return;
                }
            }
        });
        Some(Self { before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}
