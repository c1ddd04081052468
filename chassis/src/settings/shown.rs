//! Values without secrets, for people.

use config::Value;

/// A value without what may be secret: settings whose name says so, and the user part and query of a URL.
pub(super) fn value(key: &str, value: &Value) -> String {
    let text = value.to_string();
    let is_secret = ["password", "secret", "token", ".key", ".users"].iter().any(|word| key.ends_with(word));
    if is_secret && !text.is_empty() {
        return "***".into();
    }
    // A comma may be part of a password: only a scheme begins another URL.
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        match urls.last_mut() {
            Some(url) if !part.contains("://") => *url = format!("{url},{part}"),
            _ => urls.push(part.to_owned()),
        }
    }
    urls.iter().map(|url| hide_credentials(url)).collect::<Vec<_>>().join(",")
}

fn hide_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // First the query, which may contain an @ as well.
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    let (user, host) = rest.rsplit_once('@').map_or(("", rest), |(_, host)| ("***@", host));
    format!("{scheme}://{user}{host}{query}")
}
