//! `rates work`, and the workers inside `rates serve`.

use std::time::Duration;

use chassis::Exit;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time,
};

use crate::{
    app::App,
    batches::worker::{self, Stopping},
    database::Database,
    settings::Settings,
};

/// What giving back a batch takes, out of the time that a stop leaves.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// Workers and how to stop them.
pub(super) struct Workers {
    running: JoinSet<()>,
    stopping: Stopping,
}

impl Workers {
    pub(super) fn start(app: &App, count: usize) -> Self {
        let stopping = Stopping::default();
        let mut running = JoinSet::new();
        for _ in 0..count {
            running.spawn(worker::work(app.clone(), stopping.clone()));
        }
        Self { running, stopping }
    }

    /// Tells the workers to begin nothing new, and to give back what is not done when `drain_seconds` end.
    pub(super) fn stopper(&self, drain_seconds: f64) -> impl FnOnce() + use<> {
        let stopping = self.stopping.clone();
        move || {
            stopping.gently.cancel();
            let left = Duration::from_secs_f64(drain_seconds).saturating_sub(GIVING_BACK);
            tokio::spawn(async move {
                time::sleep(left).await;
                stopping.now.cancel();
            });
        }
    }

    /// Waits until all have stopped; `at_once` does not let them finish.
    pub(super) async fn stopped(mut self, at_once: bool) {
        self.stopping.gently.cancel();
        if at_once {
            self.stopping.now.cancel();
        }
        while self.running.join_next().await.is_some() {}
    }
}

pub(super) async fn work(settings: &Settings) -> Exit {
    let database = match Database::new(&settings.database) {
        Ok(database) => database,
        Err(fault) => {
            tracing::error!("{fault}");
            return Exit::Usage;
        }
    };
    if let Err(exit) = super::serve::check_schema(&database, settings).await {
        return exit;
    }
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals");
        return Exit::Failure;
    };
    let app = App::new(database, settings.api.clone(), &settings.cache, settings.batches.clone());
    // Whoever starts this wants it to work, also where `serve` is told to leave the batches alone.
    let workers = Workers::start(&app, settings.batches.workers.max(1));
    tracing::info!("waiting for batches");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    workers.stopper(settings.server.drain_seconds)();
    let at_once = workers.stopping.now.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        at_once.cancel();
    });
    workers.stopped(false).await;
    app.database.primary.close().await;
    app.database.batches.close().await;
    Exit::Success
}
