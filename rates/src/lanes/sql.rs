//! The days of a lane, and the statements that read them.

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection, PgExecutor};

use super::query::{Order, RatesQuery};

/// A state of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataVersion {
    /// Increases with every change of prices or places.
    pub(crate) version: i64,
    /// The version at which ports or regions last changed.
    pub(crate) places_version: i64,
}

/// The days of a lane that have prices, and the state of the data they were read from.
#[derive(Debug)]
pub struct Lane {
    pub(crate) version: DataVersion,
    /// Newest first.
    pub(crate) days: Vec<Day>,
}

/// A day of a lane that has prices.
#[derive(Debug, Clone)]
pub struct Day {
    /// The day.
    pub day: NaiveDate,
    /// The sum of its prices in US dollars.
    pub sum: i64,
    /// How many prices.
    pub count: i32,
    /// Only if requested and the day has enough prices for a mean. Boxed, because most reads have none.
    pub percentiles: Option<Box<Percentiles>>,
}

/// Percentiles of a day's prices in US dollars, interpolated between neighbours as `percentile_cont` does.
#[derive(Debug, Clone, Copy)]
pub struct Percentiles {
    /// 2.5 percent of the prices are below.
    pub low: f64,
    /// 25 percent.
    pub midlow: f64,
    /// 50 percent.
    pub median: f64,
    /// 75 percent.
    pub midhigh: f64,
    /// 97.5 percent.
    pub high: f64,
}

impl Lane {
    /// Creates a lane without a database, for tests and benchmarks. Its days are newest first.
    #[must_use]
    pub fn of(days: Vec<Day>) -> Self {
        Self { version: DataVersion { version: 1, places_version: 1 }, days }
    }

    /// Every day of the query's range in its order, with its prices where it has any.
    pub(crate) fn each_day(
        &self,
        query: &RatesQuery<'_>,
    ) -> impl Iterator<Item = (NaiveDate, Option<&Day>)> + use<'_> {
        let newest_first = query.order == Order::NewestFirst;
        let mut day = if newest_first { query.to } else { query.from };
        let mut left = self.days.as_slice();
        (0..query.days()).map(move |_| {
            let today = day;
            // Never fails: queries have years of four digits, and the calendar goes beyond them.
            day = if newest_first { day.pred_opt() } else { day.succ_opt() }.unwrap_or(day);
            let (next, rest) = match left {
                [next, rest @ ..] if newest_first => (next, rest),
                [rest @ .., next] => (next, rest),
                [] => return (today, None),
            };
            if next.day != today {
                return (today, None);
            }
            left = rest;
            (today, Some(next))
        })
    }
}

impl Day {
    /// The minimum number of prices for a mean.
    const PRICES_FOR_A_MEAN: i32 = 3;

    /// The bytes per day in [`read_lanes`], as PostgreSQL sends them: day since 1970-01-01 and count in four each, sum
    /// in eight.
    const BYTES: usize = 16;

    fn of_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [d0, d1, d2, d3, c0, c1, c2, c3, sum @ ..] = *bytes;
        Self {
            day: NaiveDate::from_epoch_days(i32::from_be_bytes([d0, d1, d2, d3]))
                .expect("a date of the database"),
            sum: i64::from_be_bytes(sum),
            count: i32::from_be_bytes([c0, c1, c2, c3]),
            percentiles: None,
        }
    }

    /// The mean of the day's prices, if there are enough.
    ///
    /// Sums below 2^53 are exact as doubles, and IEEE division rounds once. To exceed that, a day would need four
    /// million prices of 2^31 dollars.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count >= Self::PRICES_FOR_A_MEAN).then(|| self.sum as f64 / f64::from(self.count))
    }
}

impl Percentiles {
    /// Their names in answers, from the lowest.
    pub(crate) const NAMES: [&str; 5] = ["low", "midlow", "median", "midhigh", "high"];

