//! The rates of a lane.

use chrono::NaiveDate;
use sqlx::{PgExecutor, PgPool};

use crate::lanes::query::RatesQuery;
use crate::sql::version::DataVersion;

/// The days of a lane that have prices, newest first, and the state of the data they were read from.
#[derive(Debug)]
pub struct Lane {
    pub(crate) version: DataVersion,
    pub(crate) days: Vec<PricedDay>,
    /// With `statistics=full`: by day as above, none where a day has fewer than three prices.
    pub(crate) percentiles: Option<Percentiles>,
}

impl Lane {
    /// A lane that was read from no database, for tests and benchmarks. Its days are newest first.
    #[must_use]
    pub fn of(days: Vec<PricedDay>) -> Self {
        Self { version: DataVersion { version: 1, places_version: 1 }, days, percentiles: None }
    }
}

/// A day of a lane that has prices.
#[derive(Debug, Clone, Copy)]
pub struct PricedDay {
    /// The day.
    pub day: NaiveDate,
    /// How many prices.
    pub count: i32,
    /// Their sum in US dollars.
    pub sum: i64,
}

impl PricedDay {
    /// How many bytes `lanes` reads of a day: day since 1970-01-01 and count in four each, sum in eight, as PostgreSQL
    /// sends them.
    const BYTES: usize = 16;

    fn of_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [d0, d1, d2, d3, c0, c1, c2, c3, sum @ ..] = *bytes;
        Self {
            day: NaiveDate::from_epoch_days(i32::from_be_bytes([d0, d1, d2, d3]))
                .expect("a date of the database"),
            count: i32::from_be_bytes([c0, c1, c2, c3]),
            sum: i64::from_be_bytes(sum),
        }
    }
}

/// Percentiles of each day's prices in US dollars, interpolated between neighbours as `percentile_cont` does.
#[derive(Debug)]
pub(crate) struct Percentiles {
    /// 2.5 percent of the prices are below.
    pub(crate) low: Vec<Option<f64>>,
    /// 25 percent.
    pub(crate) midlow: Vec<Option<f64>>,
    /// 50 percent.
    pub(crate) median: Vec<Option<f64>>,
    /// 75 percent.
    pub(crate) midhigh: Vec<Option<f64>>,
    /// 97.5 percent.
    pub(crate) high: Vec<Option<f64>>,
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
/// day, whatever the places are. One statement, so the version is that of the same snapshot; one value for all days of a
/// lane, since a row, or an element of an array, for each day costs both sides more.
pub(crate) async fn lanes(executor: impl PgExecutor<'_>, asked: &[Asked]) -> Result<Vec<Lane>, sqlx::Error> {
    let origins: Vec<&str> = asked.iter().map(|one| one.origin.as_str()).collect();
    let destinations: Vec<&str> = asked.iter().map(|one| one.destination.as_str()).collect();
    let first_days: Vec<NaiveDate> = asked.iter().map(|one| one.from).collect();
    let last_days: Vec<NaiveDate> = asked.iter().map(|one| one.to).collect();
    let rows = sqlx::query!(
        r#"
        select v.version, v.places_version, lane.days as "days!"
        from data_version v
        cross join unnest($1::text[], $2::text[], $3::date[], $4::date[])
            with ordinality asked (origin, destination, first_day, last_day, position)
        cross join lateral (
            select coalesce(
                string_agg(
                    int8send((day - date '1970-01-01')::bigint << 32 | price_count) || int8send(price_sum), ''
                ), ''
            ) as days
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
            days: row.days.as_chunks().0.iter().map(PricedDay::of_bytes).collect(),
            percentiles: None,
        })
        .collect())
}

/// One lane with percentiles. They cannot be summed up from smaller places, so every price of the range is read: by
/// `prices_lane_day`, which holds the price itself, once for each pair of ports.
///
/// Planned for the places asked for: between continents over ten years the plan that fits all took 9 s with the sample,
/// this one 35 ms.
pub(crate) async fn full(pool: &PgPool, query: &RatesQuery<'_>) -> Result<Lane, sqlx::Error> {
    let begin = "begin read only; set local plan_cache_mode = force_custom_plan";
    let mut transaction = pool.begin_with(begin).await?;
    let row = sqlx::query!(
        r#"
        select v.version, v.places_version,
               lane.days as "days!", lane.price_sums as "price_sums!", lane.price_counts as "price_counts!",
               lane.low as "low!: Vec<Option<f64>>", lane.midlow as "midlow!: Vec<Option<f64>>",
               lane.median as "median!: Vec<Option<f64>>", lane.midhigh as "midhigh!: Vec<Option<f64>>",
               lane.high as "high!: Vec<Option<f64>>"
        from data_version v
        cross join (
            select coalesce(array_agg(day), '{}') as days,
                   coalesce(array_agg(price_sum), '{}') as price_sums,
                   coalesce(array_agg(price_count), '{}') as price_counts,
                   coalesce(array_agg(percentiles[1]), '{}') as low,
                   coalesce(array_agg(percentiles[2]), '{}') as midlow,
                   coalesce(array_agg(percentiles[3]), '{}') as median,
                   coalesce(array_agg(percentiles[4]), '{}') as midhigh,
                   coalesce(array_agg(percentiles[5]), '{}') as high
            from (
                select r.day, r.price_sum, r.price_count, p.percentiles
                from daily_rates r
                left join (
                    select prices.day,
                           percentile_cont(array[0.025, 0.25, 0.5, 0.75, 0.975]::float8[])
                               within group (order by prices.price) as percentiles
                    from port_places o
                    cross join port_places d
                    join prices on prices.orig_code = o.port and prices.dest_code = d.port
                    where o.place = $1 and d.place = $2 and prices.day between $3 and $4
                    group by prices.day
                    having count(*) >= 3
                ) p using (day)
                where r.origin = $1 and r.destination = $2 and r.day between $3 and $4
                order by r.day desc
            ) newest_first
        ) lane
        "#,
        query.origin.as_ref(),
        query.destination.as_ref(),
        query.from,
        query.to,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let days = row.days.into_iter().zip(row.price_sums).zip(row.price_counts);
    Ok(Lane {
        version: DataVersion { version: row.version, places_version: row.places_version },
        days: days.map(|((day, sum), count)| PricedDay { day, count, sum }).collect(),
        percentiles: Some(Percentiles {
            low: row.low,
            midlow: row.midlow,
            median: row.median,
            midhigh: row.midhigh,
            high: row.high,
        }),
    })
}

/// For each pair of places that has prices, in the order given, the newest day that has any. One backward step into
/// the primary key for each.
pub(crate) async fn newest_days(
    executor: impl PgExecutor<'_>,
    origins: &[&str],
    destinations: &[&str],
) -> Result<Vec<(String, String, NaiveDate)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select pair.origin as "origin!", pair.destination as "destination!", newest.day as "day!"
        from unnest($1::text[], $2::text[]) with ordinality pair (origin, destination, position)
        cross join lateral (
            select r.day from daily_rates r
            where r.origin = pair.origin and r.destination = pair.destination
            order by r.day desc
            limit 1
        ) newest
        order by pair.position
        "#,
        origins as &[&str],
        destinations as &[&str],
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.origin, row.destination, row.day)).collect())
}
