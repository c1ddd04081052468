//! What the edge does to requests of any service.

mod support;

mod answers;
mod cors;
mod limits;
mod log;
mod problems;
mod ready;
mod streaming;
