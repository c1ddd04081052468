//! Formats the faults of a file for the user.

use chassis::problem::FieldError;

/// A line for each fault: row, field, and what is wrong. Each begins with a line end, to follow a message.
pub(super) fn lines(faults: &[FieldError]) -> String {
    let line = |FieldError { row, field, detail, .. }: &FieldError| match row {
        Some(row) => format!("\n  row {row}, {field}: {detail}"),
        None => format!("\n  {field}: {detail}"),
    };
    faults.iter().map(line).collect()
}
