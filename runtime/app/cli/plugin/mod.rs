//! `rde plugin`: make, build, look at, test and measure plugins, with the host that runs them.

mod bench;
mod build;
mod cases;
mod drive;
mod inspect;
mod new;
mod table;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TextOrJson;
use super::output::Exit;

/// What can be done with a plugin.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Begin a plugin in a new folder; works anywhere and never overwrites.
    New(NewArgs),
    /// Compile a plugin to a component.
    Build(BuildArgs),
    /// Show what a component is: name, version, world, imports, wants, digest.
    Inspect(InspectArgs),
    /// Run a plugin's cases through the real host.
    Test(TestArgs),
    /// Measure a plugin, beside the same bytes through memcpy.
    Bench(BenchArgs),
}

/// Options of `new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Name of the plugin and of its folder.
    name: String,
    /// Language: `rust` in this version.
    #[arg(long, default_value = "rust")]
    lang: String,
}

/// Options of `build`.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Folder of the plugin.
    dir: PathBuf,
    /// The component to write.
    #[arg(short, long, value_name = "FILE.wasm")]
    output: PathBuf,
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component.
    file: PathBuf,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
    #[arg(long, hide = true)]
    effective: bool,
}

/// Options of `test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Folder of a plugin (it is built first) or a component with `cases/` beside it.
    target: PathBuf,
    /// Write the expected files from what comes out.
    #[arg(long)]
    update: bool,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// The component.
    file: PathBuf,
    /// Rows to use: a CSV or Parquet file; default: the first case beside the component, else made-up rows.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Rows of a batch.
    #[arg(long, default_value_t = 8192)]
    rows: usize,
    /// Configuration of the plugin (JSON file).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
}

/// Runs a command.
pub(super) fn run(command: PluginCommand) -> Exit {
    let outcome = match command {
        PluginCommand::New(args) => new::run(&args),
        PluginCommand::Build(args) => build::run(&args),
        PluginCommand::Inspect(args) => inspect::run(&args),
        PluginCommand::Test(args) => test::run(&args),
        PluginCommand::Bench(args) => bench::run(&args),
    };
    outcome.unwrap_or_else(|failure| {
        super::output::error(&failure);
        if failure.kind() == rde_core::ErrorKind::Config { Exit::Usage } else { Exit::Failed }
    })
}
