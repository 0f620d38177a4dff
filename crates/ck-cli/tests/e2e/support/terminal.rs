//! A terminal of a known size, and a program on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::{BOUND, wait_for};

/// Columns of a terminal that is neither narrow nor wide.
pub(crate) const COLUMNS: u16 = 110;

/// Leaves the screen that a full-screen program draws on.
const LEFT: &str = "\u{1b}[?1049l";

/// A terminal, and a program on it.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// What the program has: kept open, so that its mode can be asked for.
    end: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts a command on a terminal so many columns wide.
    pub(crate) fn start(mut command: Command, columns: u16) -> Self {
        let size = Winsize {
            ws_row: 30,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("it is open"));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn();
        // It holds the terminal's other end as well.
        drop(command);
        let shown = Arc::new(Mutex::new(String::new()));
        let mut screen = File::from(pty.master.try_clone().expect("it is open"));
        let drawn = Arc::clone(&shown);
        // Ends with the last holder of the other end.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                drawn.lock().expect("no reader panicked").push_str(&text);
            }
        });
        Self {
            child: child.expect("ck starts"),
            keys: File::from(pty.master),
            end: pty.slave,
            shown,
        }
    }

    /// What has been shown so far.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().expect("no reader panicked").clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) {
        wait_for(text, BOUND, || self.shown().contains(text).then_some(()));
    }

    /// Whether keys are taken one by one, without an echo.
    pub(crate) fn is_raw(&self) -> bool {
        let mode = tcgetattr(self.end.as_fd()).expect("it is a terminal");
        !mode
            .local_flags
            .intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("it takes keys");
    }

    /// Waits for the end of a command that ends by itself; what it showed.
    #[track_caller]
    pub(crate) fn wait_for_end(mut self) -> String {
        let status = wait_for("it ends", BOUND, || {
            self.child.try_wait().expect("it can be asked")
        });
        assert_eq!(status.code(), Some(0), "{}", self.shown());
        // What is shown is read by another thread: a mark of our own comes behind all of it.
        let mark = "\u{1}";
        File::from(self.end.try_clone().expect("it is open"))
            .write_all(mark.as_bytes())
            .expect("it can be written");
        self.wait_for_text(mark);
        self.shown().replace(mark, "")
    }

    /// Waits for the end, which must leave the terminal as it was.
    #[track_caller]
    pub(crate) fn wait_for_clean_end(mut self) {
        let status = wait_for("it ends", BOUND, || {
            self.child.try_wait().expect("it can be asked")
        });
        assert_eq!(status.code(), Some(0), "{}", self.shown());
        assert!(!self.is_raw(), "keys are still taken one by one");
        self.wait_for_text(LEFT);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
