//! The binary: everything is in [`rde::cli`].

use std::process::ExitCode;

/// Many short-lived buffers of a batch's size: mimalloc gives them back to the system sooner than the default allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rde::cli::main().into()
}
