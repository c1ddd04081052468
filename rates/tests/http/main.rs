//! A module for each file of handlers in `src/http`, by the same name; `suppliers` for keys, `privacy` for what they
//! may not learn, `uploads` for how content arrives, and `every_route` for what all routes share.

mod supplier_client;
#[path = "../support/mod.rs"]
mod support;

mod batches;
mod every_route;
mod explorer;
mod hooks;
mod lanes;
mod openapi;
mod places;
mod prices;
mod privacy;
mod rates;
mod sheets;
mod suppliers;
mod uploads;
