//! What a key may do.

use clap::ValueEnum;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Scope {
    /// Read rates and places, where reads need a key
    Read,
    /// Send batches; list and withdraw one's own
    Write,
    /// Both, and the batches of all suppliers
    Admin,
}

impl Scope {
    /// Its name in the database and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Whether a key of this scope may do what needs the other.
    pub(crate) fn includes(self, needed: Self) -> bool {
        self == needed || self == Self::Admin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admin_includes_other_scopes() {
        use Scope::{Admin, Read, Write};
        for (scope, included) in [(Read, &[Read][..]), (Write, &[Write]), (Admin, &[Read, Write, Admin])] {
            for needed in [Read, Write, Admin] {
                assert_eq!(scope.includes(needed), included.contains(&needed), "{scope:?} {needed:?}");
            }
        }
    }
}
