//! Verifies and corrects `daily_rates` and `monthly_statistics`, one origin at a time, so that memory stays small and progress is visible.

mod sql;

use indicatif::ProgressBar;
use sqlx::{Connection, PgConnection};

use chassis::progress;
use sql::Difference;

/// How many differences are printed.
const PRINTED: usize = 20;

/// The result of a verification.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The number of rows of `daily_rates` that are wrong, missing or superfluous.
    pub(crate) wrong_rows: usize,
    /// The number of rows of `monthly_statistics` that are wrong.
    pub(crate) wrong_statistics: i64,
    /// Whether the rollup was built with the tree of regions as it is now.
    pub(crate) tree_is_current: bool,
    /// The number of prices that the current checks would reject.
    pub(crate) odd_prices: i64,
}

/// Compares `daily_rates` with the raw prices, both read from one snapshot, and prints the first differences.
pub(crate) async fn verify(connection: &mut PgConnection) -> Result<Findings, sqlx::Error> {
    let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
    let odd_prices = sql::count_odd_prices(&mut transaction).await?;
    let tree_is_current = sql::tree_is_current(&mut transaction).await?;
    let origins = sql::origins(&mut transaction).await?;
    let bar = progress::items(origins.len(), "origins verified");
    let (mut wrong_rows, mut wrong_statistics) = (0, 0);
    for origin in bar.wrap_iter(origins.iter()) {
        for difference in sql::differences(&mut transaction, origin).await? {
            wrong_rows += 1;
            if wrong_rows <= PRINTED {
                print(&bar, &origin.name, &difference);
            }
        }
        wrong_statistics += sql::count_wrong_statistics(&mut transaction, origin).await?;
    }
    Ok(Findings { wrong_rows, wrong_statistics, tree_is_current, odd_prices })
}

fn print(bar: &ProgressBar, origin: &str, difference: &Difference) {
    let shown = |sum: Option<i64>, count: Option<i32>| match (sum, count) {
        (Some(sum), Some(count)) => format!("{count} prices, sum {sum}"),
        _ => "no prices".to_owned(),
    };
    bar.suspend(|| {
        eprintln!(
            "rates: {origin} to {} on {}: daily_rates has {}; the raw prices have {}",
            difference.destination_name,
            difference.day,
            shown(difference.kept_sum, difference.kept_count),
            shown(difference.true_sum, difference.true_count),
        );
    });
}

/// Corrects the wrong rows of `daily_rates` and returns their number; statistics are filled in anew by the worker. Readers do not wait; writers do.
pub(crate) async fn rebuild(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sql::begin_repair(&mut transaction).await?;
    let origins = sql::origins(&mut transaction).await?;
    let bar = progress::items(origins.len(), "origins rebuilt");
    let mut rows = 0;
    for origin in bar.wrap_iter(origins.iter()) {
        for difference in sql::differences(&mut transaction, origin).await? {
            sql::repair(&mut transaction, origin, &difference).await?;
            rows += 1;
        }
    }
    sql::end_repair(&mut transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}
