//! Tables for people.

/// The rows as lines; each column is as wide as its widest value. The first row is the header.
pub(super) fn format<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = rows.iter().map(|row| {
        let columns = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        columns.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}
