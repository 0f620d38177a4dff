//! Ownership: who may act, what moves, and the questions operators ask.

use ck_api::{
    Changed, ConfigAnswer, Explanation, History, MayStop, NodeAnswer, Owned, Plan, PromoteRequest,
    TransferList, WhyNot,
};
use hyper::Method;

use crate::attempt::Call;
use crate::encode::{Query, path};
use crate::operate::json;
use crate::{Client, ClientError};

/// What an operator makes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeOrder {
    /// Empty it.
    Drain,
    /// Give it nothing new.
    Cordon,
    /// Take either back.
    Uncordon,
}

/// What is done with a plan under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanOrder {
    /// Hold it back; moves that have begun go on.
    Pause,
    /// Let it go on.
    Resume,
    /// Give it up; moves that have begun go on.
    Abort,
}

/// Every method fails with [`ClientError`]; whether a change may have taken effect all the same is
/// told by [`ClientError::is_outcome_unknown`].
impl Client {
    /// What the server that answers may act on as primary at this instant. Count its lease from
    /// before this was called.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn owned(&self) -> Result<Owned, ClientError> {
        self.ask(Call::get("/v1/owned")).await
    }

    /// Drains, cordons or uncordons a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order_node(&self, id: &str, order: NodeOrder) -> Result<NodeAnswer, ClientError> {
        let what = match order {
            NodeOrder::Drain => "/drain",
            NodeOrder::Cordon => "/cordon",
            NodeOrder::Uncordon => "/uncordon",
        };
        let call = Call::new(Method::POST, path("/v1/nodes/", id, what));
        self.ask(call).await
    }

    /// Makes a node the primary of a partition that nobody may act on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn promote(
        &self,
        partition: &str,
        request: &PromoteRequest,
    ) -> Result<Changed, ClientError> {
        let target = path("/v1/partitions/", partition, "/promote");
        self.ask(json(Method::POST, target, request)?).await
    }

    /// Whether a node may be stopped now, and if not, why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn may_stop(&self, node: &str) -> Result<MayStop, ClientError> {
        let target = path("/v1/nodes/", node, "/may-stop");
        self.ask(Call::get(target)).await
    }

    /// Why a partition is where it is, and as it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain(&self, partition: &str) -> Result<Explanation, ClientError> {
        self.ask(Call::get(path("/v1/explain/", partition, "")))
            .await
    }

    /// Why a node does not have a partition, or only a copy of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn why_not(&self, partition: &str, node: &str) -> Result<WhyNot, ClientError> {
        let question = path("/v1/explain/", partition, "/why-not/");
        self.ask(Call::get(path(&question, node, ""))).await
    }

    /// Accepted commands of versions `from` to `to`, oldest first, at most `limit` of them: the first
    /// ones when `from` is given, else the newest.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn history(
        &self,
        from: Option<&str>,
        to: Option<&str>,
        limit: Option<u64>,
    ) -> Result<History, ClientError> {
        let query = Query::default()
            .with_some("from", from)
            .with_some("to", to)
            .with_some("limit", limit);
        self.ask(Call::get(query.on("/v1/history"))).await
    }

    /// The cluster's configuration.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn config(&self) -> Result<ConfigAnswer, ClientError> {
        self.ask(Call::get("/v1/config")).await
    }

    /// The moves under way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transfers(&self) -> Result<TransferList, ClientError> {
        self.ask(Call::get("/v1/transfers")).await
    }

    /// Plans over the nodes of now; the server that answers keeps the plan.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn preview_plan(&self) -> Result<Plan, ClientError> {
        self.ask(Call::new(Method::POST, "/v1/plans")).await
    }

    /// A plan as it stands; `current` is the one under way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn plan(&self, id: &str) -> Result<Plan, ClientError> {
        self.ask(Call::get(path("/v1/plans/", id, ""))).await
    }

    /// Begins to carry a plan out, if nothing it depends on has changed since.
    ///
    /// # Errors
    /// [`ClientError`]; a plan for a state that is past is a problem of status 412.
    pub async fn apply_plan(&self, plan: &Plan) -> Result<Plan, ClientError> {
        let mut call = Call::new(Method::POST, path("/v1/plans/", &plan.id, "/apply"));
        call.if_match = Some(format!("\"{}.{}\"", plan.incarnation, plan.base));
        self.ask(call).await
    }

    /// Pauses, resumes or aborts the plan under way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order_plan(&self, id: &str, order: PlanOrder) -> Result<Plan, ClientError> {
        let what = match order {
            PlanOrder::Pause => "/pause",
            PlanOrder::Resume => "/resume",
            PlanOrder::Abort => "/abort",
        };
        let call = Call::new(Method::POST, path("/v1/plans/", id, what));
        self.ask(call).await
    }

    /// Lets moves go on although many nodes were lost at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release_brake(&self) -> Result<Changed, ClientError> {
        self.ask(Call::new(Method::POST, "/v1/brake/release")).await
    }
}
