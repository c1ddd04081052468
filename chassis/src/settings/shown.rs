//! Values as people may see them.

use config::Value;

/// A value without what may be secret: settings whose name says so, and the user part and query of a URL.
pub(super) fn value(key: &str, value: &Value) -> String {
    let text = value.to_string();
    let is_secret = ["password", "secret", "token", ".key"].iter().any(|word| key.ends_with(word));
    if is_secret && !text.is_empty() {
        return "***".into();
    }
    text.split(',').map(hide_credentials).collect::<Vec<_>>().join(",")
}

fn hide_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
    let host = host.split_once('?').map_or_else(|| host.clone(), |(host, _)| format!("{host}?***"));
    format!("{scheme}://{host}")
}
