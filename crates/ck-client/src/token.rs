//! Tokens kept in files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ck_api::tokens::TOKENS_BYTES_MAX;
use ck_api::{Token, Tokens, TokensError};

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot read the token file {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds no token.
    #[error("token file {}", file.display())]
    Token {
        /// The file.
        file: PathBuf,
        /// What is wrong with what it holds.
        source: TokensError,
    },
}

/// Reads the tokens of a file: `admin <token>`, `operate <token>` or `read <token>` a line, or an
/// admin's token alone.
///
/// # Errors
/// [`TokenFileError`] names the file; its source says what is wrong.
pub fn read_tokens(file: &Path) -> Result<Tokens, TokenFileError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|open| open.take(TOKENS_BYTES_MAX as u64).read_to_string(&mut text))
        .map_err(|source| TokenFileError::Read {
            file: file.to_owned(),
            source,
        })?;
    text.parse().map_err(|source| TokenFileError::Token {
        file: file.to_owned(),
        source,
    })
}

/// Reads the token to send from a file: the only one, or the first of the highest role, so that the
/// file of a node serves its operator as well.
///
/// # Errors
/// As [`read_tokens`].
pub fn read_token(file: &Path) -> Result<Token, TokenFileError> {
    read_tokens(file).map(|tokens| tokens.strongest().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_token_of_a_file_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        std::fs::write(&file, "read l00k\noperate d0\n").unwrap();
        assert_eq!(read_token(&file).unwrap().expose(), "d0");
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(read_token(&file).unwrap().expose(), "s3cret");
        std::fs::write(&file, "root s3cret\n").unwrap();
        let refused = read_token(&file).unwrap_err();
        assert!(refused.to_string().contains("tokens"), "{refused}");
        assert!(!format!("{refused:?}").contains("s3cret"));
    }
}
