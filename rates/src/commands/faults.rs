//! How faults of a file are shown to the person who sent or loaded it.

use chassis::problem::FieldError;

/// Prints a line for each fault: row, field, and what is wrong.
pub(super) fn print(faults: &[FieldError]) {
    for FieldError { row, field, detail, .. } in faults {
        match row {
            Some(row) => eprintln!("rates:   row {row}, {field}: {detail}"),
            None => eprintln!("rates:   {field}: {detail}"),
        }
    }
}
