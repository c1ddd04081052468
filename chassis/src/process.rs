//! A process of a service, from its start to its exit code.

use std::{io::IsTerminal, time::Duration};

use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use tokio::time::{sleep, timeout};
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
    server::Listeners,
    settings::{Loaded, ShellSettings},
    stop::{Signals, Stop},
    tasks::Tasks,
    telemetry,
};

/// What a task that was cut off may still take, to give back what it holds.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// What the end may take once nothing runs any more.
const CLOSING: Duration = Duration::from_secs(2);

/// Answers requests until it is stopped: for a command that names what `serve` does.
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
    // In this order: what telemetry still has to say goes to the files.
    drop(telemetry);
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
    match &ended {
        Ok(signal) => tracing::info!(signal, connections = server.connections(), "stopping"),
        Err(failure) => tracing::error!("stopping: {failure}"),
    }
    stop.begin();
    let graceful = tokio::select! {
        // First whether all has ended, so that a stop within its time is not taken for one that was cut.
        biased;
        ((), ()) = async { tokio::join!(server.drain(), tasks.finish()) } => true,
        () = sleep(shell.server.drain()) => false,
        _ = signals.stop() => false,
    };
    if !graceful {
        tracing::warn!(connections = server.connections(), "cutting off what has not ended");
        stop.force();
        let _ = timeout(GIVING_BACK, tasks.finish()).await;
    }
    server.close();
    // What was cut off may still use what would be closed here.
    if graceful {
        let _ = timeout(CLOSING, join_all(closing)).await;
    }
    tracing::info!("stopped");
    match ended {
        Err(failure) => Ok(failure.exit),
        Ok(_) if graceful => Ok(Exit::Success),
        Ok(_) => Ok(Exit::Temporary),
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
    let routes = parts.routes.merge(openapi::router(&describe::<S>()));
    edge.around(routes, health::router(parts.readiness.until(stop.clone())))
}

/// The description of a service's API, with what is true of every service.
pub(crate) fn describe<S: Service>() -> OpenApi {
    openapi::complete(S::openapi())
}
