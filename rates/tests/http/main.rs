//! A module for each file of handlers in `src/http`, by the same name; and `every_route` for what holds for all of them.

mod supplier_client;
#[path = "../support/mod.rs"]
mod support;

mod batches;
mod every_route;
mod explorer;
mod openapi;
mod places;
mod prices;
mod rates;
mod suppliers;
