//! Tells the binary its commit, for `rde --version`.

use std::process::Command;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = commit.ok().filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    #[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
    {
        println!("cargo::rustc-env=RDE_COMMIT={}", commit.trim());
        println!("cargo::rerun-if-changed=.git/logs/HEAD");
        println!("cargo::rerun-if-changed=runtime/app/build.rs");
    }
}
