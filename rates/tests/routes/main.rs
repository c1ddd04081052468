//! A module for each area of routes, by the same name; and what holds for all of them.

mod supplier_client;
#[path = "../support/mod.rs"]
mod support;

mod batches;
mod every_route;
mod explorer;
mod greeting;
mod openapi;
mod places;
mod prices;
mod rates;
mod suppliers;
