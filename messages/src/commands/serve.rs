//! `messages serve`.

use chassis::{Exit, VERSION, logfile::LogFile, server, settings::Loaded, telemetry};
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::{certificate, router, settings::Settings, store};

/// Starts the logs, then serves.
pub(super) fn serve(loaded: &Loaded<Settings>) -> Exit {
    let settings = &loaded.settings;
    let open = |name| settings.logs.open(name);
    let (app_log, access_log) = match open("app.log").and_then(|app| Ok((app, open("access.log")?))) {
        Ok(logs) => logs,
        Err(fault) => {
            eprintln!("messages: {fault}; logs.folder (MESSAGES_LOG_DIR) names another folder, or none");
            return Exit::Failure;
        }
    };
    let telemetry = match &app_log {
        None => telemetry::start(&settings.telemetry, "messages", std::io::stdout),
        Some(app_log) => {
            let lines = app_log.lines();
            // Requests that were answered have their line in access.log.
            let app_log = (move || lines.clone())
                .with_filter(|event| event.target() != "request" || *event.level() <= tracing::Level::WARN);
            telemetry::start(&settings.telemetry, "messages", std::io::stdout.and(app_log))
        }
    };
    let exit = super::block_on(run(loaded, access_log.as_ref()));
    drop(telemetry);
    drop((app_log, access_log));
    exit
}

async fn run(loaded: &Loaded<Settings>, access_log: Option<&LogFile>) -> Exit {
    let mut settings = loaded.settings.clone();
    let given: Vec<String> = loaded
        .origins
        .iter()
        .filter(|(_, origin)| origin.from != "default")
        .map(|(name, origin)| format!("{name}={}", origin.value))
        .collect();
    tracing::info!(version = VERSION, settings = given.join(" "), "starting");

    if settings.tls.enabled && settings.server.tls_certificate_file.is_empty() {
        match certificate::find_or_make(&settings.tls) {
            Ok((certificate, key)) => {
                settings.server.tls_certificate_file = certificate.display().to_string();
                settings.server.tls_key_file = key.display().to_string();
            }
            Err(fault) => {
                tracing::error!("{fault}");
                return Exit::Failure;
            }
        }
    }
    let store = match store::open(&settings) {
        Ok(store) => store,
        Err(fault) => {
            tracing::error!("{fault}");
            return Exit::Unavailable;
        }
    };
    if let Err(error) = store.ping().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the store is away; answering 503 until it is back");
    }
    let (public, private) = router::routers(&store, &settings, access_log.map(LogFile::lines), VERSION);
    match server::serve(&settings.server, public, private, || {}).await {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error}");
            Exit::Failure
        }
    }
}
