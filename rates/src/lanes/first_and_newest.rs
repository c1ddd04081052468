//! The first and the newest day of lanes, which pages begin with.

use chassis::Problem;
use chrono::{NaiveDate, Utc};

use super::{Lanes, query::QueryLimits, sql};
use crate::places::Pair;

impl Lanes {
    /// The first day with prices of any of these pairs.
    pub(crate) async fn first_day(&self, pairs: &[Pair]) -> Result<Option<NaiveDate>, Problem> {
        let read = self.primary.retry(async || {
            if self.limits.privacy.hides_days() {
                let days = sql::summarized_days(&self.primary, pairs, NaiveDate::MAX).await?;
                return Ok(days.into_iter().filter_map(|(first, _)| first).min());
            }
            sql::first_day(&self.primary, pairs).await
        });
        read.await.map_err(|error| self.health.problem(error))
    }

    /// The newest day of each of these pairs that is not in the future: with a mean, or with prices if none has a mean.
    pub(crate) async fn newest_days(&self, pairs: &[Pair]) -> Result<Vec<Option<NaiveDate>>, Problem> {
        let today = Utc::now().date_naive();
        let known: Option<Vec<_>> = pairs.iter().map(|pair| self.newest_days.get(&(*pair, today))).collect();
        let QueryLimits { min_count, privacy, .. } = self.limits;
        // Days from `lane_summaries` are not kept: summaries are updated after the version changes.
        let version = self.freshness.current().filter(|_| !privacy.hides_days());
        let day = |(_, day): &(i64, Option<NaiveDate>)| *day;
        if let Some(known) = &known
            && known.iter().all(|(read_at, _)| Some(*read_at) == version)
        {
            return Ok(known.iter().map(day).collect());
        }
        let read = self.primary.retry(async || {
            if privacy.hides_days() {
                let days = sql::summarized_days(&self.primary, pairs, today).await?;
                return Ok(days.into_iter().map(|(_, newest)| newest).collect());
            }
            sql::newest_days(&self.primary, pairs, today, privacy.least_count(min_count)).await
        });
        match (read.await, known) {
            (Ok(days), _) => {
                for (pair, day) in pairs.iter().zip(&days) {
                    self.newest_days.insert((*pair, today), (version.unwrap_or(0), *day));
                }
                Ok(days)
            }
            // They only choose the days that a page begins with, so old ones will do.
            (Err(error), Some(known)) if chassis::postgres::is_outage(&error) => {
                Ok(known.iter().map(day).collect())
            }
            (Err(error), _) => Err(self.health.problem(error)),
        }
    }
}
