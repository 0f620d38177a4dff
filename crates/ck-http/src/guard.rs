//! Checks before a request reaches its handler: size, name of the server, page it comes from.

use ck_api::{Code, Problem, Role};
use hyper::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Version};

use crate::config::Limits;
use crate::frames::Unclear;
use crate::reply::{Refused, Reply};

/// How a browser says from where a request comes that names no origin.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request head over the limits.
pub(crate) fn size(head: &Parts, limits: &Limits) -> Result<(), Refused> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let target_max = 3 * limits.key_bytes_max + 1024;
    if target > target_max {
        let detail = format!("a target of {target} bytes is too long; at most {target_max}");
        return Err(Refused::new(Code::UriTooLong, detail));
    }
    let (count, count_max) = (head.headers.len(), limits.header_count_max);
    if count > count_max {
        let detail = format!("{count} header fields are too many; at most {count_max} are read");
        return Err(Refused::new(Code::HeadersTooLarge, detail));
    }
    // `: ` and the line's end count too.
    let fields = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    let (bytes, bytes_max) = (target + fields.sum::<usize>(), limits.header_bytes_max);
    if bytes > bytes_max {
        let detail = format!("a head of {bytes} bytes is too large; at most {bytes_max} are read");
        return Err(Refused::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

/// Refuses a body whose end is said in two ways, and one that is coded in transit otherwise than in
/// chunks: taken as it came, its bytes would be other ones than were meant. Whatever follows on that
/// connection is not read.
pub(crate) fn framing(head: &Parts) -> Option<Reply> {
    let mut given = head.headers.get_all(TRANSFER_ENCODING).iter();
    let coding = given.next();
    let is_plain = given.next().is_none()
        && coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let problem = if !is_plain {
        let detail =
            "a body is read whole or in chunks; send `Transfer-Encoding: chunked`, once, or none";
        Problem::new(Code::BadRequest, detail).with_field("transfer-encoding")
    } else if head.extensions.get::<Unclear>().is_some() {
        let detail = "where this request, or one before it on the connection, ends is said in two \
                      ways; send one `Content-Length`, or one `Transfer-Encoding: chunked`";
        Problem::new(Code::BadRequest, detail).with_field("content-length")
    } else {
        return None;
    };
    let mut reply = Refused::from(problem).reply();
    let close = HeaderValue::from_static("close");
    reply.headers_mut().insert(CONNECTION, close);
    Some(reply)
}

/// Refuses a request that is addressed to another name than this server's.
pub(crate) fn host(head: &Parts, allowed: Option<&[String]>) -> Result<(), Refused> {
    let mut given = head.headers.get_all(HOST).iter();
    let host = given.next();
    if given.next().is_some() || (host.is_none() && head.version == Version::HTTP_11) {
        let detail = "an HTTP/1.1 request has exactly one `Host` field; send one";
        return Err(Problem::new(Code::BadRequest, detail)
            .with_field("host")
            .into());
    }
    let Some(allowed) = allowed else {
        return Ok(());
    };
    let named = host.map(|host| host.to_str().unwrap_or("\u{fffd}"));
    for name in named.into_iter().chain(
        head.uri
            .authority()
            .map(hyper::http::uri::Authority::as_str),
    ) {
        let bare = without_port(name);
        if !allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(bare))
        {
            let detail = format!(
                "{bare:?} is not a name of this server; use one of {}, or start the node with \
                 that name in --advertise",
                allowed.join(", ")
            );
            let problem = Problem::new(Code::HostNotAllowed, detail).with_field("host");
            return Err(problem.with_value(bare).into());
        }
    }
    Ok(())
}

/// Refuses a change that a page of another site asks for. A browser names the page's origin, or, of
/// what a page merely embeds, that it is another site's; other programs name neither.
pub(crate) fn origin(head: &Parts, role: Role) -> Result<(), Refused> {
    if role == Role::Read {
        return Ok(());
    }
    let text = |name| {
        head.headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("\u{fffd}"))
    };
    let host = text(HOST);
    let own = |origin: &str| origin.split_once("://").map(|(_, site)| site) == host;
    let embedded = text(SEC_FETCH_SITE).filter(|site| !["same-origin", "none"].contains(site));
    let foreign = text(ORIGIN).filter(|origin| host.is_none() || !own(origin));
    let Some(origin) = foreign.or(embedded) else {
        return Ok(());
    };
    let detail =
        format!("a page of {origin:?} may not change anything here; use a client of your own");
    let problem = Problem::refusal("cross-origin", 403, "The page is of another site", detail);
    Err(problem.with_field("origin").with_value(origin).into())
}

