//! An error for people: a small page without script.

use std::fmt::Write;

use http::{HeaderValue, StatusCode};

use super::FieldError;

const STYLE: &str = ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:10vh auto;\
                     padding:0 1rem}small{opacity:.7}";

/// Allows [`STYLE`] by its hash, and nothing else.
pub(crate) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-VsUjQwP2qUJI988pB6J9uN9lyOyiJLEUoLHZZd/IuKw='; frame-ancestors 'none'; base-uri 'none'",
);

pub(super) fn render(
    status: StatusCode,
    title: &str,
    detail: Option<&str>,
    errors: &[FieldError],
    request_id: Option<&str>,
) -> String {
    let (title, status) = (escape(title), status.as_u16());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n",
    );
    // Writing to a text cannot fail.
    if let Some(detail) = detail {
        let _ = writeln!(page, "<p>{}</p>", escape(detail));
    }
    if errors.len() > 1 {
        page.push_str("<ul>\n");
        for error in errors {
            let _ = writeln!(page, "<li>{}</li>", escape(&error.detail));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("<p><a href=\"/\">Start page</a></p>\n");
    let _ =
        writeln!(page, "<p><small>HTTP {status}, request {}</small></p>", escape(request_id.unwrap_or("-")));
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_the_style() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let policy = POLICY.to_str().unwrap().to_owned();
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{hash} is not in {policy}");
    }

    #[test]
    fn what_a_client_sent_is_text_and_no_markup() {
        let errors = [FieldError::new("a", "b", "<script>x</script>"), FieldError::new("a", "b", "\"&\"")];
        let page = render(StatusCode::BAD_REQUEST, "Bad", Some("<b>"), &errors, None);
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&amp;&quot;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    }
}
