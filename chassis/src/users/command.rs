//! `user`: the entries of users.

use std::{fs, io, io::Write, path::PathBuf};

use argon2::{Argon2, PasswordHasher};
use clap::Subcommand;

use crate::{Exit, Failure, exit::OrFail, print};

/// Commands for users.
#[derive(Subcommand)]
pub enum UserCommand {
    /// Read a password from standard input and make the user's entry
    ///
    /// A running server knows the user after its next start.
    Add {
        /// Without `:` and white space
        name: String,
        /// Put the entry into this file (`auth.users_file`), in place of that of the same user; without it the entry is
        /// printed
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

impl UserCommand {
    /// Runs the command.
    pub fn run(&self) -> Result<Exit, Failure> {
        let Self::Add { name, file } = self;
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_whitespace()) {
            return Err(Failure::new(
                Exit::Usage,
                format!("{name:?} is empty or contains `:` or white space"),
            ));
        }
        let mut password = String::new();
        io::stdin().read_line(&mut password).or_fail(Exit::NoInput, || "cannot read the password")?;
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(Failure::new(Exit::Usage, "the password is empty; give it on standard input"));
        }
        let hash = Argon2::default().hash_password(password.as_bytes());
        let hash = hash.map_err(|error| Failure::new(Exit::Failure, format!("cannot hash: {error}")))?;
        let entry = format!("{name}:{hash}\n");
        let Some(file) = file else { return Ok(print(&entry)) };
        let cannot_write = || format!("cannot write {}", file.display());
        let others = match fs::read_to_string(file) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).or_fail(Exit::NoInput, || format!("cannot read {}", file.display()));
            }
        };
        let is_other = |line: &&str| line.split_once(':').is_none_or(|(other, _)| other != name);
        let mut entries: String = others.lines().filter(is_other).flat_map(|line| [line, "\n"]).collect();
        entries.push_str(&entry);
        // The file is replaced as a whole: a server that starts meanwhile reads the old one or the new one.
        let folder =
            file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| ".".as_ref());
        let mut new = tempfile::NamedTempFile::new_in(folder).or_fail(Exit::Failure, cannot_write)?;
        new.write_all(entries.as_bytes()).or_fail(Exit::Failure, cannot_write)?;
        new.as_file().sync_all().or_fail(Exit::Failure, cannot_write)?;
        new.persist(file).or_fail(Exit::Failure, cannot_write)?;
        Ok(Exit::Success)
    }
}