    /// In the order of their names.
    pub(crate) fn values(&self) -> [f64; 5] {
        let Self { low, midlow, median, midhigh, high } = *self;
        [low, midlow, median, midhigh, high]
    }
}

/// The part of a query that [`read_lanes`] needs, kept while the request waits for a statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneRange {
    origin: String,
    destination: String,
    from: NaiveDate,
    to: NaiveDate,
}

impl LaneRange {
    /// How many days, both ends included.
    pub(crate) fn days(&self) -> i64 {
        (self.to - self.from).num_days() + 1
    }
}

impl From<&RatesQuery<'_>> for LaneRange {
    fn from(query: &RatesQuery<'_>) -> Self {
        Self {
            origin: query.origin.as_ref().to_owned(),
            destination: query.destination.as_ref().to_owned(),
            from: query.from,
            to: query.to,
        }
    }
}

/// Reads the newest state of the data.
pub(crate) async fn current_version(executor: impl PgExecutor<'_>) -> Result<DataVersion, sqlx::Error> {
    sqlx::query_as!(DataVersion, "select version, places_version from data_version").fetch_one(executor).await
}

/// Reads the lanes of these ranges, in their order. Each is one scan of the primary key of `daily_rates`: at most one
/// row per day, whatever the places are. It is one statement, so that the version is of the same snapshot. All days of
/// a lane are one value, because a row or an array element per day costs both sides more.
pub(crate) async fn read_lanes(
    executor: impl PgExecutor<'_>,
    ranges: &[LaneRange],
) -> Result<Vec<Lane>, sqlx::Error> {
    let origins: Vec<&str> = ranges.iter().map(|range| range.origin.as_str()).collect();
    let destinations: Vec<&str> = ranges.iter().map(|range| range.destination.as_str()).collect();
    let first_days: Vec<NaiveDate> = ranges.iter().map(|range| range.from).collect();
    let last_days: Vec<NaiveDate> = ranges.iter().map(|range| range.to).collect();
    let rows = sqlx::query!(
        r#"
        select v.version, v.places_version, lane.days as "days!"
        from data_version v
        cross join unnest($1::text[], $2::text[], $3::date[], $4::date[])
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
            days: row.days.as_chunks().0.iter().map(Day::of_bytes).collect(),
        })
        .collect())
}

/// Reads one lane with percentiles. They cannot be derived from sums, so every price of the range is read: by an
/// index-only scan of `prices_lane_day` for each pair of ports.
///
/// Planned for each request, because a generic plan is far slower between continents.
pub(crate) async fn read_lane_with_percentiles(
    connection: &mut PgConnection,
    query: &RatesQuery<'_>,
) -> Result<Lane, sqlx::Error> {
    let begin = "begin read only; set local plan_cache_mode = force_custom_plan";
    let mut transaction = connection.begin_with(begin).await?;
    let rows = sqlx::query!(
        r#"
        select v.version, v.places_version, r.day as "day?", r.price_sum as "price_sum?",
               r.price_count as "price_count?", p.percentiles as "percentiles?: Vec<f64>"
        from data_version v
        left join daily_rates r on r.origin = $1 and r.destination = $2 and r.day between $3 and $4
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
        ) p on p.day = r.day
        order by r.day desc
        "#,
        query.origin.as_ref(),
        query.destination.as_ref(),
        query.from,
        query.to,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    // A lane without prices is a row without a day.
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let version = DataVersion { version: first.version, places_version: first.places_version };
    let days = rows.into_iter().filter_map(|row| {
        let percentiles = row.percentiles.and_then(|values| {
            let [low, midlow, median, midhigh, high] = values.try_into().ok()?;
            Some(Box::new(Percentiles { low, midlow, median, midhigh, high }))
        });
        Some(Day { day: row.day?, sum: row.price_sum?, count: row.price_count?, percentiles })
    });
    Ok(Lane { version, days: days.collect() })
}

/// Finds the newest day with prices for each pair of places that has any, in the given order. Each takes one step in a
/// backward scan of the primary key.
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
