//! The summaries in memory.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chassis::postgres::{Pool, is_outage};
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;

use super::{
    Summary,
    sql::{self, State},
};
use crate::{
    lanes::{
        freshness::{Freshness, Listening},
        store::Source,
    },
    privacy::Privacy,
};

/// How long a list is used before the database is asked whether there is a newer one.
const FRESH: Duration = Duration::from_secs(1);

/// What lanes are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Sort {
    /// The number of prices, the default.
    Prices,
    /// The number of days with prices.
    PricedDays,
    /// The number of days with a mean.
    MeanDays,
    /// The newest day with prices.
    LastDay,
    /// The latest mean.
    LatestPrice,
    /// The change over 7 days.
    #[schema(rename = "change_7")]
    Change7,
    /// The change over 30 days.
    #[schema(rename = "change_30")]
    Change30,
    /// The change over 365 days.
    #[schema(rename = "change_365")]
    Change365,
}

/// All summaries of one state, and their order by everything that lanes are sorted by.
#[derive(Debug)]
pub struct LaneList {
    pub(crate) state: State,
    summaries: Vec<Summary>,
    /// By [`Sort`]: the positions of summaries that have a value, the least first, and of those that have none.
    orders: [(Vec<usize>, Vec<usize>); Sort::ALL.len()],
}

/// Keeps the newest list.
#[derive(Debug)]
pub struct LaneLists {
    privacy: Privacy,
    /// How long a stale list may be given while the database is unreachable or overloaded.
    stale: Duration,
    freshness: Arc<Freshness>,
    known: Mutex<Option<KnownList>>,
    /// Lets one task read; the others wait for its result.
    read_turn: tokio::sync::Mutex<()>,
}

/// A list and how new it is.
#[derive(Debug, Clone)]
struct KnownList {
    list: Arc<LaneList>,
    /// When it was last known to be the newest.
    current_at: Instant,
    /// When the database was last asked for a newer one, or has failed to answer that.
    asked_at: Instant,
}

impl Sort {
    pub(crate) const ALL: [Self; 8] = [
        Self::Prices,
        Self::PricedDays,
        Self::MeanDays,
        Self::LastDay,
        Self::LatestPrice,
        Self::Change7,
        Self::Change30,
        Self::Change365,
    ];

    /// The value of the lane, if it has one.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub(crate) fn value(self, summary: &Summary) -> Option<f64> {
        match self {
            Self::Prices => Some(summary.prices as f64),
            Self::PricedDays => Some(summary.priced_days.into()),
            Self::MeanDays => Some(summary.mean_days.into()),
            Self::LastDay => Some(summary.last_day.to_epoch_days().into()),
            Self::LatestPrice => summary.latest_mean,
            Self::Change7 => summary.change_7,
            Self::Change30 => summary.change_30,
            Self::Change365 => summary.change_365,
        }
    }
}

impl LaneList {
    fn new(state: State, summaries: Vec<Summary>) -> Self {
        let order = |sort: Sort| {
            let value = |position: &usize| sort.value(&summaries[*position]);
            let (mut with, without): (Vec<usize>, Vec<usize>) =
                (0..summaries.len()).partition(|position| value(position).is_some());
            // A stable sort: equals stay in the order of their places.
            with.sort_by(|a, b| value(a).unwrap_or_default().total_cmp(&value(b).unwrap_or_default()));
            (with, without)
        };
        Self { state, orders: Sort::ALL.map(order), summaries }
    }

    /// All summaries, by their places.
    pub(crate) fn all(&self) -> &[Summary] {
        &self.summaries
    }

    /// All summaries in this order; those without a value are last.
    pub(crate) fn sorted(&self, sort: Sort, is_ascending: bool) -> impl Iterator<Item = &Summary> {
        let (with, without) = &self.orders[sort as usize];
        let ascending = is_ascending.then(|| with.iter());
        let descending = (!is_ascending).then(|| with.iter().rev());
        let positions =
            ascending.into_iter().flatten().chain(descending.into_iter().flatten()).chain(without);
        positions.map(|position| &self.summaries[*position])
    }
}

impl LaneLists {
    pub(crate) fn new(privacy: Privacy, stale_seconds: f64, freshness: Arc<Freshness>) -> Self {
        Self {
            privacy,
            stale: Duration::from_secs_f64(stale_seconds),
            freshness,
            known: Mutex::default(),
            read_turn: tokio::sync::Mutex::default(),
        }
    }

    /// The newest list, or a stale one if the database is unreachable or overloaded.
    pub(crate) async fn get(&self, pool: &Pool) -> Result<(Arc<LaneList>, Source), sqlx::Error> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let _turn = self.read_turn.lock().await;
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let known = self.known().clone();
        let state = known.as_ref().map(|known| known.list.state);
        let begun = Instant::now();
        let read = pool.retry(async || {
            let mut connection = pool.acquire().await?;
            connection.limited(async |connection| self.read_newer(connection, state).await).await
        });
        let list = match (read.await, known) {
            (Ok(Some(newer)), _) => Arc::new(newer),
            (Ok(None), Some(known)) => known.list,
            (Err(error), Some(mut known)) if is_outage(&error) => {
                // Those who wait for their turn must not wait for the database, too.
                known.asked_at = Instant::now();
                let answer = known.answer(self.stale);
                *self.known() = Some(known);
                return answer.ok_or(error);
            }
            (Err(error), _) => return Err(error),
            (Ok(None), None) => return Err(sqlx::Error::RowNotFound),
        };
        *self.known() = Some(KnownList { list: Arc::clone(&list), current_at: begun, asked_at: begun });
        Ok((list, Source::Hit))
    }

    /// The known list, if the database was asked just now, or cannot be asked.
    fn find(&self) -> Option<(Arc<LaneList>, Source)> {
        let is_away = self.freshness.listening() == Listening::Away;
        let known = self.known().clone().filter(|known| is_away || known.asked_at.elapsed() < FRESH)?;
        known.answer(self.stale)
    }

    fn known(&self) -> MutexGuard<'_, Option<KnownList>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list, unless it is of this state.
    async fn read_newer(
        &self,
        connection: &mut PgConnection,
        known: Option<State>,
    ) -> Result<Option<LaneList>, sqlx::Error> {
        let mut transaction =
            connection.begin_with("begin isolation level repeatable read read only").await?;
        let state = sql::state(&mut *transaction).await?;
        if known == Some(state) {
            return Ok(None);
        }
        let mut summaries = sql::read_all(&mut *transaction).await?;
        transaction.commit().await?;
        // Here, so that lanes are not sorted by more than they show.
        for summary in &mut summaries {
            summary.prices = self.privacy.round_count(summary.prices);
        }
        Ok(Some(LaneList::new(state, summaries)))
    }
}

impl KnownList {
    /// The list and whether it is stale; none if it has been so for too long.
    fn answer(&self, longest: Duration) -> Option<(Arc<LaneList>, Source)> {
        let age = self.current_at.elapsed();
        let source = if age < FRESH { Source::Hit } else { Source::Stale { seconds: age.as_secs() } };
        (source == Source::Hit || age < longest).then(|| (Arc::clone(&self.list), source))
    }
}
