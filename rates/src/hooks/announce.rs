//! Puts messages into the queue.

use chassis::Stop;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::Duration;

use super::{Event, Message, sql};
use crate::{
    app::App,
    background::repeat,
    batches::sql::{Batch, BatchState},
    http::batches::BatchBody,
};

impl App {
    /// Puts a message for each hook about a batch that has just ended, in the transaction that ends it.
    pub(crate) async fn announce_end(
        &self,
        transaction: &mut PgConnection,
        batch: &Batch,
    ) -> Result<(), sqlx::Error> {
        let event = if batch.state == BatchState::Failed { Event::BatchFailed } else { Event::BatchDone };
        let hooks = sql::for_batch_event(&mut *transaction, event, &batch.supplier).await?;
        if hooks.is_empty() {
            return Ok(());
        }
        let data = json!(BatchBody::from(batch.clone()));
        for hook in hooks {
            let message = Message::new(hook, event.name(), &data);
            self.hook_queue.put(&mut *transaction, &message.payload()).await?;
        }
        Ok(())
    }

    /// Announces changes of the data until a stop begins.
    pub(crate) async fn announce_changes(self, stop: Stop) {
        let least = Duration::from_secs(1);
        repeat(stop, "announce changes to hooks", least, async || self.announce_change().await).await;
    }

    /// Puts a message for each hook that has not been sent the present version of the data; false if there is none.
    ///
    /// Compares versions, so changes made while no worker runs are announced later.
    pub async fn announce_change(&self) -> Result<bool, sqlx::Error> {
        let pool = &self.database.batches;
        if !pool.retry(|| sql::any_is_behind(pool)).await? {
            return Ok(false);
        }
        let mut connection = pool.acquire().await?;
        connection
            .limited(async |connection| {
                let mut transaction = connection.begin().await?;
                let changes =
                    sql::mark_version_sent(&mut transaction, self.hook_settings.data_changed_seconds).await?;
                for change in &changes {
                    let data = json!({ "version": change.version });
                    let message = Message::new(change.hook, Event::DataChanged.name(), &data);
                    self.hook_queue.put(&mut *transaction, &message.payload()).await?;
                }
                transaction.commit().await?;
                Ok(!changes.is_empty())
            })
            .await
    }
}
