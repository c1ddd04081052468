//! The summaries in memory.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chassis::postgres::Pool;
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;

use super::{
    Summary,
    sql::{self, State},
};
use crate::privacy::Privacy;

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
    /// With the time at which it was last known to be the newest.
    newest: Mutex<Option<(Arc<LaneList>, Instant)>>,
    /// Lets one task read; the others wait for its result.
    read_turn: tokio::sync::Mutex<()>,
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
    pub(crate) fn new(privacy: Privacy) -> Self {
        Self { privacy, newest: Mutex::default(), read_turn: tokio::sync::Mutex::default() }
    }

    /// The newest list, and for how long it may have been outdated if the database is unreachable.
    pub(crate) async fn get(&self, pool: &Pool) -> Result<(Arc<LaneList>, Option<Duration>), sqlx::Error> {
        if let Some(list) = self.fresh() {
            return Ok((list, None));
        }
        let _turn = self.read_turn.lock().await;
        if let Some(list) = self.fresh() {
            return Ok((list, None));
        }
        let known = self.newest();
        let state = known.as_ref().map(|(list, _)| list.state);
        let begun = Instant::now();
        let read = pool.retry(async || {
            let mut connection = pool.acquire().await?;
            connection.limited(async |connection| self.read_newer(connection, state).await).await
        });
        let list = match (read.await, known) {
            (Ok(Some(newer)), _) => Arc::new(newer),
            (Ok(None), Some((list, _))) => list,
            (Err(error), Some((list, since))) if chassis::postgres::is_outage(&error) => {
                return Ok((list, Some(since.elapsed())));
            }
            (Err(error), _) => return Err(error),
            (Ok(None), None) => return Err(sqlx::Error::RowNotFound),
        };
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&list), begun));
        Ok((list, None))
    }

    fn newest(&self) -> Option<(Arc<LaneList>, Instant)> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self) -> Option<Arc<LaneList>> {
        self.newest().filter(|(_, since)| since.elapsed() < FRESH).map(|(list, _)| list)
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
            summary.prices = self.privacy.count(summary.prices);
        }
        Ok(Some(LaneList::new(state, summaries)))
    }
}
