//! `GET /upload`: a form for those with a key that may write. It sends a sheet as any client would; nothing of it is in
//! an address.

use askama::Template;

use super::assets::{ASSETS, Assets};

#[derive(Template)]
#[template(path = "upload.html")]
struct Page {
    assets: &'static Assets,
}

/// The page.
pub(crate) fn page() -> askama::Result<String> {
    Page { assets: &ASSETS }.render()
}
