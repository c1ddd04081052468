//! Work that is repeated in the background.

use std::time::{Duration, Instant};

use chassis::{Stop, postgres::is_outage};
use tokio::time::sleep;

/// The pause after there was nothing to do.
const POLL: Duration = Duration::from_secs(1);

/// Repeats this work until a stop begins. `work` returns whether it found anything to do. Then the pause is as long as the
/// work took, and at least `least`: so the work runs at most half of the time.
pub(crate) async fn repeat<F>(stop: Stop, what: &str, least: Duration, work: impl Fn() -> F)
where
    F: Future<Output = Result<bool, sqlx::Error>>,
{
    let working = async {
        loop {
            let begun = Instant::now();
            let pause = match work().await {
                Ok(true) => begun.elapsed().max(least),
                Ok(false) => POLL,
                // The listener logs outages.
                Err(error) if is_outage(&error) => POLL,
                Err(error) => {
                    tracing::warn!(error = %error, "cannot {what}; trying again");
                    POLL
                }
            };
            sleep(pause).await;
        }
    };
    tokio::select! {
        () = working => {}
        () = stop.begun() => {}
    }
}
