//! Sends the JSON files of a folder, converted to XML and encrypted, and receives them: each arrives whole and once.
//!
//! Start reading at `service`, which says what runs. `receiver` and `sender` are the two sides; `xml` and `fernet` are
//! what the files become on the way.

pub mod fernet;
mod keys;
mod names;
mod receiver;
mod sender;
mod service;
pub mod settings;
mod store;
pub mod xml;

pub use service::Transfer;
