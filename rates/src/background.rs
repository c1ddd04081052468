//! Work that is repeated in the background.

use std::time::{Duration, Instant};

use chassis::{Stop, postgres::is_outage};
use tokio::time::sleep;

/// How often it is looked whether there is anything to do.
const POLL: Duration = Duration::from_secs(1);

/// Repeats this work until a stop begins. `work` returns whether it found anything to do. Then it is repeated after as long
/// as it took, so that it takes half a processor of the database at most, but not before `least`.
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
                // The listener tells of outages.
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
