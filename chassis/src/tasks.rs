//! Background tasks.

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use crate::{Exit, Failure};

/// Running tasks.
pub(crate) struct Tasks(JoinSet<&'static str>);

impl Tasks {
    pub(crate) fn spawn(tasks: Vec<(&'static str, BoxFuture<'static, ()>)>) -> Self {
        let mut set = JoinSet::new();
        for (name, task) in tasks {
            set.spawn(async move {
                task.await;
                name
            });
        }
        Self(set)
    }

    /// Waits until one ends by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> Failure {
        match self.0.join_next().await {
            None => std::future::pending().await,
            Some(Ok(name)) => Failure::new(Exit::Failure, format!("the task {name:?} ended by itself")),
            Some(Err(died)) => Failure::new(Exit::Failure, format!("a task died: {died}")),
        }
    }

    /// How many have not ended.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Waits until all have ended.
    pub(crate) async fn finish(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}
