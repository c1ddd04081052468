//! Progress bars, shown only on a terminal. Elsewhere the log records the end of the work.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// A progress bar for this many bytes.
#[must_use]
pub fn bytes(length: u64, what: &'static str) -> ProgressBar {
    bar(length, what, "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

/// A progress bar for this many items.
#[must_use]
pub fn items(length: usize, what: &'static str) -> ProgressBar {
    bar(length as u64, what, "{msg} {bar:30} {pos} of {len}, {eta} left")
}

fn bar(length: u64, what: &'static str, template: &str) -> ProgressBar {
    ProgressBar::new(length).with_style(style(template)).with_message(what)
}

/// A spinner for work of unknown length.
#[must_use]
pub fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::no_length().with_style(style("{spinner} {msg}, {elapsed}")).with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// Turns a bar into a spinner for the last part of the work, whose length is unknown.
pub fn turn_into_spinner(bar: &ProgressBar, what: &'static str) {
    bar.set_style(style("{spinner} {msg}, {elapsed}"));
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(120));
}

/// Streams a file and updates the bar. At the end of the file the bar turns into a spinner, because the content is
/// still being processed.
pub fn file_pieces(
    file: File,
    bar: &ProgressBar,
    next: &'static str,
) -> impl Stream<Item = io::Result<Bytes>> + Unpin + use<> {
    let bar = bar.clone();
    ReaderStream::with_capacity(file, 1 << 16).inspect(move |piece| {
        bar.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        if bar.length().is_some_and(|length| bar.position() >= length) {
            turn_into_spinner(&bar, next);
        }
    })
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}
