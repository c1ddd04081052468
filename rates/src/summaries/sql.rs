//! The SQL of summaries.

use chrono::NaiveDate;
use sqlx::{PgConnection, PgExecutor};

use super::Summary;
use crate::lanes::query::Fingerprint;

/// What summaries are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The version of the data.
    pub(crate) version: i64,
    /// The last day that is not in the future.
    pub(crate) today: NaiveDate,
    /// How many prices a mean needs.
    pub(crate) min_count: i64,
}

impl State {
    /// Adds what answers are made from.
    pub(crate) fn add_to(self, fingerprint: &mut Fingerprint) {
        let Self { version, today, min_count } = self;
        for number in [version, today.to_epoch_days().into(), min_count] {
            fingerprint.add(number.cast_unsigned());
        }
    }
}

/// Whether no other transaction writes summaries; none begins to until this one ends.
pub(super) async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtextextended('summaries', 0)) as "alone!""#)
        .fetch_one(connection)
        .await
}

/// The state that the summaries are of.
pub(crate) async fn state(executor: impl PgExecutor<'_>) -> Result<State, sqlx::Error> {
    sqlx::query_as!(State, "select version, today, min_count from lane_summaries_state")
        .fetch_one(executor)
        .await
}

/// The version of the data now, and the one from which on every change of prices is known and places are the same.
pub(super) async fn versions(executor: impl PgExecutor<'_>) -> Result<(i64, i64), sqlx::Error> {
    let row =
        sqlx::query!(r#"select version, greatest(log_since, places_version) as "since!" from data_version"#)
            .fetch_one(executor)
            .await?;
    Ok((row.version, row.since))
}

/// The pairs of places whose prices have changed after this version.
pub(super) async fn changed_pairs(
    executor: impl PgExecutor<'_>,
    version: i64,
) -> Result<(Vec<i32>, Vec<i32>), sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select distinct o.place as "origin!", d.place as "destination!"
        from (select distinct origin, destination from changed_months where version > $1) changed
        join port_places o on o.port = changed.origin
        join port_places d on d.port = changed.destination
        "#,
        version
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.origin, row.destination)).unzip())
}

/// All pairs of places with prices.
pub(super) async fn all_pairs(executor: impl PgExecutor<'_>) -> Result<(Vec<i32>, Vec<i32>), sqlx::Error> {
    let rows =
        sqlx::query!("select distinct origin, destination from daily_rates").fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.origin, row.destination)).unzip())
}

/// Deletes all summaries.
pub(super) async fn delete_all(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from lane_summaries").execute(executor).await?;
    Ok(())
}

/// Deletes the summaries of these pairs.
pub(super) async fn delete(
    executor: impl PgExecutor<'_>,
    (origins, destinations): &(Vec<i32>, Vec<i32>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from lane_summaries s using unnest($1::integer[], $2::integer[]) pair (origin, destination)
         where s.origin = pair.origin and s.destination = pair.destination",
        origins,
        destinations,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Computes and inserts the summaries of those of these pairs that have prices.
pub(super) async fn insert(
    executor: impl PgExecutor<'_>,
    (origins, destinations): &(Vec<i32>, Vec<i32>),
    State { today, min_count, .. }: State,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into lane_summaries
        select pair.origin, pair.destination, all_days.first_day, all_days.last_day, all_days.priced_days, all_days.mean_days,
               all_days.prices, latest.day, latest.mean,
               latest.mean / week.mean - 1, latest.mean / month.mean - 1, latest.mean / year.mean - 1
        from unnest($1::integer[], $2::integer[]) pair (origin, destination)
        cross join lateral (
            select min(day) as first_day, max(day) as last_day, count(*) as priced_days,
                   count(*) filter (where price_count >= $4::bigint) as mean_days, sum(price_count) as prices
            from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination
        ) all_days
        left join lateral (
            select day, price_sum::float8 / price_count as mean
            from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination and day <= $3 and price_count >= $4::bigint
            order by day desc
            limit 1
        ) latest on true
        left join lateral (
            select price_sum::float8 / price_count as mean
            from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination and price_count >= $4::bigint
              and day between latest.day - 14 and latest.day - 7
            order by day desc
            limit 1
        ) week on true
        left join lateral (
            select price_sum::float8 / price_count as mean
            from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination and price_count >= $4::bigint
              and day between latest.day - 60 and latest.day - 30
            order by day desc
            limit 1
        ) month on true
        left join lateral (
            select price_sum::float8 / price_count as mean
            from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination and price_count >= $4::bigint
              and day between latest.day - 730 and latest.day - 365
            order by day desc
            limit 1
        ) year on true
        where all_days.priced_days > 0
        "#,
        origins,
        destinations,
        today,
        min_count,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes the state that the summaries are of.
pub(super) async fn set_state(executor: impl PgExecutor<'_>, state: State) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update lane_summaries_state set version = $1, today = $2, min_count = $3",
        state.version,
        state.today,
        state.min_count,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Reads all summaries.
pub(super) async fn read_all(executor: impl PgExecutor<'_>) -> Result<Vec<Summary>, sqlx::Error> {
    sqlx::query_as!(
        Summary,
        "select origin, destination, first_day, last_day, priced_days, mean_days, prices, latest_day, latest_mean,
                change_7, change_30, change_365
         from lane_summaries order by origin, destination"
    )
    .fetch_all(executor)
    .await
}
