//! The tasks of a process: they stop together, and the first that ends by itself ends the others.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks that live as long as the process.
pub(super) struct Tasks {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: CancellationToken,
}

impl Tasks {
    /// No tasks yet; they are asked to end by `stop`.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop }
    }

    /// Starts a task that is expected to run until it is asked to stop.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Runs until `stop` or the first end of a task, then gives the rest `grace` to finish.
    pub(super) async fn run(mut self, grace: Duration) -> anyhow::Result<()> {
        let first = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            Some(ended) = self.set.join_next() => match ended {
                Ok((name, Ok(()))) if !self.stop.is_cancelled() => {
                    Err(anyhow!("the task `{name}` ended without being asked to"))
                }
                Ok((_, Ok(()))) => Ok(()),
                Ok((name, Err(error))) => Err(error).context(format!("the task `{name}` failed")),
                Err(panic) => Err(anyhow!(panic).context("a task panicked")),
            },
        };
        self.stop.cancel();
        let finish = async { while self.set.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(?grace, "some tasks did not stop in time and are aborted");
            self.set.shutdown().await;
        }
        first
    }
}
