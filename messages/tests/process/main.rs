//! The real binary: TLS, logs, crashes, outages, and its commands.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod crash;
mod full_disk;
mod logs;
mod server;
mod tls;
