//! `GET /upload`: a form for those with a key that may write. It sends a sheet as any client would; nothing of it is in
//! an address.

use askama::Template;

use super::assets::{ASSETS, Assets};

#[derive(Template)]
#[template(path = "upload.html")]
struct Page<'a> {
    assets: &'static Assets,
    /// What a price is for.
    container: &'a str,
}

/// The page; `container` is what a price is for.
pub(crate) fn page(container: &str) -> askama::Result<String> {
    Page { assets: &ASSETS, container }.render()
}
