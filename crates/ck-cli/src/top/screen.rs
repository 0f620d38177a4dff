//! The terminal, taken and given back.

use std::io;

use ratatui::{DefaultTerminal, Frame};

/// The whole screen in raw mode. Given back when dropped, and by ratatui's hook when something panics.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        // What was done of it when the rest fails is undone.
        ratatui::try_init()
            .map(Self)
            .inspect_err(|_| ratatui::restore())
    }

    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(picture)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = ratatui::try_restore();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::{LocalFlags, tcgetattr};

    use super::*;

    #[test]
    #[ignore = "the test below runs it, on a terminal of its own"]
    fn something_panics_while_it_draws() {
        let mut screen = Screen::take().unwrap();
        screen.draw(|_| panic!("on purpose")).unwrap();
    }

    #[test]
    fn a_panic_is_told_on_a_terminal_that_was_given_back() {
        let size = Winsize {
            ws_row: 30,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let this = std::env::current_exe().unwrap();
        let name = "top::screen::tests::something_panics_while_it_draws";
        let mut panics = Command::new(this)
            .args([name, "--exact", "--ignored", "--nocapture"])
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let mut master = File::from(pty.master);
        let shown = std::thread::spawn(move || {
            let mut shown = Vec::new();
            // The last holder of the other end is gone: an error is the end.
            let _ = master.read_to_end(&mut shown);
            String::from_utf8_lossy(&shown).into_owned()
        });
        assert!(!panics.wait().unwrap().success());
        let mode = tcgetattr(pty.slave.as_fd()).unwrap().local_flags;
        drop(pty.slave);
        let shown = shown.join().unwrap();
        assert!(
            mode.contains(LocalFlags::ICANON | LocalFlags::ECHO),
            "{shown}"
        );
        let taken = shown.find("\u{1b}[?1049h").expect("the screen is taken");
        let given = shown
            .find("\u{1b}[?1049l")
            .expect("the screen is given back");
        let told = shown.find("on purpose").expect("the panic is told");
        assert!(taken < given && given < told, "{shown}");
    }
}
