//! Real processes: a sender, a receiver, and what arrives.

mod crash;
mod place;
mod prices;
mod receiver;
mod sender;
mod tls;
