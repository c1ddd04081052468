//! The statements that read lanes, and what has changed.

mod statistics;

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection, PgExecutor};

use self::statistics::{
    add_percentiles, compute_interval_percentiles, compute_percentiles, count_suppliers, stored_statistics,
    suppliers_of,
};
use super::{
    day::Day,
    lane::{IntervalPercentiles, LaneRange},
    month::Month,
};
use crate::{
    places::{Pair, PlaceId},
    privacy::Privacy,
};

/// A state of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataVersion {
    /// Increases with every change of prices or places.
    pub(crate) version: i64,
    /// The version at which ports or regions last changed.
    pub(crate) places_version: i64,
}

/// The days of a range that have prices, and the state of the data they were read from.
#[derive(Debug, Clone)]
pub(crate) struct LaneDays {
    pub(crate) version: DataVersion,
    /// Newest first.
    pub(crate) days: Vec<Day>,
    /// How many suppliers stand behind each day, if days are hidden; none where it is not known yet.
    suppliers: Vec<Option<u8>>,
    /// Of the intervals that are wanted.
    pub(crate) interval_percentiles: Option<IntervalPercentiles>,
}

impl LaneDays {
    /// The days with a mean but without percentiles.
    fn without_percentiles(&self) -> impl Iterator<Item = &Day> {
        self.days.iter().filter(|day| day.has_enough_prices() && day.percentiles.is_none())
    }

    /// The days whose number of suppliers is needed and not known.
    fn without_suppliers(&self) -> impl Iterator<Item = &Day> {
        self.days.iter().zip(&self.suppliers).filter(|(_, suppliers)| suppliers.is_none()).map(|(day, _)| day)
    }

    /// Whether the days of this range have all that is wanted of them.
    pub(crate) fn is_full(&self, range: &LaneRange) -> bool {
        self.without_suppliers().next().is_none()
            && (!range.with_percentiles || self.without_percentiles().next().is_none())
    }

    /// Removes the days with prices of fewer suppliers than configured, so that no answer can be made from them.
    pub(crate) fn hide_days(&mut self, privacy: Privacy) {
        if privacy.hides_days() {
            let days = std::mem::take(&mut self.days).into_iter().zip(std::mem::take(&mut self.suppliers));
            let shown = days.filter(|(_, suppliers)| *suppliers >= Some(privacy.min_suppliers));
            (self.days, self.suppliers) = shown.unzip();
        }
    }
}

/// What has changed since a version.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The state of the data now.
    pub(crate) now: DataVersion,
    /// The clock of the database in microseconds, which versions follow.
    pub(crate) clock: i64,
    /// Each month of a pair of ports in which prices have changed; none if not all are known.
    pub(crate) months: Option<Vec<(Pair, Month)>>,
}

/// Reads the newest state of the data.
pub(crate) async fn current_version(executor: impl PgExecutor<'_>) -> Result<DataVersion, sqlx::Error> {
    sqlx::query_as!(DataVersion, "select version, places_version from data_version").fetch_one(executor).await
}

/// Reads what has changed since this version, if that is at most `limit` months of pairs of ports.
pub(crate) async fn changes_since(
    executor: impl PgExecutor<'_>,
    version: i64,
    limit: usize,
) -> Result<Changes, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select v.version, v.places_version, v.log_since,
               (extract(epoch from clock_timestamp()) * 1000000)::bigint as "clock!",
               c.origin as "origin?", c.destination as "destination?", c.month as "month?"
        from data_version v
        left join lateral (
            select origin, destination, month from changed_months where changed_months.version > $1 limit $2
        ) c on true
        "#,
        version,
        i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1,
    )
    .fetch_all(executor)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let now = DataVersion { version: first.version, places_version: first.places_version };
    let all_are_known = first.log_since <= version && rows.len() <= limit;
    let clock = first.clock;
    let months = rows.into_iter().filter_map(|row| {
        let pair = (PlaceId(row.origin?), PlaceId(row.destination?));
        Some((pair, Month::of(row.month?)))
    });
    Ok(Changes { now, clock, months: all_are_known.then(|| months.collect()) })
}

/// The bytes per day in [`read_lanes`], as PostgreSQL sends them: day since 1970-01-01 and count in four each, sum in
/// eight.
const DAY_BYTES: usize = 16;

