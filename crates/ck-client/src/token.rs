//! Tokens kept in files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ck_api::token::TOKEN_BYTES_MAX;
use ck_api::{Token, TokenError};

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
        source: TokenError,
    },
}

/// Reads a token from a file, white space around it left out.
///
/// # Errors
/// [`TokenFileError`] names the file; its source says what is wrong.
pub fn read_token(file: &Path) -> Result<Token, TokenFileError> {
    let mut text = String::new();
    // Room for white space around it; what is longer is no token.
    let limit = TOKEN_BYTES_MAX as u64 + 64;
    File::open(file)
        .and_then(|open| open.take(limit).read_to_string(&mut text))
        .map_err(|source| TokenFileError::Read {
            file: file.to_owned(),
            source,
        })?;
    text.parse().map_err(|source| TokenFileError::Token {
        file: file.to_owned(),
        source,
    })
}
