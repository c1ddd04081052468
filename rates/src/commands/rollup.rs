//! `rates verify` and `rates rebuild`.

use chassis::{Exit, Failure, postgres};

use crate::{
    rollup::{self, Findings},
    settings::Settings,
};

pub(super) async fn verify(settings: &Settings) -> Result<Exit, Failure> {
    let mut connection = postgres::connect(&settings.database).await?;
    let Findings { wrong_rows, wrong_statistics, tree_is_current, odd_prices } =
        rollup::verify(&mut connection).await?;
    if odd_prices > 0 {
        tracing::warn!(
            rows = odd_prices,
            "some prices would be rejected today: not above 0, no calendar day, or of a port that does not exist"
        );
    }
    if wrong_rows == 0 && wrong_statistics == 0 && tree_is_current {
        tracing::info!("daily_rates and monthly_statistics equal the raw prices");
        return Ok(Exit::Success);
    }
    let tree = if tree_is_current { "" } else { ", and it was built with another tree of regions" };
    let found = format!(
        "daily_rates has {wrong_rows} wrong rows, monthly_statistics {wrong_statistics}{tree}; run `rates rebuild` to correct them"
    );
    Err(Failure::new(Exit::Failure, found))
}

pub(super) async fn rebuild(settings: &Settings) -> Result<Exit, Failure> {
    let mut connection = postgres::connect(&settings.database).await?;
    let rows = rollup::rebuild(&mut connection)
        .await
        .map_err(|error| Failure::from(error).context("cannot rebuild; nothing was changed"))?;
    tracing::info!(corrected = rows, "daily_rates and monthly_statistics equal the raw prices");
    Ok(Exit::Success)
}
