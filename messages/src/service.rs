//! The service as the chassis runs it.

use std::{sync::Arc, time::Duration};

use chassis::{Configuration, Context, Exit, Failure, Parts, Service, edge::EdgeOptions, health::Readiness};
use clap::Subcommand;
use utoipa::OpenApi;

use crate::{
    certificate,
    probe::{self, CleanOptions, Server},
    router::{self, Api},
    routes::App,
    settings::Settings,
    store::{self, Store},
};

/// `/readyz` gives up on the store after this time.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Stores messages and gives them back by their SHA-256.
pub struct Messages;

/// The commands of this service, in addition to those of every service.
#[derive(Subcommand)]
pub enum Command {
    /// Store, read and delete a probe on a server, for watchdogs
    ///
    /// Needs no settings of this machine. Exit codes: 0 all is well; 1 a wrong answer; 69 no answer.
    Check(Server),
    /// Delete messages, to reset a test run
    ///
    /// Needs no settings of this machine. A message that is not there counts as deleted.
    Clean(CleanOptions),
}

impl Service for Messages {
    const NAME: &'static str = "messages";
    const ABOUT: &'static str = "Store a message, get it back by its SHA-256\n\nSpeaks HTTPS on port 5000, and makes a \
                                 self-signed certificate where there is none. Messages are in a file, or in Redis where \
                                 MESSAGES_REDIS_HOST names one.";
    type Settings = Settings;
    type Command = Command;

    fn openapi() -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    async fn build(context: Context<'_, Self>) -> Result<Parts, Failure> {
        let settings = context.settings;
        let has_certificate = !context.shell.server.tls_certificate_file.as_os_str().is_empty();
        let tls_files = if settings.tls.enabled && !has_certificate {
            Some(certificate::find_or_make(&settings.tls)?)
        } else {
            None
        };
        let store = store::open(settings)?;
        if let Err(error) = store.ping().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the store does not answer; answering 503 until it does");
        }
        let readiness = readiness(&store);
        let app = App { store, message_limit_bytes: settings.api.message_limit_bytes };
        Ok(Parts::new(router::router(app), readiness)
            .edge(EdgeOptions::default().repeat_detail_as("err_msg"))
            .tls_files(tls_files))
    }

    async fn run(command: Command, _: &Configuration<Self>) -> Result<Exit, Failure> {
        match command {
            Command::Check(server) => probe::check(&server).await,
            Command::Clean(options) => probe::clean(&options).await,
        }
    }
}

fn readiness(store: &Arc<dyn Store>) -> Readiness {
    let store = Arc::clone(store);
    Readiness::new(READY_TIMEOUT, move || {
        let store = Arc::clone(&store);
        async move {
            store.ping().await.map_err(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store does not answer");
                "the store does not answer".to_owned()
            })
        }
    })
}
