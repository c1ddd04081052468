//! Stores messages and gives them back by their SHA-256.
//!
//! Start reading at `service`, which says what runs, and `router`, which lists every route. The handlers are in
//! `routes`; they keep messages in a [`store::Store`].

mod certificate;
pub mod digest;
mod probe;
mod router;
mod routes;
mod service;
pub mod settings;
pub mod store;

pub use service::Messages;
