//! Which token may do what: the file that a node is given.

use core::fmt;

use crate::token::{Token, TokenError};
use crate::{Role, token::TOKEN_BYTES_MAX};

/// Most tokens one file may hold.
pub const TOKENS_MAX: usize = 64;

/// Largest file of tokens, in bytes: as many as may be, and a comment of a line beside each.
pub const TOKENS_BYTES_MAX: usize = TOKENS_MAX * 2 * (TOKEN_BYTES_MAX + 64);

/// Tokens, each with the role it carries. Never shown.
///
/// A line each: `admin <token>`, `operate <token>` or `read <token>`; a line with nothing but a token
/// is an admin's. Empty lines, and those that begin with `# `, are left out. A role may have several
/// tokens, so that one can be replaced while the other still works.
///
/// ```
/// use ck_api::{Role, Tokens};
/// let tokens: Tokens = "admin s3cret\nread l00k\n".parse()?;
/// assert_eq!(tokens.strongest().expose(), "s3cret");
/// assert!(tokens.guards_reading());
/// assert_eq!(format!("{tokens:?}"), "Tokens(1 admin, 1 read)");
/// # Ok::<(), ck_api::TokensError>(())
/// ```
#[derive(Clone)]
pub struct Tokens {
    /// At least one, the first of the highest role there is.
    entries: Vec<(Role, Token)>,
}

/// Why a text holds no tokens. The text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// No token at all.
    #[error("there is no token; write `admin <token>`, a line each")]
    Empty,
    /// A line that is none of the forms.
    #[error(
        "line {line} has {words} words; write `admin <token>`, `operate <token>`, `read <token>`, or \
         an admin's token alone"
    )]
    Words {
        /// The line, counted from 1.
        line: usize,
        /// How many words it has.
        words: usize,
    },
    /// A first word that is no role.
    #[error("line {line} begins with no role; use admin, operate or read")]
    Role {
        /// The line, counted from 1.
        line: usize,
    },
    /// A role without a token.
    #[error("line {line} names the role {role} and no token; write `{role} <token>`")]
    NoToken {
        /// The line, counted from 1.
        line: usize,
        /// The role.
        role: Role,
    },
    /// A token that is none.
    #[error("line {line}: {source}")]
    Token {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: TokenError,
    },
    /// One token on two lines.
    #[error("lines {first} and {second} have the same token; give each role one of its own")]
    Twice {
        /// The first such line, counted from 1.
        first: usize,
        /// The second.
        second: usize,
    },
    /// More than [`TOKENS_MAX`].
    #[error("{got} tokens are too many; at most {TOKENS_MAX} are allowed")]
    TooMany {
        /// How many there are.
        got: usize,
    },
}

impl Tokens {
    /// One token, an admin's.
    #[must_use]
    pub fn admin(token: Token) -> Self {
        Self {
            entries: vec![(Role::Admin, token)],
        }
    }

    /// Every token with its role, the highest role first.
    pub fn iter(&self) -> impl Iterator<Item = (Role, &Token)> {
        self.entries.iter().map(|(role, token)| (*role, token))
    }

    /// A token of the highest role there is: what a client sends that is given the whole file.
    #[must_use]
    pub fn strongest(&self) -> &Token {
        &self.entries[0].1
    }

    /// The highest role there is a token for.
    #[must_use]
    pub fn highest(&self) -> Role {
        self.entries[0].0
    }

    /// Whether looking needs a token, too: as soon as there is one for that role.
    #[must_use]
    pub fn guards_reading(&self) -> bool {
        self.entries.iter().any(|(role, _)| *role == Role::Read)
    }
}

impl core::str::FromStr for Tokens {
    type Err = TokensError;

