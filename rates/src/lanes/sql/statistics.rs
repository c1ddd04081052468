//! Statistics of days and intervals: as `monthly_statistics` has them, or computed from the prices.

use std::collections::{HashMap, HashSet};

use chrono::{Datelike, NaiveDate};
use sqlx::{PgConnection, PgExecutor};

use super::{LaneDays, ends, first_and_last_days};
use crate::{
    lanes::{
        day::{Day, Percentiles},
        lane::LaneRange,
        month::Month,
        query::Interval,
    },
    places::Pair,
    privacy::Privacy,
};

/// A month of a lane as `monthly_statistics` has it.
pub(super) struct MonthStatistics {
    month: Month,
    /// Empty if they are not wanted.
    percentiles: Vec<u8>,
    suppliers: Vec<u8>,
}

/// Reads what `monthly_statistics` has of each of these ranges, and the version of the data at which it is so.
pub(super) async fn stored_statistics(
    executor: impl PgExecutor<'_>,
    ranges: &[LaneRange],
) -> Result<(i64, Vec<Vec<MonthStatistics>>), sqlx::Error> {
    let (origins, destinations) = ends(ranges.iter().map(|range| range.pair));
    let (first_days, last_days) = first_and_last_days(ranges);
    let with_percentiles: Vec<bool> = ranges.iter().map(|range| range.with_percentiles).collect();
    let rows = sqlx::query!(
        r#"
        select v.version, stored.months, stored.percentiles, stored.suppliers
        from data_version v
        cross join unnest($1::integer[], $2::integer[], $3::date[], $4::date[], $5::boolean[])
            with ordinality ranges (origin, destination, first_day, last_day, with_percentiles, position)
        cross join lateral (
            select array_agg(month) as months, array_agg(suppliers) as suppliers,
                   array_agg(coalesce(case when ranges.with_percentiles then percentiles end, '')) as percentiles
            from monthly_statistics
            where origin = ranges.origin and destination = ranges.destination
              and month between ranges.first_day and ranges.last_day
        ) stored
        order by ranges.position
        "#,
        &origins,
        &destinations,
        &first_days,
        &last_days,
        &with_percentiles,
    )
    .fetch_all(executor)
    .await?;
    let version = rows.first().ok_or(sqlx::Error::RowNotFound)?.version;
    let months = rows.into_iter().map(|row| {
        let months = row.months.unwrap_or_default().into_iter().map(Month::of);
        let values = row.percentiles.unwrap_or_default().into_iter().zip(row.suppliers.unwrap_or_default());
        months
            .zip(values)
            .map(|(month, (percentiles, suppliers))| MonthStatistics { month, percentiles, suppliers })
            .collect()
    });
    Ok((version, months.collect()))
}

/// Adds the percentiles of these months to their days, which are newest first.
pub(super) fn add_percentiles(days: &mut [Day], months: &[MonthStatistics]) {
    for MonthStatistics { month, percentiles: bytes, .. } in months {
        let begin = days.partition_point(|day| Month::of(day.day) > *month);
        let of_month = days[begin..].iter_mut().take_while(|day| Month::of(day.day) == *month);
        let priced = of_month.filter(|day| day.has_enough_prices());
        for (day, bytes) in priced.zip(bytes.as_chunks().0) {
            day.percentiles = Some(Box::new(percentiles_of_bytes(bytes)));
        }
    }
}

/// For each of these days the number of its suppliers, if its month is among these.
pub(super) fn suppliers_of(days: &[Day], months: &[MonthStatistics]) -> Vec<Option<u8>> {
    let months: HashMap<Month, &[u8]> = months.iter().map(|month| (month.month, &*month.suppliers)).collect();
    let of_day = |Day { day, .. }: &Day| months.get(&Month::of(*day))?.get(day.day0() as usize).copied();
    days.iter().map(of_day).collect()
}

fn percentiles_of_bytes(bytes: &[u8; 20]) -> Percentiles {
    let mut numbers = bytes.as_chunks().0.iter().map(|number| i64::from(i32::from_be_bytes(*number)));
    Percentiles(std::array::from_fn(|_| numbers.next().unwrap_or_default()))
}

/// The first day of the month of each of these days, which are newest first.
fn months_of<'a>(days: impl Iterator<Item = &'a Day>) -> Vec<NaiveDate> {
    let mut months: Vec<NaiveDate> = days.map(|day| Month::of(day.day).first_day()).collect();
    months.dedup();
    months
}

