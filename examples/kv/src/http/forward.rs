//! A request of a key, done by the primary for a caller that does not look for it by itself.

use ck_http::{Bytes, Code, Method, Problem, Reply, Request, Response, header};
use ck_node::PartitionId;
use ck_serve::{Errand, Errands, Missed, Next, passed_on};

use super::{Answer, Ask, What, problems};
use crate::error::KvError;
use crate::record::Effect;

impl Ask {
    /// Answers here or at the primary, wherever that is by now.
    pub(super) async fn anywhere(&self) -> Answer {
        let courier = &self.core.config.courier;
        Errands::new(&self.node, courier, self.hops).run(self).await
    }
}

impl Errand for Ask {
    type Done = Reply;

    fn partition(&self) -> Result<PartitionId, Box<Problem>> {
        Ok(self.partition)
    }

    async fn here(&self, _: PartitionId) -> Result<Reply, Missed> {
        let error = match Self::here(self).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let next = match &error {
            KvError::NotOwner(refused) => return Err(Missed::not_owner(&self.node, refused)),
            KvError::Unconfirmed { .. } => Next::Again,
            KvError::NoCopy { partition } => {
                let primary = self.node.primary(*partition);
                primary.map_or(Next::Again, Next::Ask)
            }
            _ => Next::Nothing,
        };
        let problem = problems::of(&self.node, &error, None);
        Err(Missed { problem, next })
    }

    fn request(&self, _: PartitionId) -> Result<Request<Bytes>, Box<Problem>> {
        let (method, body) = match &self.what {
            What::Read(_) => (Method::GET, Bytes::new()),
            What::Write(Effect::Put(value), _) => (Method::PUT, value.clone()),
            What::Write(..) => (Method::DELETE, Bytes::new()),
        };
        let request = Request::builder().method(method).uri(&self.target);
        let mut request = request.body(body).map_err(|_| {
            let detail = "the target cannot be passed on; percent-encode the key";
            Box::new(Problem::new(Code::BadRequest, detail))
        })?;
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            for value in self.headers.get_all(&name) {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        Ok(request)
    }

    fn answered(&self, answer: Response<Bytes>) -> Result<Reply, Missed> {
        Missed::of_answer(&answer).map_or_else(|| Ok(passed_on(answer)), Err)
    }

    fn is_safe(&self) -> bool {
        matches!(self.what, What::Read(_))
    }
}
