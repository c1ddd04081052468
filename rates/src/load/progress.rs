//! Progress of long work: a bar on a terminal, nothing elsewhere (the log says when it ends).

use indicatif::{ProgressBar, ProgressStyle};

/// Work that is so many bytes long.
#[must_use]
pub fn bytes(length: u64, what: &'static str) -> ProgressBar {
    bar(length, what, "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

/// Work that is so many items long.
#[must_use]
pub fn items(length: usize, what: &'static str) -> ProgressBar {
    bar(length as u64, what, "{msg} {bar:30} {pos} of {len}, {eta} left")
}

fn bar(length: u64, what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::new(length).with_style(style).with_message(what)
}

/// Work of unknown length.
#[must_use]
pub fn count(what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {human_pos} {msg}").expect("the template is a constant");
    ProgressBar::no_length().with_style(style).with_message(what)
}
