//! A process of a service, from its start to its exit code.

use std::{io::IsTerminal, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use prometheus_client::registry::Registry;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing_subscriber::fmt::writer::MakeWriterExt;
use utoipa::openapi::OpenApi;

use crate::{
    Context, Exit, Failure, Parts, Role, Service, VERSION,
    configuration::Configuration,
    edge::{Edge, Edged},
    exit::OrFail,
    health,
    logfile::LogWriter,
    metrics::{self, RequestMetrics},
    openapi,
    server::{Listeners, Server},
    settings::{Loaded, ShellSettings},
    stop::{Signals, Stop},
    tasks::Tasks,
    telemetry,
};

/// The time at the very end: for tasks that were cut off to give back what they hold, or else to close connections.
const ENDING: Duration = Duration::from_secs(2);

/// The time to send the last traces.
const LAST_TRACES: Duration = Duration::from_secs(1);

/// Answers requests until it is stopped: for a command that does the same as `serve`.
pub async fn serve<S: Service>(configuration: &Configuration<S>) -> Result<Exit, Failure> {
    start(configuration, Role::Serve).await
}

/// Runs what runs beside the API, and the metrics port, until it is stopped: for a `work` command.
pub async fn work<S: Service>(configuration: &Configuration<S>) -> Result<Exit, Failure> {
    start(configuration, Role::Work).await
}

/// Starts the logs, then the rest.
async fn start<S: Service>(configuration: &Configuration<S>, role: Role) -> Result<Exit, Failure> {
    let loaded = configuration.read()?;
    let logs = &loaded.shell.logs;
    let name = if role == Role::Serve { "app.log" } else { "work.log" };
    let app_log = logs.open(name)?;
    let access_log = if role == Role::Serve { logs.open("access.log")? } else { None };
    let is_terminal = std::io::stdout().is_terminal();
    let telemetry = match &app_log {
        None => telemetry::start(&loaded.shell.telemetry, S::NAME, std::io::stdout, is_terminal, false),
        Some(app_log) => {
            let writer = app_log.writer();
            // Requests that were answered have their line in access.log.
            let app_log = (move || writer.clone())
                .with_filter(|event| event.target() != "request" || *event.level() <= tracing::Level::WARN);
            let sink = std::io::stdout.and(app_log);
            telemetry::start(&loaded.shell.telemetry, S::NAME, sink, is_terminal, true)
        }
    };
    let access_writer = access_log.as_ref().map(crate::logfile::LogFile::writer);
    let exit = run::<S>(&loaded, role, access_writer).await.unwrap_or_else(|failure| {
        tracing::error!("{failure}");
        failure.exit
    });
    // In this order: the last lines of telemetry go to the files.
    let _ = timeout(LAST_TRACES, tokio::task::spawn_blocking(|| drop(telemetry))).await;
    drop((app_log, access_log));
    Ok(exit)
}

async fn run<S: Service>(
    loaded: &Loaded<S::Settings>,
    role: Role,
    access_log: Option<LogWriter>,
) -> Result<Exit, Failure> {
    let shell = &loaded.shell;
    tracing::info!(version = VERSION, settings = loaded.changed(), "starting");
    let mut signals = Signals::listen().or_fail(Exit::Failure, || "cannot listen for signals")?;
    let stop = Stop::default();
    let mut registry = Registry::default();
    let request_metrics = RequestMetrics::register(&mut registry, S::NAME, VERSION);
    let context = Context { settings: &loaded.service, shell, role, registry: &mut registry, stop: &stop };
    let mut parts = tokio::select! {
        parts = S::build(context) => parts?,
        signal = signals.stop() => {
            tracing::info!(signal, "stopped before it was started");
            return Ok(Exit::Success);
        }
    };
    let mut server = shell.server.clone();
    if let (None, Some((certificate, key))) = (server.tls_files(), parts.tls_files.take()) {
        (server.tls_certificate_file, server.tls_key_file) = (certificate, key);
    }
    let listeners = Listeners::bind(&server, role).await?;
    listeners.register(&mut registry);

    let readiness = parts.readiness.clone().until(stop.clone());
    let private = health::router(readiness).merge(metrics::router(registry));
    let (tasks, closing) = (std::mem::take(&mut parts.tasks), std::mem::take(&mut parts.closing));
    let public = assemble::<S>(parts, shell, &stop, request_metrics, access_log);
    let mut server = listeners.serve(&server, public, private).or_fail(Exit::Failure, || "cannot serve")?;
    let mut tasks = Tasks::spawn(tasks);

    let ended = tokio::select! {
        signal = signals.stop() => Ok(signal),
        failure = server.ended() => Err(failure),
        failure = tasks.ended() => Err(failure),
    };
    let lame_duck = match &ended {
        Ok(signal) => {
            tracing::info!(signal, connections = server.connections(), "stopping");
            // Ctrl-C comes from a person who waits for the end.
            if role == Role::Serve && *signal == "SIGTERM" {
                shell.server.lame_duck()
            } else {
                Duration::ZERO
            }
        }
        Err(failure) => {
            tracing::error!("stopping: {failure}");
            Duration::ZERO
        }
    };
    let is_finished =
        Ending { server, tasks, closing, stop, signals }.run(lame_duck, shell.server.drain()).await;
    tracing::info!("stopped");
    Ok(match ended {
        Err(failure) => failure.exit,
        Ok(_) if is_finished => Exit::Success,
        Ok(_) => Exit::Temporary,
    })
}

/// What a stop has to end.
struct Ending {
    server: Server,
    tasks: Tasks,
    closing: Vec<BoxFuture<'static, ()>>,
    stop: Stop,
    signals: Signals,
}

impl Ending {
    /// Ends everything: within `lame_duck`, `drain` and [`ENDING`] together, or at once on another signal. Returns
    /// whether all of it was finished, and nothing cut off.
    async fn run(mut self, lame_duck: Duration, drain: Duration) -> bool {
        let deadline = Instant::now() + lame_duck + drain;
        self.stop.begin();
        let requests = async {
            self.server.leave();
            sleep(lame_duck).await;
            self.server.drain().await;
            self.stop.end_requests();
        };
        let is_finished = tokio::select! {
            // Checked first, so that a stop that ends at the last moment counts as finished.
            biased;
            ((), ()) = async { tokio::join!(requests, self.tasks.finish()) } => true,
            () = sleep_until(deadline) => false,
            _ = self.signals.stop() => false,
        };
        let last = async {
            if is_finished {
                join_all(self.closing).await;
            } else {
                // Tasks that were cut off may still use these connections.
                let (connections, requests) = (self.server.connections(), self.server.requests());
                let tasks = self.tasks.len();
                tracing::warn!(connections, requests, tasks, "cutting off what has not ended");
                self.stop.force();
                self.tasks.finish().await;
            }
        };
        let is_closed = tokio::select! {
            biased;
            () = last => true,
            () = sleep(ENDING) => false,
            _ = self.signals.stop() => false,
        };
        if is_finished && !is_closed {
            tracing::warn!("cutting off what has not closed");
        }
        self.server.close();
        is_finished && is_closed
    }
}

/// The routes of a service with the edge around them.
pub(crate) fn assemble<S: Service>(
    parts: Parts,
    shell: &ShellSettings,
    stop: &Stop,
    request_metrics: RequestMetrics,
    access_log: Option<LogWriter>,
) -> Edged {
    let traces = !shell.telemetry.otlp_endpoint.is_empty();
    let edge = Edge::new(&shell.server, parts.edge, request_metrics, traces, access_log);
    let mut description = describe::<S>();
    if let Some(text) = &mut description.info.description
        && !parts.note.is_empty()
    {
        *text = format!("{text} {}", parts.note);
    }
    let routes = parts.routes.merge(openapi::router(&description));
    edge.around(routes, health::router(parts.readiness.until(stop.clone())))
}

/// The description of a service's API, with what is true of every service.
pub(crate) fn describe<S: Service>() -> OpenApi {
    openapi::complete(S::openapi())
}