fn day_of_bytes(bytes: &[u8; DAY_BYTES]) -> Day {
    let [d0, d1, d2, d3, c0, c1, c2, c3, sum @ ..] = *bytes;
    Day {
        day: NaiveDate::from_epoch_days(i32::from_be_bytes([d0, d1, d2, d3]))
            .expect("a date of the database"),
        sum: i64::from_be_bytes(sum),
        count: i32::from_be_bytes([c0, c1, c2, c3]),
        percentiles: None,
    }
}

/// Reads the days of these ranges, in their order, and of their statistics what is wanted and stored.
pub(crate) async fn read_lanes(
    connection: &mut PgConnection,
    ranges: &[LaneRange],
    privacy: Privacy,
) -> Result<Vec<LaneDays>, sqlx::Error> {
    let mut lanes = read_days(&mut *connection, ranges).await?;
    let needs_more = |range: &LaneRange| range.with_percentiles || privacy.hides_days();
    let needing = ranges.iter().zip(&mut lanes).filter(|(range, _)| needs_more(range));
    let (needing, their_lanes): (Vec<LaneRange>, Vec<&mut LaneDays>) = needing.unzip();
    // A statement of its own: most reads have no use for it, and as a part of the other it would cost them a fifth more.
    if !needing.is_empty() {
        let (version, months) = stored_statistics(connection, &needing).await?;
        for ((range, lane), mut months) in needing.iter().zip(their_lanes).zip(months) {
            // If the data has changed meanwhile, the statistics may be those of other prices.
            if lane.version.version != version {
                months.clear();
            }
            if range.with_percentiles {
                add_percentiles(&mut lane.days, &months);
            }
            if privacy.hides_days() {
                lane.suppliers = suppliers_of(&lane.days, &months);
            }
        }
    }
    Ok(lanes)
}

/// Each range is one scan of the primary key of `daily_rates`: at most one row per day, whatever the places are. It is one
/// statement, so that the version is of the same snapshot. All days of a lane are one value, because a row or an array
/// element per day costs both sides more.
async fn read_days(
    executor: impl PgExecutor<'_>,
    ranges: &[LaneRange],
) -> Result<Vec<LaneDays>, sqlx::Error> {
    let (origins, destinations) = ends(ranges.iter().map(|range| range.pair));
    let (first_days, last_days) = first_and_last_days(ranges);
    let rows = sqlx::query!(
        r#"
        select v.version, v.places_version, lane.days as "days!"
        from data_version v
        cross join unnest($1::integer[], $2::integer[], $3::date[], $4::date[])
            with ordinality ranges (origin, destination, first_day, last_day, position)
        cross join lateral (
            select coalesce(
                string_agg(
                    int8send((day - date '1970-01-01')::bigint << 32 | price_count) || int8send(price_sum), ''
                ), ''
            ) as days
            from (
                select day, price_sum, price_count
                from daily_rates
                where origin = ranges.origin and destination = ranges.destination
                  and day between ranges.first_day and ranges.last_day
                order by day desc
            ) newest_first
        ) lane
        order by ranges.position
        "#,
        &origins,
        &destinations,
        &first_days,
        &last_days,
    )
    .fetch_all(executor)
    .await?;
    let lanes = rows.into_iter().map(|row| LaneDays {
        version: DataVersion { version: row.version, places_version: row.places_version },
        days: row.days.as_chunks().0.iter().map(day_of_bytes).collect(),
        suppliers: Vec::new(),
        interval_percentiles: None,
    });
    Ok(lanes.collect())
}

/// The ids of the first places of these pairs, and those of the second.
fn ends(pairs: impl IntoIterator<Item = Pair>) -> (Vec<i32>, Vec<i32>) {
    pairs.into_iter().map(|(origin, destination)| (origin.0, destination.0)).unzip()
}

fn first_and_last_days(ranges: &[LaneRange]) -> (Vec<NaiveDate>, Vec<NaiveDate>) {
    ranges.iter().map(|range| (range.from, range.to)).unzip()
}

