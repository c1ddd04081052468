//! HTTP. `router` lists every route and where its handler is, with a module per area; the others parse requests and
//! write what all answers share.

mod answer;
mod batch_csv;
pub(crate) mod batches;
pub(crate) mod explorer;
pub(crate) mod lane_summary;
mod lanes;
pub(crate) mod list_query;
pub(crate) mod openapi;
mod place_search;
pub(crate) mod places;
pub(crate) mod prices;
pub(crate) mod rates;
pub mod router;
mod upload_headers;
mod upload_query;
