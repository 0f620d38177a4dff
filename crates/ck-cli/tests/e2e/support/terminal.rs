//! A terminal, and `ck` on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

#[cfg(target_os = "linux")]
use super::ck_by;
use super::{BOUND, ck, wait_for};

/// A terminal, and a program on it.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// What the program has: kept open, so that its mode can be asked for.
    end: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts `ck` with arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = ck();
        command.args(args);
        Self::of(command, 110)
    }

    /// Starts `ck` with arguments as the job in front of a terminal, whose keys it gets and whose
    /// Ctrl-C.
    #[cfg(target_os = "linux")]
    pub(crate) fn in_front(args: &[&str]) -> Self {
        // Becomes the command, so the process is that of `ck`.
        let mut command = ck_by(&["setsid", "--ctty"]);
        command.args(args);
        Self::of(command, 110)
    }

    /// Starts a command on a terminal so many columns wide.
    pub(crate) fn of(mut command: Command, columns: u16) -> Self {
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

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What was shown so far, control sequences and what was typed included.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().expect("no reader panicked").clone()
    }

    /// Presses keys.
    pub(crate) fn types(&self, keys: &str) {
        (&self.keys)
            .write_all(keys.as_bytes())
            .expect("it takes keys");
    }

    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) {
        wait_for(text, BOUND, || self.shown().contains(text).then_some(()));
    }

    /// Waits for the end of the program; its exit code.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> Option<i32> {
        let status = wait_for("it ends", BOUND, || {
            self.child.try_wait().expect("it can be asked")
        });
        status.code()
    }

    /// Waits for the end of a full-screen program, which must leave the terminal as it was.
    #[track_caller]
    pub(crate) fn wait_for_clean_end(mut self) {
        assert_eq!(self.wait_for_end(), Some(0), "{}", self.shown());
        assert!(!self.is_raw(), "keys are still taken one by one");
        // Leaves the screen that a full-screen program draws on.
        self.wait_for_text("\u{1b}[?1049l");
    }

    /// All that a command shows which ends by itself.
    #[track_caller]
    pub(crate) fn shown_whole(mut self) -> String {
        assert_eq!(self.wait_for_end(), Some(0), "{}", self.shown());
        // Another thread reads it: a mark of our own comes behind all of it.
        let mark = "\u{1}";
        File::from(self.end.try_clone().expect("it is open"))
            .write_all(mark.as_bytes())
            .expect("it can be written");
        self.wait_for_text(mark);
        self.shown().replace(mark, "")
    }

    /// Whether keys are taken one by one, without an echo.
    pub(crate) fn is_raw(&self) -> bool {
        let mode = tcgetattr(self.end.as_fd()).expect("it is a terminal");
        !mode
            .local_flags
            .intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
