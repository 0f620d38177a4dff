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
