//! Migrations are compiled in.

fn main() {
    println!("cargo::rerun-if-changed=../db/migrations");
}
