//! The least rate of an upload.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use axum::BoxError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

/// The client sent less than it had to.
#[derive(Debug)]
pub(super) struct TooSlow {
    bytes_per_second: u32,
    period: Duration,
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes_per_second, period } = self;
        write!(
            f,
            "The upload was slower than {bytes_per_second} bytes per second for {} seconds; send the batch again over \
             a faster connection, compressed, or in parts.",
            period.as_secs_f64()
        )
    }
}

impl Error for TooSlow {}

/// The same pieces; ends with [`TooSlow`] if fewer bytes come in a period. Only the time that is spent on waiting for the
/// client counts.
pub(crate) fn paced<S, E>(
    pieces: S,
    bytes_per_second: u32,
    period: Duration,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + Unpin
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<BoxError>,
{
    let least = f64::from(bytes_per_second) * period.as_secs_f64();
    let start = (pieces, Duration::ZERO, 0_usize);
    Box::pin(stream::unfold(start, move |(mut pieces, mut waited, mut received)| async move {
        loop {
            let asked = Instant::now();
            match timeout(period.saturating_sub(waited), pieces.next()).await {
                Ok(None) => return None,
                Ok(Some(piece)) => {
                    let piece = piece.map_err(Into::into);
                    received += piece.as_ref().map_or(0, Bytes::len);
                    return Some((piece, (pieces, waited + asked.elapsed(), received)));
                }
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                Err(_) if (received as f64) < least => {
                    let slow = TooSlow { bytes_per_second, period };
                    return Some((Err(slow.into()), (pieces, Duration::ZERO, 0)));
                }
                Err(_) => (waited, received) = (Duration::ZERO, 0),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_least_number_of_bytes_is_the_rate_times_the_period() {
        let period = Duration::from_millis(250);
        let passes = async |sent: &'static [u8]| {
            let last = stream::once(async move {
                tokio::time::sleep(period * 3 / 2).await;
                Bytes::new()
            });
            let pieces = stream::iter([Bytes::from_static(sent)]).chain(last).map(Ok::<_, BoxError>);
            let paced = paced(Box::pin(pieces), 8, period);
            paced.collect::<Vec<_>>().await.iter().all(Result::is_ok)
        };
        assert!(passes(b"12").await);
        assert!(!passes(b"1").await);
    }
}
