//! What this node does when its roles change.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ck_http::Problem;
use ck_node::{
    BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError, PartitionId,
};

use crate::file::{FileError, Refused, remove};
use crate::line::{Part, Role};
use crate::serving::{born_key, capture};
use crate::store::{Store, uncut};

/// The handler of one node.
#[derive(Clone)]
pub(crate) struct Roles(pub(crate) Arc<Store>);

/// Why a role is not taken on, or not given up, for now.
#[derive(Debug, thiserror::Error)]
enum RoleError {
    #[error(
        "{partition} was written to, and its file {file} is not here; put it back, or delete the \
         custom value {key} to begin with an empty one"
    )]
    FileMissing {
        partition: PartitionId,
        file: String,
        key: String,
    },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}")]
    Problem(Box<Problem>),
    #[error("{partition} was not free in time to be given up")]
    Late { partition: PartitionId },
}

impl From<Box<Problem>> for RoleError {
    fn from(problem: Box<Problem>) -> Self {
        Self::Problem(problem)
    }
}

impl Store {
    async fn serve(self: Arc<Self>, token: FencingToken) -> Result<(), RoleError> {
        let part = self.part(token.partition);
        let mut line = Arc::clone(&part.line).lock_owned().await;
        if matches!(line.role, Role::Primary(mine) if mine == token) {
            // The lease had lapsed; nothing has changed hands.
            return Ok(());
        }
        // Whatever was fed under an earlier grant has to ask anew.
        line.role = Role::Idle;
        line.targets.clear();
        line.drop_snapshot();
        line.trim();
        let id = token.partition;
        let key = born_key(id);
        let born = self.node()?.custom(&key).is_some();
        let capture = capture(&line);
        let raised = self
            .blocking(move |store| {
                let path = store.path(id);
                let file = if path.exists() {
                    store.file(id)?
                } else if born {
                    let file = path.display().to_string();
                    let partition = id;
                    return Err(RoleError::FileMissing {
                        partition,
                        file,
                        key,
                    });
                } else {
                    store.create(id)?
                };
                let (mark, _) = file.raise(token, capture)?;
                Ok((mark, file.schema_version()?))
            })
            .await;
        let (mark, schema) = raised?;
        line.mark = mark;
        line.born = born;
        line.misfit = None;
        line.role = Role::Primary(token);
        part.schema.store(schema, Ordering::Release);
        // Nobody else counts from now on: they have everything up to here, or are no copies any more.
        // The one who gave the role up is among them.
        let settled = self.settle(&part, &mut line, token).await;
        if settled.is_err() {
            line.role = Role::Idle;
        }
        Ok(settled?)
    }

    async fn give_up(self: Arc<Self>, part: Arc<Part>) -> Result<(), RoleError> {
        let mut line = Arc::clone(&part.line).lock_owned().await;
        // Nothing is admitted any more; what was is settled, so that the next primary has it.
        if let Role::Primary(token) = line.role {
            self.settle(&part, &mut line, token).await?;
            line.role = Role::Idle;
        }
        Ok(())
    }

    async fn drop_copy(self: Arc<Self>, id: PartitionId) -> Result<(), FileError> {
        let part = self.part(id);
        let mut line = Arc::clone(&part.line).lock_owned().await;
        line.role = Role::Idle;
        line.targets.clear();
        line.drop_snapshot();
        line.trim();
        self.blocking(move |store| {
            store.let_go(id);
            remove(&store.incoming(id))?;
            remove(&store.path(id))
        })
        .await
    }
}

impl Handler for Roles {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move { self.0.copy_in(context, &copying).await })
    }

    fn catch_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move { self.0.keep_up_with(context, &copying).await })
    }

    fn become_primary<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let served = uncut(Arc::clone(&self.0).serve(token)).await;
            Ok(served.map_err(RoleError::from)??)
        })
    }

    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
        deadline: std::time::Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let given_up = uncut(Arc::clone(&self.0).give_up(self.0.part(partition)));
            let left = deadline.saturating_sub(context.now());
            let given_up = tokio::time::timeout(left, given_up)
                .await
                .map_err(|_| RoleError::Late { partition })?;
            Ok(given_up.map_err(RoleError::from)??)
        })
    }

    fn clean_up<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let dropped = uncut(Arc::clone(&self.0).drop_copy(partition)).await;
            Ok(dropped.map_err(RoleError::from)??)
        })
    }
}
