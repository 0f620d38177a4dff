//! Who may do what: tokens and the roles they carry.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ck_api::{Code, Role, Tokens};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::reply::{Refused, Reply};

/// The tokens that a server accepts at present. Clones share them: what is replaced in one counts for
/// the next request of every surface that was made with another.
///
/// ```
/// use ck_http::AcceptedTokens;
/// let accepted = AcceptedTokens::new("admin s3cret".parse()?);
/// accepted.replace("admin an0ther\nread l00k".parse()?);
/// assert_eq!(format!("{accepted:?}"), "AcceptedTokens(Some(Tokens(1 admin, 1 read)))");
/// # Ok::<(), ck_api::TokensError>(())
/// ```
#[derive(Clone, Default)]
pub struct AcceptedTokens(Arc<Accepted>);

#[derive(Default)]
struct Accepted {
    tokens: ArcSwapOption<Tokens>,
    /// Raised each time they are replaced.
    replaced: watch::Sender<u64>,
}

impl AcceptedTokens {
    /// Accepts those.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self(Arc::new(Accepted {
            tokens: ArcSwapOption::from_pointee(tokens),
            replaced: watch::Sender::default(),
        }))
    }

    /// Accepts those instead, from the next request on. Streams of events end, so that whoever may
    /// go on asks anew.
    pub fn replace(&self, tokens: Tokens) {
        self.0.tokens.store(Some(Arc::new(tokens)));
        self.0.replaced.send_modify(|count| *count += 1);
    }

    /// As [`admit`](Self::admit), for an answer that has no end: what is given changes when the tokens
    /// are no longer those that let the caller in.
    pub(crate) fn admit_for_long(&self, shown: &HeaderMap, role: Role) -> Result<Replaced, Denied> {
        // Before they are looked at, so that nothing falls in between.
        let replaced = Replaced(self.0.replaced.subscribe());
        self.admit(shown, role)?;
        Ok(replaced)
    }

    /// Refuses a caller that may not do what `role` does.
    pub(crate) fn admit(&self, shown: &HeaderMap, role: Role) -> Result<(), Denied> {
        let tokens = self.0.tokens.load();
        let Some(tokens) = tokens.as_ref() else {
            return Ok(());
        };
        if role == Role::Read && !tokens.guards_reading() {
            return Ok(());
        }
        let mut given = shown.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(Denied::NoToken { role });
        };
        let Some(secret) = bearer(value.as_bytes()) else {
            return Err(Denied::NoToken { role });
        };
        match carried(tokens, secret) {
            None => Err(Denied::Unknown { role }),
            Some(carried) if carried >= role => Ok(()),
            Some(carried) => Err(Denied::TooLow { role, carried }),
        }
    }
}

impl fmt::Debug for AcceptedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcceptedTokens")
            .field(&self.0.tokens.load().as_deref())
            .finish()
    }
}

/// Tells when the tokens that let a caller in have been replaced.
pub(crate) struct Replaced(watch::Receiver<u64>);

impl Replaced {
    /// Whether they have been.
    pub(crate) fn is_so(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }

    /// Waits until they are, or nobody accepts anything any more.
    pub(crate) async fn wait(&mut self) {
        let _ = self.0.changed().await;
    }
}

/// The role that `secret` carries. Every token is compared, each in a time that does not depend on
/// where the first difference is.
fn carried(tokens: &Tokens, secret: &[u8]) -> Option<Role> {
    tokens.iter().fold(None, |found, (role, token)| {
        let same = bool::from(token.expose().as_bytes().ct_eq(secret));
        if same { Some(role) } else { found }
    })
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| rest.trim_ascii())
}

/// Why a caller is not let in. Holds nothing of what it showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It shows none, or not the way they are shown.
    NoToken { role: Role },
    /// It shows one that is not among those accepted.
    Unknown { role: Role },
    /// It shows one of a lower role.
    TooLow { role: Role, carried: Role },
}

