//! The secret a caller proves itself with.

use core::fmt;
use core::str::FromStr;

/// Longest token accepted, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// A bearer token. Never shown: `Debug` prints nothing of it, and there is no `Display`.
///
/// ```
/// use ck_api::Token;
/// let token: Token = "s3cret\n".parse()?;
/// assert_eq!(format!("{token:?}"), "Token(…)");
/// assert_eq!(token.expose(), "s3cret");
/// # Ok::<(), ck_api::TokenError>(())
/// ```
#[derive(Clone)]
pub struct Token(String);

/// Why a text is no token. The text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing but white space.
    #[error("the token is empty; put 1 to {TOKEN_BYTES_MAX} visible ASCII characters on one line")]
    Empty,
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("a token of {got} bytes is too long; at most {TOKEN_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// A character that cannot travel in a header.
    #[error(
        "byte {at} of the token is no visible ASCII character; use letters, digits and signs \
         without spaces, on one line"
    )]
    Character {
        /// Position of the first such byte, counted from 0.
        at: usize,
    },
}

impl Token {
    /// The secret. Only for building or checking a header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads a token; white space around it, as a file's last line feed, is left out.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { got: text.len() });
        }
        match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            Some(at) => Err(TokenError::Character { at }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_travel_in_a_header_is_refused() {
        assert_eq!(" \n".parse::<Token>().unwrap_err(), TokenError::Empty);
        assert_eq!(
            "a b".parse::<Token>().unwrap_err(),
            TokenError::Character { at: 1 }
        );
        assert_eq!(
            "é".parse::<Token>().unwrap_err(),
            TokenError::Character { at: 0 }
        );
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert!(matches!(
            long.parse::<Token>(),
            Err(TokenError::TooLong { got: 4097 })
        ));
    }
}
