//! Loading files: a plain `pg_dump`, or prices as suppliers send them. All rows are stored, or none.

mod dump;
mod error;
mod input;
mod sql;

use std::{path::Path, time::Instant};

use chassis::{postgres, progress};
use indicatif::ProgressBar;
use sqlx::{Connection, PgConnection};

use crate::{
    batches::{
        self, ProgressCell,
        parse::{Format, Rules},
        staging,
    },
    database::MIGRATOR,
    places::{self, Port, RegionRow},
};
pub use error::{DumpFault, LoadError};
use input::{FileKind, Input};

/// What happens to the prices that are already in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// There must be none.
    IntoEmpty,
    /// They stay.
    Append,
    /// They are replaced when the load succeeds.
    Replace,
}

/// What was loaded.
#[derive(Debug, PartialEq)]
pub struct Loaded {
    /// Regions in the file.
    pub regions: usize,
    /// Ports in the file.
    pub ports: usize,
    /// Prices in the file.
    pub prices: u64,
    /// How long it took.
    pub seconds: f64,
}

/// The places of a dump.
#[derive(Debug, Default)]
struct DumpPlaces {
    regions: Vec<RegionRow>,
    ports: Vec<Port>,
}

/// Loads a file; `-` is standard input. Of the rules, the limits of size do not apply.
pub async fn load_file(
    connection: &mut PgConnection,
    path: &Path,
    mode: Mode,
    rules: Rules,
) -> Result<Loaded, LoadError> {
    let started = Instant::now();
    if !postgres::pending_migrations(&mut *connection, &MIGRATOR).await?.is_empty() {
        return Err(LoadError::NotMigrated);
    }
    let input = Input::open(path)?;
    let mut transaction = connection.begin().await?;
    if mode == Mode::IntoEmpty && sql::has_prices(&mut transaction).await? {
        return Err(LoadError::NotEmpty);
    }
    let bar = progress::bytes(input.length, "loading prices");
    let (places, prices) = match input.kind {
        FileKind::Dump => load_dump(&mut transaction, input, mode, &bar).await?,
        FileKind::Prices(format) => {
            (DumpPlaces::default(), load_prices(&mut transaction, input, format, mode, &bar, rules).await?)
        }
    };
    transaction.commit().await?;
    bar.set_message("updating statistics");
    if let Err(error) = sql::vacuum_analyze(connection).await {
        tracing::warn!(error = %error, "the prices are stored; run VACUUM ANALYZE, without which queries may be slow");
    }
    bar.finish_and_clear();
    Ok(Loaded {
        regions: places.regions.len(),
        ports: places.ports.len(),
        prices,
        seconds: started.elapsed().as_secs_f64(),
    })
}

async fn load_dump(
    transaction: &mut PgConnection,
    mut input: Input,
    mode: Mode,
    bar: &ProgressBar,
) -> Result<(DumpPlaces, u64), LoadError> {
    let places = dump::read_places(&mut *input.lines(&ProgressBar::hidden())?)?;
    if mode == Mode::Replace {
        delete_prices(transaction).await?;
    }
    places::sql::upsert_regions(transaction, &places.regions).await?;
    places::sql::upsert_ports(transaction, &places.ports).await?;
    if mode == Mode::Replace {
        places::sql::delete_others(transaction, &places.ports, &places.regions).await?;
    }
    let mut lines = input.lines(bar)?;
    let mut copy = dump::PriceCopy::new(sql::copy_in(transaction).await?);
    match dump::copy_prices(&mut *lines, &mut copy).await {
        Ok(()) => {
            progress::turn_into_spinner(bar, "storing");
            Ok((places, copy.finish().await?))
        }
        Err(error) => {
            copy.abort().await;
            Err(error)
        }
    }
}

/// Loads prices as a batch is stored, by the same rules, but without a supplier.
async fn load_prices(
    transaction: &mut PgConnection,
    input: Input,
    format: Format,
    mode: Mode,
    bar: &ProgressBar,
    rules: Rules,
) -> Result<u64, LoadError> {
    let upload = input.into_upload(bar, rules.of_operator())?;
    upload.stage(transaction, format, ProgressCell::default()).await?.accept()?;
    bar.set_message("storing");
    if mode == Mode::Replace {
        delete_prices(transaction).await?;
    }
    Ok(staging::insert_prices(transaction, None).await?)
}

async fn delete_prices(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sql::delete_prices(transaction).await?;
    batches::sql::withdraw_all(transaction).await
}
