//! What a service must provide; the chassis does the rest. `examples/hello.rs` is a complete service.

use std::{future::Future, path::PathBuf};

use axum::Router;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use utoipa::openapi::OpenApi;

use crate::{
    Exit, Failure,
    configuration::Configuration,
    edge::EdgeOptions,
    health::Readiness,
    settings::{Settings, ShellSettings},
    stop::Stop,
};

/// A service: its name, settings, commands and parts.
pub trait Service: Sized + 'static {
    /// The name of the binary and of its settings file, in lower case. In upper case it begins environment variables.
    const NAME: &'static str;

    /// The help text of the binary: a line, and after a blank line more.
    const ABOUT: &'static str;

    /// Its settings, in addition to those of every service.
    type Settings: Settings;

    /// Its commands, in addition to those of every service; [`NoCommand`] for none.
    type Command: clap::Subcommand;

    /// The description of its API.
    fn openapi() -> OpenApi;

    /// Builds what a process of the service runs. Nothing is served until this returns.
    fn build(context: Context<'_, Self>) -> impl Future<Output = Result<Parts, Failure>> + Send;

    /// Runs one of the commands. The log goes to standard error, so that standard output has only the result.
    fn run(
        command: Self::Command,
        configuration: &Configuration<Self>,
    ) -> impl Future<Output = Result<Exit, Failure>>;
}

/// For a service without commands of its own.
#[derive(clap::Subcommand)]
pub enum NoCommand {}

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The API, and what runs beside it.
    Serve,
    /// Only what runs beside the API, and the metrics port.
    Work,
}

/// What a service is built from.
pub struct Context<'a, S: Service> {
    /// The settings of the service.
    pub settings: &'a S::Settings,
    /// The settings that every service has.
    pub shell: &'a ShellSettings,
    /// What the process is to run.
    pub role: Role,
    /// Where metrics are registered.
    pub registry: &'a mut Registry,
    /// Whether the process is to stop.
    pub stop: &'a Stop,
}

/// What a process of a service consists of.
pub struct Parts {
    pub(crate) routes: Router,
    pub(crate) readiness: Readiness,
    pub(crate) edge: EdgeOptions,
    pub(crate) tasks: Vec<(&'static str, BoxFuture<'static, ()>)>,
    pub(crate) closing: Vec<BoxFuture<'static, ()>>,
    pub(crate) tls_files: Option<(PathBuf, PathBuf)>,
    pub(crate) note: String,
}

impl Parts {
    /// Routes, and what `/readyz` asks.
    #[must_use]
    pub fn new(routes: Router, readiness: Readiness) -> Self {
        Self {
            routes,
            readiness,
            edge: EdgeOptions::default(),
            tasks: Vec::new(),
            closing: Vec::new(),
            tls_files: None,
            note: String::new(),
        }
    }

    /// The same with a sentence that `/openapi.json` adds to the description of the API, about effects of the
    /// configuration.
    #[must_use]
    pub fn note(mut self, note: String) -> Self {
        self.note = note;
        self
    }

    /// The same with these options of the edge.
    #[must_use]
    pub fn edge(mut self, options: EdgeOptions) -> Self {
        self.edge = options;
        self
    }

    /// The same with a task that runs beside the API. It must end soon after [`Stop::begun`] (or, if requests depend on
    /// it, [`Stop::requests_ended`]), at once after [`Stop::forced`], and not before: the process fails if it does.
    #[must_use]
    pub fn task(mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.tasks.push((name, Box::pin(task)));
        self
    }

    /// The same with something to do after the last request and the last task have ended.
    #[must_use]
    pub fn closing(mut self, close: impl Future<Output = ()> + Send + 'static) -> Self {
        self.closing.push(Box::pin(close));
        self
    }

    /// The same with HTTPS by this certificate and key, unless the settings name others.
    #[must_use]
    pub fn tls_files(mut self, files: Option<(PathBuf, PathBuf)>) -> Self {
        self.tls_files = files;
        self
    }
}
