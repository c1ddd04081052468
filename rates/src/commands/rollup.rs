//! `rates verify` and `rates rebuild`.

use chassis::Exit;

use super::{connect, database_error};
use crate::{
    rollup::{self, Findings},
    settings::Settings,
};

pub(super) async fn verify(settings: &Settings) -> Exit {
    let mut connection = match connect(settings).await {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    let Findings { wrong_rows, tree_is_current, odd_prices } = match rollup::verify(&mut connection).await {
        Ok(findings) => findings,
        Err(error) => return database_error("cannot verify", &error),
    };
    if odd_prices > 0 {
        tracing::warn!(
            rows = odd_prices,
            "some prices would be rejected today (not above 0, or no calendar day); the API serves them all the same"
        );
    }
    if wrong_rows == 0 && tree_is_current {
        tracing::info!("daily_rates equals the raw prices");
        return Exit::Success;
    }
    let tree = if tree_is_current { "" } else { ", and it was built with another tree of regions" };
    eprintln!("rates: daily_rates has {wrong_rows} wrong rows{tree}; run `rates rebuild` to correct them");
    Exit::Failure
}

pub(super) async fn rebuild(settings: &Settings) -> Exit {
    let mut connection = match connect(settings).await {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    match rollup::rebuild(&mut connection).await {
        Ok(rows) => {
            tracing::info!(corrected = rows, "daily_rates equals the raw prices");
            Exit::Success
        }
        Err(error) => database_error("cannot rebuild; nothing was changed", &error),
    }
}
