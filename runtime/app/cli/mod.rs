//! The command line: what a user can say, and which exit code answers.
//!
//! Results go to standard output, everything else to standard error. Only this module reads flags and the environment.
//! Exit codes: 0 done, 1 the run failed, 2 configuration or command line, 3 fenced, 4 `verify` or `plugin test` found a
//! difference.

mod docs;
mod graph;
mod output;
mod plugin;
mod progress;
mod run;
mod validate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use output::Exit;
use output::Style;

use crate::logging;

/// What `rde --version` prints.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("RDE_COMMIT"), ", plugin interface rde:plugin@0.1.0)");

/// A dataflow runtime: a YAML file names sources, transforms and sinks; RDE runs that graph over Arrow batches.
#[derive(Debug, Parser)]
#[command(name = "rde", version = VERSION, arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    /// No colour, no progress bar, ASCII only.
    #[arg(long, global = true)]
    plain: bool,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline until every source has ended, or until SIGINT or SIGTERM (drain, commit, exit).
    Run(RunArgs),
    /// Check pipelines without running them: parse, look at local files and plugins, type-check every edge.
    Validate(ValidateArgs),
    /// Show the graph of a pipeline with the schema of every edge.
    Graph(GraphArgs),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Print the reference of the operators.
    Docs(DocsArgs),
    /// Explain an error code, for example `rde explain RDE0104`.
    Explain {
        /// The code; `104` is short for `RDE0104`.
        code: String,
    },
    /// Make, build, look at, test and measure plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Look at checkpoints (not in this version).
    #[command(hide = true)]
    Checkpoint(Later),
    /// Prove a table against its source (not in this version).
    #[command(hide = true)]
    Verify(Later),
    /// Read dead letters (not in this version).
    #[command(hide = true)]
    Dlq(Later),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Write the run report (JSON) to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace a value of the file: `--set transforms.delays.sql.query=…`; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Serve /metrics, /health/live and /health/ready at this address, for example 127.0.0.1:9090.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    #[command(flatten)]
    later: LaterRunArgs,
}

/// Options of later versions, known so that they answer by name.
#[derive(Debug, Args)]
struct LaterRunArgs {
    #[arg(long, hide = true)]
    fresh: bool,
    #[arg(long, hide = true)]
    yes: bool,
    #[arg(long, hide = true)]
    standby: bool,
    #[arg(long, hide = true)]
    takeover: bool,
    #[arg(long, hide = true)]
    watch: bool,
    #[arg(long, hide = true, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "NAME")]
    tenant: Option<String>,
}

impl LaterRunArgs {
    fn first(&self) -> Option<&'static str> {
        let flags = [
            (self.fresh, "--fresh"),
            (self.yes, "--yes"),
            (self.standby, "--standby"),
            (self.takeover, "--takeover"),
            (self.watch, "--watch"),
            (self.policy.is_some(), "--policy"),
            (self.tenant.is_some(), "--tenant"),
        ];
        flags.into_iter().find_map(|(given, name)| given.then_some(name))
    }
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// The pipeline files.
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    /// How faults are printed: text to standard error, JSON to standard output.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
    /// As for `run`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    #[arg(long, hide = true)]
    online: bool,
}

#[derive(Debug, Args)]
struct GraphArgs {
    /// The pipeline file.
    pipeline: PathBuf,
    /// How the graph is drawn.
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    format: GraphFormat,
    /// As for `run`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Args)]
struct DocsArgs {
    /// `source`, `transform` or `sink`; or the name of an operator, which shows every operator of that name.
    #[arg(value_name = "KIND|NAME")]
    kind: Option<String>,
    /// For example `csv`.
    name: Option<String>,
    /// Print the whole reference as Markdown (configs/REFERENCE.md).
    #[arg(long)]
    markdown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TextOrJson {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GraphFormat {
    Text,
    Mermaid,
    Dot,
}

/// Reads the command line, does what it says and returns how it went.
pub fn main() -> Exit {
    let cli = Cli::parse();
    let style = Style::from_environment(cli.plain);
    logging::start(cli.log_format == LogFormat::Json, style.color);
    rde_wasm::Host::install(rde_wasm::HostOptions { cache: cache_dirs(), ticks: rde_wasm::Ticks::default() });
    match cli.command {
        Command::Run(args) => run::run(&args, &style),
        Command::Validate(args) => validate::run(&args, &style),
        Command::Graph(args) => graph::run(&args, &style),
        Command::Schema => docs::schema(),
        Command::Docs(args) => docs::docs(&args, &style),
        Command::Explain { code } => docs::explain(&code, &style),
        Command::Plugin(command) => plugin::run(command),
        Command::Checkpoint(_) => output::later("rde checkpoint"),
        Command::Verify(_) => output::later("rde verify"),
        Command::Dlq(_) => output::later("rde dlq"),
    }
}

/// Compiled plugins lie in the user's own cache folder, never beside a pipeline; the key that vouches for them elsewhere.
fn cache_dirs() -> Option<rde_wasm::CacheDirs> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let base = |variable: &str, below_home: &str| {
        let given = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        given.or_else(|| home.as_ref().map(|home| home.join(below_home)))
    };
    let cache = base("XDG_CACHE_HOME", ".cache")?.join("rde").join("plugins");
    let state = base("XDG_STATE_HOME", ".local/state")?.join("rde");
    Some(rde_wasm::CacheDirs { cache, state })
}