/// Adds the numbers of suppliers that the days of this pair of places lack.
pub(super) async fn count_suppliers(
    connection: &mut PgConnection,
    (origin, destination): Pair,
    lane: &mut LaneDays,
) -> Result<(), sqlx::Error> {
    let months = months_of(lane.without_suppliers());
    let rows = sqlx::query!(
        r#"
        select p.day, least(count(distinct coalesce(b.supplier, '')), 255)::integer as "suppliers!"
        from port_places o
        join places origin on origin.id = o.port
        cross join port_places d
        join places destination on destination.id = d.port
        cross join unnest($3::date[]) months (first_day)
        join prices p on p.orig_code = origin.name and p.dest_code = destination.name
            and p.day >= months.first_day and p.day < (months.first_day + interval '1 month')::date
        left join batches b on b.id = p.batch_id
        where o.place = $1 and d.place = $2
        group by p.day
        "#,
        origin.0,
        destination.0,
        &months,
    )
    .fetch_all(connection)
    .await?;
    let counted: HashMap<NaiveDate, u8> =
        rows.into_iter().map(|row| (row.day, u8::try_from(row.suppliers).unwrap_or(u8::MAX))).collect();
    for (day, suppliers) in lane.days.iter().zip(&mut lane.suppliers) {
        *suppliers = suppliers.or_else(|| counted.get(&day.day).copied());
    }
    Ok(())
}

/// Adds the percentiles that the days of this pair of places lack: by an index-only scan of `prices_lane_day` for each pair
/// of ports.
pub(super) async fn compute_percentiles(
    connection: &mut PgConnection,
    (origin, destination): Pair,
    lane: &mut LaneDays,
) -> Result<(), sqlx::Error> {
    let months = months_of(lane.without_percentiles());
    let rows = sqlx::query!(
        r#"
        select p.day, percentile_cont(array[0.025, 0.25, 0.5, 0.75, 0.975]::float8[])
                          within group (order by p.price) as "percentiles!: Vec<f64>"
        from port_places o
        join places origin on origin.id = o.port
        cross join port_places d
        join places destination on destination.id = d.port
        cross join unnest($3::date[]) months (first_day)
        join prices p on p.orig_code = origin.name and p.dest_code = destination.name
            and p.day >= months.first_day and p.day < (months.first_day + interval '1 month')::date
        where o.place = $1 and d.place = $2
        group by p.day
        having count(*) >= 3
        order by p.day desc
        "#,
        origin.0,
        destination.0,
        &months,
    )
    .fetch_all(connection)
    .await?;
    let mut computed = rows.into_iter().peekable();
    for day in &mut lane.days {
        if let Some(row) = computed.next_if(|row| row.day == day.day) {
            day.percentiles = Percentiles::nearest(&row.percentiles).map(Box::new);
        }
    }
    Ok(())
}

/// Adds the percentiles of all prices of each interval of this range, apart from those of hidden days, which it removes: by an
/// index-only scan of `prices_lane_day` for each pair of ports.
pub(super) async fn compute_interval_percentiles(
    connection: &mut PgConnection,
    &LaneRange { pair: (origin, destination), from, to, .. }: &LaneRange,
    interval: Interval,
    lane: &mut LaneDays,
    privacy: Privacy,
) -> Result<(), sqlx::Error> {
    let mut hidden: HashSet<NaiveDate> = lane.days.iter().map(|day| day.day).collect();
    lane.hide_days(privacy);
    for day in &lane.days {
        hidden.remove(&day.day);
    }
    let hidden: Vec<NaiveDate> = hidden.into_iter().collect();
    let first_days: Vec<NaiveDate> = interval.cut(from, to).map(|(first, _)| first).collect();
    let rows = sqlx::query!(
        r#"
        select width_bucket(p.day, $3::date[]) as "number!",
               percentile_cont(array[0.025, 0.25, 0.5, 0.75, 0.975]::float8[])
                   within group (order by p.price) as "percentiles!: Vec<f64>"
        from port_places o
        join places origin on origin.id = o.port
        cross join port_places d
        join places destination on destination.id = d.port
        join prices p on p.orig_code = origin.name and p.dest_code = destination.name and p.day between $4 and $5
        where o.place = $1 and d.place = $2 and p.day <> all($6::date[])
        group by 1
        "#,
        origin.0,
        destination.0,
        &first_days,
        from,
        to,
        &hidden,
    )
    .fetch_all(connection)
    .await?;
    let mut percentiles = vec![None; first_days.len()];
    for row in rows {
        let position = usize::try_from(row.number - 1).ok();
        if let Some(of_interval) = position.and_then(|position| percentiles.get_mut(position)) {
            *of_interval = Percentiles::nearest(&row.percentiles);
        }
    }
    lane.interval_percentiles = Some(percentiles.into());
    Ok(())
}
