//! A question box: data comes in by a queue, a worker stores it, and the oldest stored data is the answer.
//!
//! Start reading at `service`, which says what runs, and `routes`, which lists every route. `backend` opens the queue
//! (one of the chassis) and the [`store::Store`] that the settings name.

pub mod backend;
mod check;
mod routes;
mod service;
pub mod settings;
pub mod store;

pub use service::Multivac;
