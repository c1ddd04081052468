//! The SQL of summaries.

use chrono::NaiveDate;
use sqlx::{PgConnection, PgExecutor};

use super::Summary;
use crate::{lanes::query::Fingerprint, privacy::Privacy};

/// What summaries are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The version of the data.
    pub(crate) version: i64,
    /// The last day that is not in the future.
    pub(crate) today: NaiveDate,
    /// How many prices a mean needs.
    pub(crate) min_count: i64,
    /// How many suppliers a day needs.
    pub(super) min_suppliers: i32,
    /// What means are rounded to.
    pub(super) price_step: i32,
}

impl State {
    pub(super) fn new(version: i64, today: NaiveDate, min_count: i64, privacy: Privacy) -> Self {
        let Privacy { min_suppliers, price_step, .. } = privacy;
        Self { version, today, min_count, min_suppliers: min_suppliers.into(), price_step: price_step.into() }
    }

    /// Whether answers may show what was computed with these settings.
    pub(crate) fn suits(self, privacy: Privacy) -> bool {
        (!privacy.hides_days() || self.min_suppliers >= privacy.min_suppliers.into())
            && (privacy.price_step == 0 || self.price_step == i32::from(privacy.price_step))
    }

    /// Adds what answers are made from.
    pub(crate) fn add_to(self, fingerprint: &mut Fingerprint) {
        let Self { version, today, min_count, min_suppliers, price_step } = self;
        for number in
            [version, today.to_epoch_days().into(), min_count, min_suppliers.into(), price_step.into()]
        {
            fingerprint.add(number.cast_unsigned());
        }
    }
}

/// Takes the lock of this work until the transaction ends; false if another worker has it.
pub(super) async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtextextended('summaries', 0)) as "alone!""#)
        .fetch_one(connection)
        .await
}

/// The state that the summaries are of.
pub(crate) async fn state(executor: impl PgExecutor<'_>) -> Result<State, sqlx::Error> {
    sqlx::query_as!(
        State,
        "select version, today, min_count, min_suppliers, price_step from lane_summaries_state"
    )
    .fetch_one(executor)
    .await
}

/// Whether a month has changed whose statistics are not filled in yet.
pub(super) async fn statistics_are_due(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from changed_months where statistics_due) as "due!""#)
        .fetch_one(executor)
        .await
}

/// The current version, and the oldest one since which `changed_months` is complete and places have not changed.
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
    State { today, min_count, min_suppliers, price_step, .. }: State,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into lane_summaries
        select pair.origin, pair.destination, all_days.first_day, all_days.last_day, all_days.priced_days, all_days.mean_days,
               all_days.prices, latest.day, latest.mean,
               latest.mean / nullif(week.mean, 0) - 1, latest.mean / nullif(month.mean, 0) - 1,
               latest.mean / nullif(year.mean, 0) - 1
        from unnest($1::integer[], $2::integer[]) pair (origin, destination)
        cross join lateral (
            select min(day) as first_day, max(day) as last_day, count(*) as priced_days,
                   count(*) filter (where price_count >= $4::bigint) as mean_days, sum(price_count) as prices
            from supplied_days r
            where r.origin = pair.origin and r.destination = pair.destination and ($5 <= 1 or r.suppliers >= $5)
        ) all_days
        left join lateral (
            select day, round_mean(price_sum::float8 / price_count, $6) as mean
            from supplied_days r
            where r.origin = pair.origin and r.destination = pair.destination and ($5 <= 1 or r.suppliers >= $5)
              and price_count >= $4::bigint and day <= $3
            order by day desc
            limit 1
        ) latest on true
        left join lateral (
            select round_mean(price_sum::float8 / price_count, $6) as mean
            from supplied_days r
            where r.origin = pair.origin and r.destination = pair.destination and ($5 <= 1 or r.suppliers >= $5)
              and price_count >= $4::bigint and day between latest.day - 14 and latest.day - 7
            order by day desc
            limit 1
        ) week on true
        left join lateral (
            select round_mean(price_sum::float8 / price_count, $6) as mean
            from supplied_days r
            where r.origin = pair.origin and r.destination = pair.destination and ($5 <= 1 or r.suppliers >= $5)
              and price_count >= $4::bigint and day between latest.day - 60 and latest.day - 30
            order by day desc
            limit 1
        ) month on true
        left join lateral (
            select round_mean(price_sum::float8 / price_count, $6) as mean
            from supplied_days r
            where r.origin = pair.origin and r.destination = pair.destination and ($5 <= 1 or r.suppliers >= $5)
              and price_count >= $4::bigint and day between latest.day - 730 and latest.day - 365
            order by day desc
            limit 1
        ) year on true
        where all_days.priced_days > 0
        "#,
        origins,
        destinations,
        today,
        min_count,
        min_suppliers,
        price_step,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes the state that the summaries are of.
pub(super) async fn set_state(executor: impl PgExecutor<'_>, state: State) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update lane_summaries_state
         set version = $1, today = $2, min_count = $3, min_suppliers = $4, price_step = $5",
        state.version,
        state.today,
        state.min_count,
        state.min_suppliers,
        state.price_step,
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
