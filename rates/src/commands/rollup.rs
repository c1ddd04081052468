//! `rates verify` and `rates rebuild`.

use chassis::Exit;
use sqlx::{Connection, PgConnection};

use super::{connect, database_error};
use crate::{load::progress, settings::Settings, sql::rollup};

/// How many differences are shown one by one.
const SHOWN: usize = 20;

pub(super) async fn verify(settings: &Settings) -> Exit {
    let mut connection = match connect(settings).await {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    match differing(&mut connection).await {
        Ok((0, true)) => {
            tracing::info!("daily_rates equals the raw prices");
            Exit::Success
        }
        Ok((rows, tree)) => {
            let tree = if tree { "" } else { "; the tree of places was not applied" };
            eprintln!(
                "rates: {rows} rows of daily_rates differ from the raw prices{tree}; `rates rebuild` mends them"
            );
            Exit::Failure
        }
        Err(error) => database_error("cannot verify", &error),
    }
}

/// How many rows differ, and whether the tree is right: all read from one snapshot.
async fn differing(connection: &mut PgConnection) -> Result<(usize, bool), sqlx::Error> {
    let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
    let odd = rollup::odd_prices(&mut transaction).await?;
    if odd > 0 {
        tracing::warn!(
            rows = odd,
            "prices that today's checks would refuse; the API answers with them all the same"
        );
    }
    let tree = rollup::tree_is_applied(&mut transaction).await?;
    let origins = rollup::origins(&mut transaction).await?;
    let bar = progress::items(origins.len(), "origins verified");
    let mut rows = 0;
    for origin in bar.wrap_iter(origins.iter()) {
        for difference in rollup::differences(&mut transaction, origin).await? {
            rows += 1;
            if rows <= SHOWN {
                bar.println(format!(
                    "{origin} to {} on {}: sum {:?} and count {:?} kept, {:?} and {:?} by the raw prices",
                    difference.destination,
                    difference.day,
                    difference.kept_sum,
                    difference.kept_count,
                    difference.true_sum,
                    difference.true_count,
                ));
            }
        }
    }
    Ok((rows, tree))
}

pub(super) async fn rebuild(settings: &Settings) -> Exit {
    let mut connection = match connect(settings).await {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    match mend(&mut connection).await {
        Ok(rows) => {
            tracing::info!(rows, "daily_rates equals the raw prices; rows mended");
            Exit::Success
        }
        Err(error) => database_error("cannot rebuild; nothing was changed", &error),
    }
}

async fn mend(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    rollup::begin_repair(&mut transaction).await?;
    let origins = rollup::origins(&mut transaction).await?;
    let bar = progress::items(origins.len(), "origins rebuilt");
    let mut rows = 0;
    for origin in bar.wrap_iter(origins.iter()) {
        for difference in rollup::differences(&mut transaction, origin).await? {
            rollup::repair(&mut transaction, origin, &difference).await?;
            rows += 1;
        }
    }
    transaction.commit().await?;
    Ok(rows)
}
