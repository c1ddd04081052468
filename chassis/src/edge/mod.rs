//! What happens to every request before and after its handler. A request passes these parts in this order:
//!
//! | part | what it does |
//! | --- | --- |
//! | `ready` | answers from memory before the request is routed |
//! | `cors` | lets pages of other origins read answers |
//! | `guard` | around each route: catches panics, cuts what takes too long |
//! | `client` | finds the client's address behind trusted proxies |
//! | `request`, `trace` | the id of the request, and the trace that it belongs to |
//! | `limits` | refuses too many requests in flight and too large bodies |
//! | *the handler* | |
//! | `problems` | completes errors: request id, page for browsers |
//! | `endpoint`, `log` | measures, and logs one line |
//! | `headers` | security headers |
//! | `compress` | compresses where the client asks for it |
//! | `streaming`, `access` | counts a request until its body has been sent; the access log |
//!
//! `guard` is applied inside routing, so that it knows the matched route.

mod access;
mod client;
mod compress;
mod cors;
mod endpoint;
mod guard;
mod headers;
mod limits;
mod log;
mod problems;
mod ready;
mod request;
mod streaming;
mod trace;

use std::{collections::HashMap, sync::Arc};

use axum::{Router, extract::Request, response::Response};
use http::{HeaderName, StatusCode};
use tower_http::cors::CorsLayer;

pub use client::ClientAddress;
use guard::GuardLayer;
pub use limits::Limits;
pub use ready::Edged;

use crate::{Problem, logfile::LogWriter, metrics::RequestMetrics, settings::ServerSettings};

/// The answer to a GET, if it is in memory.
type ReadyAnswer = dyn Fn(&Request) -> Option<Response> + Send + Sync;

/// Options of a service for the edge, in addition to the settings.
#[derive(Default)]
pub struct EdgeOptions {
    limits: HashMap<&'static str, Limits>,
    ready: Option<(&'static str, Box<ReadyAnswer>)>,
    detail_member: Option<&'static str>,
    status_member: Option<&'static str>,
    browser_headers: Vec<HeaderName>,
}

impl EdgeOptions {
    /// Gives one route, by its pattern, limits of its own. A handler that reads its body as a stream must enforce the
    /// size itself: the edge knows only a declared length.
    #[must_use]
    pub fn limits(mut self, route: &'static str, limits: Limits) -> Self {
        self.limits.insert(route, limits);
        self
    }

    /// Calls `answer` before a GET of exactly this path is routed; a request that it does not answer is routed as
    /// usual. Everything else that the edge does is still done.
    ///
    /// For a route whose answers are mostly in memory: routing, with its futures and copies, is a notable part of the
    /// cost of such an answer. `answer` must not block. Not used where CORS is on or spans are exported.
    #[must_use]
    pub fn ready(
        mut self,
        path: &'static str,
        answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.ready = Some((path, Box::new(answer)));
        self
    }

    /// Repeats the detail (or title) of each problem as a member of this name, for clients that look for the error
    /// there.
    #[must_use]
    pub fn repeat_detail_as(mut self, member: &'static str) -> Self {
        self.detail_member = Some(member);
        self
    }

    /// Repeats the status of each problem as a member of this name, for clients that look for it there.
    #[must_use]
    pub fn repeat_status_as(mut self, member: &'static str) -> Self {
        self.status_member = Some(member);
        self
    }

    /// Lets pages of the configured origins send these request headers, beside those that every service takes.
    #[must_use]
    pub fn browser_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.browser_headers.extend(names);
        self
    }
}

/// The limits and instruments that requests pass.
pub(crate) struct Edge {
    metrics: RequestMetrics,
    limits: Limits,
    options: EdgeOptions,
    /// More requests in flight are refused.
    concurrency: usize,
    trusted_proxies: usize,
    cors: Option<CorsLayer>,
    /// Whether spans leave this process.
    traces: bool,
    access_log: Option<LogWriter>,
}

impl Edge {
    pub(crate) fn new(
        settings: &ServerSettings,
        options: EdgeOptions,
        metrics: RequestMetrics,
        traces: bool,
        access_log: Option<LogWriter>,
    ) -> Self {
        Self {
            metrics,
            limits: Limits { timeout: settings.request_timeout(), body_bytes: settings.body_limit_bytes },
            concurrency: settings.concurrency,
            trusted_proxies: settings.trusted_proxies,
            cors: cors::layer(&settings.cors_origins.0, &options.browser_headers),
            options,
            traces,
            access_log,
        }
    }

    /// Puts the edge around `routes`, with 404 and 405 as problems. `health` answers whatever the load is.
    pub(crate) fn around(self, routes: Router, health: Router) -> Edged {
        let edge = Arc::new(self);
        let routes = routes
            .merge(health)
            .fallback(async || {
                Problem::not_found("There is nothing at this path; GET /openapi.json lists what is.")
            })
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED).detail(
                    "This path does not take this method; the header Allow lists those that it takes.",
                )
            })
            .layer(GuardLayer(Arc::clone(&edge)));
        let routes = match &edge.cors {
            Some(cors) => routes.layer(cors.clone()),
            None => routes,
        };
        Edged::new(routes, &edge)
    }
}
