//! The service as the chassis runs it.

use std::{sync::Arc, time::Duration};

use axum::Router;
use chassis::{
    Configuration, Context, Exit, Failure, Parts, Role, Service,
    health::Readiness,
    jobs::JobsCommand,
    postgres,
    users::{UserCommand, Users},
};
use clap::Subcommand;
use utoipa::OpenApi;

use crate::{
    backend::{Backend, MIGRATOR},
    check::{self, CheckOptions},
    routes::{self, Api},
    settings::Settings,
    store::Storing,
};

/// `/readyz` gives up after this time.
const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// A question box with a queue and a worker.
pub struct Multivac;

/// The commands of this service, in addition to those of every service.
#[derive(Subcommand)]
pub enum Command {
    /// Store what is queued, without the API (only the metrics port)
    ///
    /// Any number of these may run. Where queue and store are in a file, the server does this itself.
    Work,
    /// Create or update the tables in PostgreSQL
    Migrate,
    /// List, repeat and remove the jobs of the queue
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Manage who may post and delete
    #[command(subcommand)]
    User(UserCommand),
    /// Post a probe to a server, wait until it is stored, read and delete it
    ///
    /// Needs no settings of this machine. Exit codes: 0 all is well; 1 a wrong answer; 69 no answer.
    Check(CheckOptions),
}

impl Service for Multivac {
    const NAME: &'static str = "multivac";
    const ABOUT: &'static str = "A question box: data in by a queue, the answer out\n\nListens on port 5000. The queue \
                                 is in Redis (REDIS_URL) or PostgreSQL, the store in PostgreSQL (DATABASE_URL); \
                                 without either, both are in a file.";
    type Settings = Settings;
    type Command = Command;

    fn openapi() -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    async fn build(context: Context<'_, Self>) -> Result<Parts, Failure> {
        let settings = context.settings;
        let backend = Backend::open(settings).await?;
        if backend.file.is_some() && context.role == Role::Work {
            let fault = "queue and store are in a file, which the server alone works on; set DATABASE_URL for a \
                         worker of its own";
            return Err(Failure::new(Exit::Usage, fault));
        }
        backend.queue.register(context.registry);
        let works = context.role == Role::Work || backend.file.is_some() || settings.worker.in_server;
        let options = settings.worker.options(works);
        let storing = Arc::new(Storing(Arc::clone(&backend.store)));
        let workers = Arc::clone(&backend.queue).run(storing, options, context.stop.clone());
        let asked = backend.clone();
        let readiness = Readiness::new(READY_TIMEOUT, move || asked.clone().ready());
        let routes = match context.role {
            Role::Serve => {
                let users = Arc::new(Users::new(&settings.auth, &context.shell.server)?);
                routes::router(backend.clone(), &users)
            }
            Role::Work => Router::new(),
        };
        let parts = Parts::new(routes, readiness).task("workers", workers);
        let parts = match &backend.primary {
            Some(primary) => parts.task("failover", Arc::clone(primary).follow(context.stop.clone())),
            None => parts,
        };
        Ok(parts.closing(async move { backend.close().await }))
    }

    async fn run(command: Command, configuration: &Configuration<Self>) -> Result<Exit, Failure> {
        match command {
            Command::Work => chassis::work(configuration).await,
            Command::Migrate => {
                let settings = configuration.load()?.service;
                postgres::migrate(&settings.database, &MIGRATOR, include_str!("app_role.sql")).await
            }
            Command::Jobs(command) => {
                let backend = Backend::open(&configuration.load()?.service).await?;
                command.run(&*backend.queue).await
            }
            Command::User(command) => command.run(),
            Command::Check(options) => check::check(&options).await,
        }
    }
}
