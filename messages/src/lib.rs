//! Stores messages and gives them back by their SHA-256.
//!
//! Start reading at [`router`]: it lists every route. The handlers are in `routes`, what they ask of is a
//! [`store::Store`].

mod certificate;
pub mod commands;
pub mod digest;
pub mod router;
mod routes;
pub mod settings;
pub mod store;
