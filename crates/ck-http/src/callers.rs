//! Callers that are nodes of the cluster, and routes for them alone.

use ck_api::{Code, Problem, Role};
use ck_control::State;
use ck_core::NodeId;
use ck_tls::Caller;
use hyper::http::Extensions;
use hyper::http::request::Parts;

use crate::access::AcceptedTokens;
use crate::reply::{Refused, Reply};

/// The node that makes a request, by the extensions of its head: it has proved so by a certificate.
/// `None` where nodes prove nothing, so that what is asked between them is guarded by a token or not at
/// all.
#[must_use]
pub fn calling_node(extensions: &Extensions) -> Option<&NodeId> {
    match extensions.get::<Caller>() {
        Some(Caller::Node(node)) => Some(node),
        _ => None,
    }
}

/// Whether a request is one of a member, by its certificate.
pub(crate) fn is_member(head: &Parts, state: &State) -> bool {
    calling_node(&head.extensions).is_some_and(|node| state.member_by_node(node.as_str()).is_some())
}

/// Refuses whoever is no other node of the cluster. Where nodes show no certificates, whoever has no
/// token of an admin, as a node has.
pub(crate) fn admit_node(
    head: &Parts,
    state: &State,
    tokens: &AcceptedTokens,
) -> Result<(), Box<Reply>> {
    if head.extensions.get::<Caller>().is_none() {
        let admitted = tokens.admit(&head.headers, Role::Admin);
        return admitted.map_err(|denied| Box::new(denied.reply()));
    }
    if is_member(head, state) {
        return Ok(());
    }
    let detail = match calling_node(&head.extensions) {
        Some(node) => {
            format!("{node} is no member of this cluster, and this path is for those alone")
        }
        None => {
            "this path is for nodes of this cluster alone, which show a certificate that names \
                 them; other callers have other paths"
                .to_owned()
        }
    };
    let problem = Problem::new(Code::Forbidden, detail);
    Err(Box::new(Refused::from(problem).reply()))
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::header::AUTHORIZATION;

    use super::*;
    use crate::fake::Fake;

    fn head(caller: Option<Caller>, token: Option<&str>) -> Parts {
        let mut request = Request::post("/app-peer/x");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        if let Some(caller) = caller {
            head.extensions.insert(caller);
        }
        head
    }

    fn node(name: &str) -> Option<Caller> {
        Some(Caller::Node(NodeId::new(name).unwrap()))
    }

    #[test]
    fn only_a_member_is_admitted_where_nodes_prove_who_they_are() {
        let fake = Fake::with_partitions(Default::default(), 3);
        let state = crate::backend::Backend::state(&fake);
        let member = state.members().next().unwrap().node.to_string();
        let tokens = AcceptedTokens::new("admin s3cret".parse().unwrap());
        let ask = |caller, token| {
            let admitted = admit_node(&head(caller, token), &state, &tokens);
            admitted.map_err(|reply| reply.status().as_u16())
        };
        assert_eq!(ask(node(&member), None), Ok(()));
        for caller in [node("stranger"), Some(Caller::Unnamed)] {
            assert_eq!(ask(caller.clone(), None), Err(403));
            assert_eq!(
                ask(caller, Some("s3cret")),
                Err(403),
                "a token is no certificate"
            );
        }
        // Elsewhere a node is known by what an admin shows.
        assert_eq!(ask(None, Some("s3cret")), Ok(()));
        assert_eq!(ask(None, None), Err(401));
    }
}
