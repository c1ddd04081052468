//! The prices of a batch as CSV, page by page: neither side holds all of them, and no connection is held while the client
//! reads.

use std::fmt::Write as _;

use axum::body::Bytes;
use futures_util::{Stream, stream};

use crate::{
    app::App,
    batches::sql::{self, Batch, BatchState, SentPrice},
};

/// The most different prices that are read at once.
const PAGE: u32 = 50_000;

/// The size of the pieces of the answer.
const PIECE: usize = 64 * 1024;

/// Ends with an error if the batch is withdrawn meanwhile, so that nobody takes a part for the whole.
pub(super) fn stream(app: App, batch: &Batch) -> impl Stream<Item = Result<Bytes, sqlx::Error>> + use<> {
    let start = Csv { app, batch: batch.id, page: Vec::new(), is_last: false, position: 0, written: 0 };
    let header = Bytes::from_static(b"orig_code,dest_code,day,price\n");
    let rows = stream::try_unfold(start, |mut csv| async move {
        let piece = csv.next_piece().await?;
        Ok((!piece.is_empty()).then(|| (piece.into(), csv)))
    });
    futures_util::StreamExt::chain(stream::iter([Ok(header)]), rows)
}

struct Csv {
    app: App,
    batch: i64,
    page: Vec<SentPrice>,
    /// Whether no page follows.
    is_last: bool,
    /// The price of the page that comes next.
    position: usize,
    /// How often it was written.
    written: i64,
}

impl Csv {
    async fn next_piece(&mut self) -> Result<String, sqlx::Error> {
        let mut piece = String::new();
        while piece.len() < PIECE && self.has_next().await? {
            let SentPrice { orig_code, dest_code, day, price, times } = &self.page[self.position];
            writeln!(piece, "{orig_code},{dest_code},{day},{price}").expect("a string takes all");
            self.written += 1;
            if self.written == *times {
                self.position += 1;
                self.written = 0;
            }
        }
        Ok(piece)
    }

    /// Whether a price comes next; reads the next page where that is needed.
    async fn has_next(&mut self) -> Result<bool, sqlx::Error> {
        if self.position == self.page.len() && !self.is_last {
            self.read_page().await?;
        }
        Ok(self.position < self.page.len())
    }

    async fn read_page(&mut self) -> Result<(), sqlx::Error> {
        let mut connection = self.app.database.batches.acquire().await?;
        let (batch, last) = (self.batch, self.page.pop());
        self.page = connection
            .limited(async |connection: &mut sqlx::PgConnection| {
                sql::prices_after(connection, batch, last.as_ref(), PAGE.into()).await
            })
            .await?;
        self.position = 0;
        self.is_last = self.page.len() < PAGE as usize;
        if self.page.is_empty() {
            // A batch that is done has no further prices where the operator has retired them.
            let batch = sql::find(&mut connection, batch).await?;
            if batch.is_none_or(|batch| batch.state != BatchState::Done) {
                return Err(sqlx::Error::RowNotFound);
            }
        }
        Ok(())
    }
}
