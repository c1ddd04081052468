//! Which of several media types a client prefers.

use http::HeaderValue;

/// Returns the offered media type that `Accept` ranks highest, or the first if it has no preference. Also the first if
/// `Accept` excludes all: an answer in another form is more useful than 406, and RFC 9110 allows both.
pub fn preferred<'h>(
    accept: impl IntoIterator<Item = &'h HeaderValue>,
    offers: &[&'static str],
) -> &'static str {
    let values: Vec<&str> = accept.into_iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<(&str, f32)> =
        values.iter().flat_map(|value| value.split(',')).map(parse_range).collect();
    let mut best = (offers[0], 0.0);
    for offer in offers {
        // The most specific matching range decides, whatever its weight.
        let fitting = ranges.iter().filter_map(|(range, weight)| Some((specificity(range, offer)?, *weight)));
        let weight = fitting.max_by_key(|(specificity, _)| *specificity).map_or(0.0, |(_, weight)| weight);
        if weight > best.1 {
            best = (offer, weight);
        }
    }
    best.0
}

fn parse_range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (range, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
}

fn specificity(range: &str, offer: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    if range == "*/*" {
        return Some(0);
    }
    let (kind, _) = offer.split_once('/')?;
    range.strip_suffix("/*").filter(|range| range.eq_ignore_ascii_case(kind)).map(|_| 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json";
    const CSV: &str = "text/csv";
    const SVG: &str = "image/svg+xml";
    const HTML: &str = "text/html";

    #[test]
    fn the_offer_is_the_one_that_accept_ranks_highest() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        const IMG: &str = "image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8";
        for (accept, expected) in [
            ("", JSON),
            ("*/*", JSON),
            (BROWSER, JSON),
            (IMG, SVG),
            ("image/*", SVG),
            ("text/csv", CSV),
            ("Text/CSV; header=present", CSV),
            ("text/csv;q=0.5, application/json;q=0.4", CSV),
            ("text/csv;q=0.4, application/json", JSON),
            ("text/*, application/json;q=0.9", CSV),
            ("*/*, text/csv;q=0, application/json;q=0.1", SVG),
            ("application/pdf", JSON),
            ("text/csv;q=nonsense", JSON),
        ] {
            let accept = HeaderValue::from_static(accept);
            assert_eq!(preferred([&accept], &[JSON, CSV, SVG]), expected, "{accept:?}");
        }
        assert_eq!(preferred([&HeaderValue::from_static(BROWSER)], &[JSON, HTML]), HTML);
        let two = [HeaderValue::from_static("text/csv;q=0.1"), HeaderValue::from_static(SVG)];
        assert_eq!(preferred(&two, &[JSON, CSV, SVG]), SVG);
        assert_eq!(preferred([], &[JSON, HTML]), JSON);
    }
}