/// Tells a browser that opens an answer to take it for what it says it is and to run nothing in it. An
/// answer with a policy of its own keeps that.
pub(crate) fn shield(headers: &mut HeaderMap) {
    const NOTHING: HeaderValue =
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
}

fn without_port(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/v1/nodes");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_foreign_name_is_refused_with_any_port() {
        let allowed = crate::config::loopback_hosts([]);
        let ask = |name: &str| host(&head(&[("host", name)]), Some(&allowed));
        for own in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "[::1]:1",
            "[::1]",
        ] {
            assert!(ask(own).is_ok(), "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example:8080",
            "",
            "127.0.0.2:8080",
            "::1",
        ] {
            let problem = ask(foreign).unwrap_err().problem();
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (421, "host-not-allowed")
            );
        }
        assert!(host(&head(&[("host", "evil.example")]), None).is_ok());
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let ask =
            |from: &str, role| origin(&head(&[("host", "localhost:80"), ("origin", from)]), role);
        for foreign in ["http://evil.example", "http://localhost:81", "null", ""] {
            let problem = ask(foreign, Role::Operate).unwrap_err().problem();
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (403, "cross-origin"),
                "{foreign}"
            );
            assert!(
                ask(foreign, Role::Read).is_ok(),
                "who only reads is not asked"
            );
        }
        assert!(ask("http://localhost:80", Role::Admin).is_ok());
        let embedded = |site: &str| {
            let head = head(&[("host", "localhost:80"), ("sec-fetch-site", site)]);
            origin(&head, Role::Operate).is_ok()
        };
        assert!(
            !embedded("cross-site") && !embedded("same-site"),
            "as by an image"
        );
        assert!(embedded("same-origin") && embedded("none"));
        assert!(
            origin(&head(&[("host", "localhost:80")]), Role::Admin).is_ok(),
            "no browser"
        );
    }

    #[test]
    fn an_answer_runs_nothing_unless_it_says_so_itself() {
        let mut headers = HeaderMap::new();
        shield(&mut headers);
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("own"));
        shield(&mut headers);
        assert_eq!(headers[CONTENT_SECURITY_POLICY], "own");
    }

    #[test]
    fn a_host_is_given_once() {
        for headers in [&[][..], &[("host", "a"), ("host", "b")][..]] {
            assert_eq!(
                host(&head(headers), None).unwrap_err().problem().status,
                400
            );
        }
    }

    #[test]
    fn a_large_head_is_refused_by_what_is_large() {
        let limits = Limits {
            header_bytes_max: 1024,
            key_bytes_max: 100,
            ..Limits::default()
        };
        let long = "x".repeat(2000);
        let problem = size(&head(&[("a", &long)]), &limits).unwrap_err().problem();
        assert_eq!(problem.status, 431);
        let many: Vec<_> = (0..70).map(|n| format!("h{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(
            size(&head(&many), &limits).unwrap_err().problem().status,
            431
        );
        let target = Request::get(format!("/{long}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        assert_eq!(size(&target, &limits).unwrap_err().problem().status, 414);
        assert!(size(&head(&[("host", "a")]), &limits).is_ok());
    }
}
