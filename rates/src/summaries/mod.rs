//! Summaries of lanes: which have prices, since when, and how their means have changed.
//!
//! A worker keeps them in `lane_summaries`, from the rollup, a second or so after a change; instances keep the table in
//! memory (`list.rs`). So `GET /lanes` scans nothing, and writers of prices do nothing for it.

mod find;
mod list;
mod sql;

use std::{sync::Arc, time::Duration};

use chassis::{Problem, Stop};
use chrono::{NaiveDate, Utc};
use sqlx::{Connection, PgConnection};

pub(crate) use self::find::LaneFilter;
use self::sql::State;
pub use self::{
    find::Kind,
    list::{LaneList, LaneLists, Sort},
};
use crate::{app::App, background::repeat, lanes::store::Source, privacy::Privacy};

/// Changes that come within this time are summarized together.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// What `/lanes` shows of the lane between two places, from its days that are not hidden.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub(crate) origin: i32,
    pub(crate) destination: i32,
    pub(crate) first_day: NaiveDate,
    pub(crate) last_day: NaiveDate,
    pub(crate) priced_days: i32,
    /// Days with enough prices for a mean.
    pub(crate) mean_days: i32,
    pub(crate) prices: i64,
    /// The newest day with a mean that is not in the future.
    pub(crate) latest_day: Option<NaiveDate>,
    pub(crate) latest_mean: Option<f64>,
    /// The change from the newest mean that is at least 7 and at most 14 days older; 0.1 is a tenth more.
    pub(crate) change_7: Option<f64>,
    /// The same for 30 to 60 days.
    pub(crate) change_30: Option<f64>,
    /// The same for 365 to 730 days.
    pub(crate) change_365: Option<f64>,
}

impl App {
    /// The lanes that have prices. The list is stale only while the database is unreachable or overloaded.
    pub(crate) async fn lane_list(&self) -> Result<(Arc<LaneList>, Source), Problem> {
        let list = self.summaries.get(&self.database.primary).await;
        let (list, source) = list.map_err(|error| self.database.health.problem(error))?;
        if !list.state.suits(self.api_settings.privacy()) {
            let detail = "The list of lanes is computed anew, because a setting has changed; try again in some seconds.";
            return Err(Problem::unavailable(detail, 5));
        }
        Ok((list, source))
    }

    /// Keeps the summaries up to date until a stop begins.
    pub(crate) async fn keep_summaries(self, stop: Stop) {
        repeat(stop, "summarize lanes", LEAST_PAUSE, async || self.summarize_once().await).await;
    }

    async fn summarize_once(&self) -> Result<bool, sqlx::Error> {
        let (today, min_count, privacy) =
            (Utc::now().date_naive(), self.api_settings.min_count_in_bands(), self.api_settings.privacy());
        let mut connection = self.database.batches.acquire().await?;
        connection.limited(async |it| summarize(it, today, min_count, privacy).await).await
    }
}

/// Brings the summaries up to date with the data; false if they were, or if it is too early for that.
pub async fn summarize(
    connection: &mut PgConnection,
    today: NaiveDate,
    min_count: i64,
    privacy: Privacy,
) -> Result<bool, sqlx::Error> {
    let begin = "begin isolation level repeatable read; set local max_parallel_workers_per_gather = 0; set local jit = off";
    let mut transaction = connection.begin_with(begin).await?;
    if !sql::try_lock(&mut transaction).await? {
        return Ok(false);
    }
    let done = sql::state(&mut *transaction).await?;
    let (version, since) = sql::versions(&mut *transaction).await?;
    let now = State::new(version, today, min_count, privacy);
    // Which days are hidden is known once the other worker has filled in all statistics.
    if now == done || (privacy.hides_days() && sql::statistics_are_due(&mut *transaction).await?) {
        // Now, and not when the connection is next used: it holds the lock.
        transaction.rollback().await?;
        return Ok(false);
    }
    let only_data_changed = done == State { version: done.version, ..now };
    let pairs = if only_data_changed && done.version >= since {
        let changed = sql::changed_pairs(&mut *transaction, done.version).await?;
        sql::delete(&mut *transaction, &changed).await?;
        changed
    } else {
        sql::delete_all(&mut *transaction).await?;
        sql::all_pairs(&mut *transaction).await?
    };
    sql::insert(&mut *transaction, &pairs, now).await?;
    sql::set_state(&mut *transaction, now).await?;
    transaction.commit().await?;
    tracing::debug!(pairs = pairs.0.len(), version, "summarized lanes");
    Ok(true)
}
