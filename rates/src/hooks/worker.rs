//! Delivers the messages that are queued.

use std::{sync::Arc, time::Duration};

use chassis::worker::{AttemptError, GivenUp, Handler, Job, Workers};
use sqlx::PgConnection;

use super::{Message, Sender, sender::SendError, sql};
use crate::app::App;

/// The longest pause before a message is sent again.
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

impl App {
    /// Workers for the messages that are queued.
    #[must_use]
    pub fn hook_workers(&self) -> Workers<HookHandler> {
        Workers {
            queue: self.hook_queue.clone(),
            connections: self.database.hooks.clone(),
            limit: self.database.hooks.limit(),
            handler: Arc::new(HookHandler { sender: Sender::new(&self.hook_settings) }),
            max_attempts: self.hook_settings.max_attempts,
        }
    }
}

/// Delivers one message after another.
pub struct HookHandler {
    sender: Sender,
}

impl Handler for HookHandler {
    /// Whether the message was delivered.
    type Done = bool;

    async fn handle(&self, job: &Job, transaction: &mut PgConnection) -> Result<bool, AttemptError> {
        let message = Message::of(job)?;
        // Removed or disabled since.
        let Some(hook) = sql::find_receiver(&mut *transaction, message.hook).await? else {
            return Ok(false);
        };
        match self.sender.send(&hook.url, &hook.secret(), &message).await {
            Ok(()) => {
                sql::delivered(transaction, message.hook).await?;
                Ok(true)
            }
            Err(error @ SendError::Gone) => {
                sql::disable(transaction, message.hook, &error.to_string()).await?;
                tracing::warn!(hook = message.hook, reason = %error, "hook disabled");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn committed(&self, job: &Job, is_delivered: bool) {
        if let Ok(Message { hook, id, event, .. }) = Message::of(job)
            && is_delivered
        {
            tracing::info!(hook, webhook_id = id, event, attempts = job.attempts, "message delivered");
        }
    }

    fn pause(&self, attempts: i32) -> Duration {
        let exponent = u32::try_from(attempts).unwrap_or(0).min(15);
        Duration::from_secs(1 << exponent).min(LONGEST_PAUSE)
    }

    /// Drops the message, and disables the hook unless others have been delivered since.
    async fn give_up(
        &self,
        job: &Job,
        transaction: &mut PgConnection,
        reason: &str,
    ) -> Result<GivenUp, AttemptError> {
        let hook = Message::of(job)?.hook;
        if let Some(cause) = sql::failure_without_delivery_since(&mut *transaction, job.id, hook).await? {
            let reason = format!("a message was {reason}: {cause}");
            sql::disable(transaction, hook, &reason).await?;
            tracing::warn!(hook, reason, "hook disabled");
        }
        Ok(GivenUp::Remove)
    }
}
