//! What every service of the platform starts on: settings, telemetry, problem responses, health, TLS and a graceful
//! stop. It knows no service, and no service knows another.
//!
//! A service reads its [`settings`], starts its [`telemetry`], builds an axum router and hands it to
//! [`server::serve`], which returns when the process should end.

mod access;
mod connection;
pub mod edge;
pub mod exit;
pub mod extract;
pub mod health;
pub mod logfile;
pub mod metrics;
pub mod openapi;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod problem;
mod security;
pub mod server;
pub mod settings;
pub mod telemetry;

pub use exit::Exit;
pub use problem::Problem;

/// Version and git revision of the program, as logs, `--version` and the API description show them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("GIT_REVISION"));