impl Denied {
    pub(crate) fn reply(&self) -> Reply {
        let (code, detail, error) = match self {
            Self::NoToken { role } => (
                Code::Unauthorized,
                format!("this path needs the role {role}; send `Authorization: Bearer <token>`"),
                "",
            ),
            Self::Unknown { role } => (
                Code::Unauthorized,
                format!(
                    "the token is none of this node's, and the path needs the role {role}; check \
                     the file"
                ),
                r#", error="invalid_token""#,
            ),
            Self::TooLow { role, carried } => (
                Code::Forbidden,
                format!(
                    "the token carries the role {carried}, and this path needs {role}; use a token \
                     of that role"
                ),
                r#", error="insufficient_scope""#,
            ),
        };
        let role = self.role();
        let challenge = format!(r#"Bearer realm="clusterkit", scope="{role}"{error}"#);
        let challenge = HeaderValue::from_str(&challenge).expect("words are visible ASCII");
        let mut reply = Refused::new(code, detail).reply();
        reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        reply
    }

    const fn role(&self) -> Role {
        match self {
            Self::NoToken { role } | Self::Unknown { role } | Self::TooLow { role, .. } => *role,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(shown: &[&str]) -> HeaderMap {
        let mut request = Request::get("/v1/nodes");
        for value in shown {
            request = request.header(AUTHORIZATION, *value);
        }
        request.body(()).unwrap().into_parts().0.headers
    }

    fn of(file: &str) -> AcceptedTokens {
        AcceptedTokens::new(file.parse().unwrap())
    }

    const THREE: &str = "admin s3cret\noperate d0it\nread l00k";

    #[test]
    fn only_the_very_token_opens_an_operation() {
        let role = Role::Admin;
        let ask = |value: &str| of(THREE).admit(&head(&[value]), role);
        assert!(ask("Bearer s3cret").is_ok());
        assert!(ask("bearer  s3cret").is_ok());
        for wrong in ["Bearer s3cre", "Bearer s3cret1", "Bearer S3cret", "Bearer "] {
            assert_eq!(ask(wrong), Err(Denied::Unknown { role }), "{wrong}");
        }
        for none in ["Basic s3cret", "s3cret", "Bearer"] {
            assert_eq!(ask(none), Err(Denied::NoToken { role }), "{none}");
        }
        let twice = head(&["Bearer s3cret", "Bearer s3cret"]);
        assert_eq!(of(THREE).admit(&twice, role), Err(Denied::NoToken { role }));
    }

    #[test]
    fn a_token_opens_its_role_and_those_below() {
        let roles = [Role::Read, Role::Operate, Role::Admin];
        let tokens = ["Bearer l00k", "Bearer d0it", "Bearer s3cret"];
        for (shown, carried) in tokens.into_iter().zip(roles) {
            for role in roles {
                let done = of(THREE).admit(&head(&[shown]), role);
                let expected = if carried >= role {
                    Ok(())
                } else {
                    Err(Denied::TooLow { role, carried })
                };
                assert_eq!(done, expected, "{shown} for {role}");
            }
        }
    }

    #[test]
    fn looking_is_open_until_there_is_a_token_for_it() {
        let (none, role) = (head(&[]), Role::Read);
        assert!(AcceptedTokens::default().admit(&none, Role::Admin).is_ok());
        let accepted = of("admin s3cret\noperate d0it");
        assert!(accepted.admit(&none, role).is_ok());
        assert!(accepted.admit(&head(&["Bearer wrong"]), role).is_ok());
        accepted.replace(THREE.parse().unwrap());
        assert_eq!(accepted.admit(&none, role), Err(Denied::NoToken { role }));
        let role = Role::Operate;
        assert_eq!(accepted.admit(&none, role), Err(Denied::NoToken { role }));
    }

    #[test]
    fn a_refusal_names_the_role_and_repeats_no_token() {
        let denied = of(THREE).admit(&head(&["Bearer l00k"]), Role::Admin);
        let denied = denied.unwrap_err();
        assert!(!format!("{denied:?}").contains("l00k"));
        let reply = denied.reply();
        assert_eq!(reply.status(), 403);
        let challenge = reply.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.contains(r#"scope="admin", error="insufficient_scope""#));
    }
}
