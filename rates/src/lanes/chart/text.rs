//! Texts of the picture: numbers, and the widths of texts. Widths are estimates, because fonts depend on the viewer.

use std::fmt::Write as _;

use chrono::NaiveDate;

/// A day as the picture and the page write it: `1 Oct 2021`.
pub(crate) fn date(day: NaiveDate) -> String {
    day.format("%-d %b %Y").to_string()
}

/// One day or several: `1 Oct 2021 to 7 Oct 2021`.
pub(crate) fn span(first: NaiveDate, last: NaiveDate) -> String {
    if first == last { date(first) } else { format!("{} to {}", date(first), date(last)) }
}

/// Whole dollars, in groups of three digits.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        let _ = grouped.write_char(digit);
    }
    grouped
}

/// The approximate width of a text in a common sans-serif font.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | ',' | '.' | '(' | ')' | '-' => 0.34,
            'm' | 'w' | 'M' | 'W' => 0.86,
            'A'..='Z' | '%' => 0.68,
            '\u{2e80}'.. => 1.0,
            _ => 0.56,
        })
        .sum();
    ems * size
}

/// The text, truncated to the width `widest`.
pub(super) fn fitting(text: &str, size: f64, widest: f64) -> String {
    if text_width(text, size) <= widest {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        if text_width(&cut, size) + size * 1.4 > widest {
            break;
        }
        cut.push(character);
    }
    cut.push('…');
    cut
}

pub(super) fn escape(svg: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => svg.push_str("&lt;"),
            '>' => svg.push_str("&gt;"),
            '&' => svg.push_str("&amp;"),
            other => svg.push(other),
        }
    }
}
