//! Changing.

use bytes::Bytes;
use ck_api::{
    ConfigAnswer, ConfigPatch, CreateRequest, CustomDeleted, CustomStored, GivenTable, JoinAnswer,
    JoinRequest, NodeAnswer, NodePatch, PartitionList, RebalanceAnswer, RebalanceRequest, Removed,
};
use hyper::{Method, StatusCode};
use serde::Serialize;

use crate::attempt::Call;
use crate::client::parse;
use crate::encode::{Query, path};
use crate::{Client, ClientError};

/// What creating partitions came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Whether this call created them; false when they existed.
    pub created: bool,
    /// The partitions.
    pub partitions: PartitionList,
}

/// Every method fails with [`ClientError`]; whether the change may have taken effect all the
/// same is told by [`ClientError::is_outcome_unknown`].
impl Client {
    /// Creates the partitions; when they exist, changes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_partitions(&self) -> Result<Created, ClientError> {
        self.create(Call::new(Method::POST, "/v1/partitions")).await
    }

    /// Creates the partitions where they are elsewhere already: the first table is `table`. When it
    /// is the present one, changes nothing.
    ///
    /// # Errors
    /// [`ClientError`]; the problem `partitions-exist` when there are others.
    pub async fn create_partitions_as(&self, table: GivenTable) -> Result<Created, ClientError> {
        let body = CreateRequest { table: Some(table) };
        self.create(json(Method::POST, "/v1/partitions", &body)?)
            .await
    }

    async fn create(&self, call: Call) -> Result<Created, ClientError> {
        let answer = self.send(call).await?;
        let created = answer.status == StatusCode::CREATED;
        Ok(Created {
            created,
            partitions: parse(&answer)?,
        })
    }

    /// Everything the cluster has agreed on, as the bytes of a backup.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backup(&self) -> Result<Bytes, ClientError> {
        let answer = self.send(Call::new(Method::POST, "/v1/backup")).await?;
        Ok(answer.body)
    }

    /// Plans over the nodes of now and begins the plan, or only plans.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rebalance(&self, dry_run: bool) -> Result<RebalanceAnswer, ClientError> {
        self.ask(json(
            Method::POST,
            "/v1/rebalance",
            &RebalanceRequest { dry_run },
        )?)
        .await
    }

    /// Admits a node, which is reached first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinAnswer, ClientError> {
        self.ask(json(Method::POST, "/v1/join", request)?).await
    }

    /// Takes a node out of the cluster for good.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_node(&self, id: &str) -> Result<Removed, ClientError> {
        self.ask(Call::new(Method::DELETE, path("/v1/nodes/", id, "")))
            .await
    }

    /// Changes what is known of a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_node(
        &self,
        id: &str,
        patch: &NodePatch,
    ) -> Result<NodeAnswer, ClientError> {
        self.ask(json(Method::PATCH, path("/v1/nodes/", id, ""), patch)?)
            .await
    }

    /// Changes the cluster's configuration.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn configure(&self, patch: &ConfigPatch) -> Result<ConfigAnswer, ClientError> {
        self.ask(json(Method::PATCH, "/v1/config", patch)?).await
    }

    /// Writes a replicated value; with `expected` only if that is its version, 0 meaning that it
    /// does not exist yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_custom(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<u64>,
    ) -> Result<CustomStored, ClientError> {
        let target = Query::default().with_some("expected", expected);
        let mut call = Call::new(Method::PUT, target.on(&path("/v1/custom/", key, "")));
        call.body = Some((value, "application/octet-stream"));
        self.ask(call).await
    }

    /// Deletes a replicated value; with `expected` only if that is its version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_custom(
        &self,
        key: &str,
        expected: Option<u64>,
    ) -> Result<CustomDeleted, ClientError> {
        let target = Query::default().with_some("expected", expected);
        self.ask(Call::new(
            Method::DELETE,
            target.on(&path("/v1/custom/", key, "")),
        ))
        .await
    }
}

pub(crate) fn json(
    method: Method,
    target: impl Into<String>,
    body: &impl Serialize,
) -> Result<Call, ClientError> {
    let body = serde_json::to_vec(body).map_err(|error| ClientError::Request {
        reason: error.to_string(),
    })?;
    let mut call = Call::new(method, target);
    call.body = Some((body.into(), "application/json"));
    Ok(call)
}
