//! The shell that every service of the platform runs in: command line, settings, logs, metrics, health, TLS, the edge
//! around every request, a graceful stop, and what services with a database or a queue need. It depends on no
//! service, and no service depends on another.
//!
//! A service implements [`Service`], and its `main` is [`main`]. `examples/hello.rs` is a complete service.

pub mod accept;
mod body;
mod command_line;
pub mod compression;
mod configuration;
mod crypto;
pub mod edge;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod exit;
pub mod extract;
pub mod form;
pub mod health;
#[cfg(feature = "jobs")]
pub mod jobs;
pub mod logfile;
pub mod metrics;
pub mod openapi;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod problem;
mod process;
#[cfg(feature = "progress")]
pub mod progress;
pub mod rate_limit;
pub mod server;
mod service;
pub mod settings;
mod stop;
mod tasks;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "users")]
pub mod users;
#[cfg(feature = "worker")]
pub mod worker;

pub use command_line::{main, print};
pub use configuration::Configuration;
pub use crypto::use_ring;
pub use exit::{Exit, Failure};
pub use problem::Problem;
pub use process::{serve, work};
pub use service::{Context, NoCommand, Parts, Role, Service};
pub use stop::Stop;

/// Version and git revision of the program, as logs, `--version` and the API description show them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("GIT_REVISION"));
