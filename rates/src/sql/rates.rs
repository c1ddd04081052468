//! The rates of a lane.

use chrono::NaiveDate;
use sqlx::PgExecutor;

use super::version::DataVersion;
use crate::params::RatesQuery;

/// The days of a lane that have prices, newest first, and the state of the data they were read from.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) version: DataVersion,
    pub(crate) days: Vec<NaiveDate>,
    /// US dollars.
    pub(crate) price_sums: Vec<i64>,
    pub(crate) price_counts: Vec<i32>,
}

/// What a lane is asked of.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    origin: String,
    destination: String,
    from: NaiveDate,
    to: NaiveDate,
}

impl Asked {
    /// How many days, both ends included.
    pub(crate) fn days(&self) -> i64 {
        (self.to - self.from).num_days() + 1
    }
}

impl From<&RatesQuery<'_>> for Asked {
    fn from(query: &RatesQuery<'_>) -> Self {
        Self {
            origin: query.origin.as_ref().to_owned(),
            destination: query.destination.as_ref().to_owned(),
            from: query.from,
            to: query.to,
        }
    }
}

/// The lane of each question, in their order. For each one scan of the primary key of `daily_rates`, at most one row a
/// day, whatever the places are. One statement, so the version is that of the same snapshot; arrays, since one row costs
/// the client less than one for each day.
pub(crate) async fn lanes(executor: impl PgExecutor<'_>, asked: &[Asked]) -> Result<Vec<Lane>, sqlx::Error> {
    let origins: Vec<&str> = asked.iter().map(|one| one.origin.as_str()).collect();
    let destinations: Vec<&str> = asked.iter().map(|one| one.destination.as_str()).collect();
    let first_days: Vec<NaiveDate> = asked.iter().map(|one| one.from).collect();
    let last_days: Vec<NaiveDate> = asked.iter().map(|one| one.to).collect();
    let rows = sqlx::query!(
        r#"
        select v.version, v.places_version,
               lane.days as "days!", lane.price_sums as "price_sums!", lane.price_counts as "price_counts!"
        from data_version v
        cross join unnest($1::text[], $2::text[], $3::date[], $4::date[])
            with ordinality asked (origin, destination, first_day, last_day, position)
        cross join lateral (
            select coalesce(array_agg(day), '{}') as days,
                   coalesce(array_agg(price_sum), '{}') as price_sums,
                   coalesce(array_agg(price_count), '{}') as price_counts
            from (
                select day, price_sum, price_count
                from daily_rates
                where origin = asked.origin and destination = asked.destination
                  and day between asked.first_day and asked.last_day
                order by day desc
            ) newest_first
        ) lane
        order by asked.position
        "#,
        &origins as &[&str],
        &destinations as &[&str],
        &first_days,
        &last_days,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Lane {
            version: DataVersion { version: row.version, places_version: row.places_version },
            days: row.days,
            price_sums: row.price_sums,
            price_counts: row.price_counts,
        })
        .collect())
}