    fn from_str(text: &str) -> Result<Self, TokensError> {
        let mut entries: Vec<(usize, Role, Token)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text == "#" || text.starts_with("# ") {
                continue;
            }
            let (role, token) = entry(line, text)?;
            let known = entries
                .iter()
                .find(|(_, _, known)| known.expose() == token.expose());
            if let Some((first, ..)) = known {
                return Err(TokensError::Twice {
                    first: *first,
                    second: line,
                });
            }
            entries.push((line, role, token));
        }
        if entries.is_empty() {
            return Err(TokensError::Empty);
        }
        if entries.len() > TOKENS_MAX {
            return Err(TokensError::TooMany { got: entries.len() });
        }
        // Stable: the first line of a role stays the first.
        entries.sort_by_key(|(_, role, _)| core::cmp::Reverse(*role));
        let entries = entries.into_iter();
        Ok(Self {
            entries: entries.map(|(_, role, token)| (role, token)).collect(),
        })
    }
}

fn entry(line: usize, text: &str) -> Result<(Role, Token), TokensError> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|source| TokensError::Token { line, source })
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [only] => match Role::from_name(only) {
            Some(role) => Err(TokensError::NoToken { line, role }),
            None => Ok((Role::Admin, parse(only)?)),
        },
        [name, token] => {
            let role = Role::from_name(name).ok_or(TokensError::Role { line })?;
            Ok((role, parse(token)?))
        }
        _ => Err(TokensError::Words {
            line,
            words: words.len(),
        }),
    }
}

impl fmt::Debug for Tokens {
    /// How many there are of each role, and nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(")?;
        let mut comma = "";
        for role in [Role::Admin, Role::Operate, Role::Read] {
            let count = self.entries.iter().filter(|(of, _)| *of == role).count();
            if count > 0 {
                write!(f, "{comma}{count} {role}")?;
                comma = ", ";
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(text: &str) -> Vec<(Role, String)> {
        let tokens: Tokens = text.parse().unwrap();
        let all = tokens.iter();
        all.map(|(role, token)| (role, token.expose().to_owned()))
            .collect()
    }

    #[test]
    fn a_bare_line_is_an_admins_and_the_highest_role_comes_first() {
        assert_eq!(roles("s3cret\n"), [(Role::Admin, "s3cret".to_owned())]);
        let file = "# of the dashboard\nread  l00k\n\noperate d0\n#\nadmin old\r\n new \n";
        let expected = [
            (Role::Admin, "old"),
            (Role::Admin, "new"),
            (Role::Operate, "d0"),
            (Role::Read, "l00k"),
        ];
        let expected = expected.map(|(role, token)| (role, token.to_owned()));
        assert_eq!(roles(file), expected);
        // A token may begin with the sign of a comment.
        assert_eq!(roles("#s3cret"), [(Role::Admin, "#s3cret".to_owned())]);
    }

    #[test]
    fn reading_is_guarded_by_a_token_for_reading_alone() {
        let guards = |text: &str| text.parse::<Tokens>().unwrap().guards_reading();
        assert!(!guards("admin a\noperate b"));
        assert!(guards("admin a\nread b"));
    }

    #[test]
    fn what_is_wrong_is_said_by_line_and_never_repeated() {
        for (text, said) in [
            ("", "there is no token"),
            ("# nothing\n\n", "there is no token"),
            ("a\nroot s3cret", "line 2 begins with no role"),
            ("read a b", "line 1 has 3 words"),
            ("operate", "line 1 names the role operate and no token"),
            ("admin s3cret\n\nread s3cret", "lines 1 and 3 have the same"),
            ("admin s3crét", "line 1: byte 4 of the token"),
        ] {
            let shown = text.parse::<Tokens>().unwrap_err().to_string();
            assert!(shown.starts_with(said), "{shown}");
            assert!(!shown.contains("s3cr"), "{shown}");
        }
        let many: String = (0..=TOKENS_MAX).map(|n| format!("read t{n}\n")).collect();
        let refused = many.parse::<Tokens>().unwrap_err();
        assert_eq!(refused, TokensError::TooMany { got: 65 });
    }
}
