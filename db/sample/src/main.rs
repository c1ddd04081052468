//! Writes the sample data of the rates service, a `PostgreSQL` dump, to standard output:
//!
//! ```console
//! cargo run -p sample > db/rates.sql
//! ```
//!
//! Places are real, prices invented (see [`market`] for how). The same source writes the same bytes on every
//! machine; a test compares them with the committed file.

mod calendar;
mod dump;
mod market;
mod places;
mod random;

use std::io::{self, BufWriter, Write};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    dump::write(&mut out)?;
    out.flush()
}
