//! Git tells which revision this is.

use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "a build script has no settings")]
fn main() {
    println!("cargo::rerun-if-env-changed=GIT_REVISION");
    println!("cargo::rerun-if-changed=../.git/HEAD");
    // An image build has no .git and gives the revision itself.
    let revision = std::env::var("GIT_REVISION").ok().filter(|revision| !revision.is_empty()).or_else(|| {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    println!("cargo::rustc-env=GIT_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}