/// Reads these ranges, computing the statistics that are not stored from the prices of their months.
///
/// Planned for each request, because a generic plan is far slower between continents. Without parallel workers, which would
/// take more processors from cheap reads than the limit of expensive reads allows.
pub(crate) async fn read_prices(
    connection: &mut PgConnection,
    ranges: &[LaneRange],
    privacy: Privacy,
) -> Result<Vec<LaneDays>, sqlx::Error> {
    let begin =
        "begin isolation level repeatable read read only; set local plan_cache_mode = force_custom_plan;
                 set local max_parallel_workers_per_gather = 0";
    let mut transaction = connection.begin_with(begin).await?;
    let whole_months: Vec<LaneRange> = ranges.iter().map(|range| range.whole_months()).collect();
    let mut lanes = read_lanes(&mut transaction, &whole_months, privacy).await?;
    for (lane, range) in lanes.iter_mut().zip(ranges) {
        if lane.without_suppliers().next().is_some() {
            count_suppliers(&mut transaction, range.pair, lane).await?;
        }
        if range.with_percentiles && lane.without_percentiles().next().is_some() {
            compute_percentiles(&mut transaction, range.pair, lane).await?;
        }
        if let Some(interval) = range.percentile_interval {
            compute_interval_percentiles(&mut transaction, range, interval, lane, privacy).await?;
        }
    }
    transaction.commit().await?;
    Ok(lanes)
}

/// Finds the newest day of each of these pairs of places up to `today`, in their order: with a mean, or with prices if none
/// has a mean. Most take a few steps in a backward scan of the primary key.
pub(crate) async fn newest_days(
    executor: impl PgExecutor<'_>,
    pairs: &[Pair],
    today: NaiveDate,
    min_count: i64,
) -> Result<Vec<Option<NaiveDate>>, sqlx::Error> {
    let (origins, destinations) = ends(pairs.iter().copied());
    sqlx::query_scalar!(
        r#"
        select coalesce(
            (
                select r.day from daily_rates r
                where r.origin = pair.origin and r.destination = pair.destination and r.day <= $3 and r.price_count >= $4::bigint
                order by r.day desc
                limit 1
            ),
            (
                select r.day from daily_rates r
                where r.origin = pair.origin and r.destination = pair.destination and r.day <= $3
                order by r.day desc
                limit 1
            )
        )
        from unnest($1::integer[], $2::integer[]) with ordinality pair (origin, destination, position)
        order by pair.position
        "#,
        &origins,
        &destinations,
        today,
        min_count,
    )
    .fetch_all(executor)
    .await
}

/// The first day of each of these pairs of places, and the newest up to `today`, of those that are not hidden: as
/// `lane_summaries` has them, since the rollup does not tell which are hidden.
pub(crate) async fn summarized_days(
    executor: impl PgExecutor<'_>,
    pairs: &[Pair],
    today: NaiveDate,
) -> Result<Vec<(Option<NaiveDate>, Option<NaiveDate>)>, sqlx::Error> {
    let (origins, destinations) = ends(pairs.iter().copied());
    let rows = sqlx::query!(
        r#"
        select s.first_day as "first_day?", coalesce(s.latest_day, least(s.last_day, $3)) as newest
        from unnest($1::integer[], $2::integer[]) with ordinality pair (origin, destination, position)
        left join lane_summaries s on s.origin = pair.origin and s.destination = pair.destination
        order by pair.position
        "#,
        &origins,
        &destinations,
        today,
    )
    .fetch_all(executor)
    .await?;
    // Of no summary, least() leaves today.
    Ok(rows.into_iter().map(|row| (row.first_day, row.newest.filter(|_| row.first_day.is_some()))).collect())
}

/// Finds the first day with prices of any of these pairs of places, by a step in a scan of the primary key for each.
pub(crate) async fn first_day(
    executor: impl PgExecutor<'_>,
    pairs: &[Pair],
) -> Result<Option<NaiveDate>, sqlx::Error> {
    let (origins, destinations) = ends(pairs.iter().copied());
    sqlx::query_scalar!(
        r#"
        select min(first.day)
        from unnest($1::integer[], $2::integer[]) pair (origin, destination)
        cross join lateral (
            select r.day from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination
            order by r.day
            limit 1
        ) first
        "#,
        &origins,
        &destinations,
    )
    .fetch_one(executor)
    .await
}
