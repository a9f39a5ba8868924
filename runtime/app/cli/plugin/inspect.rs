//! `rde plugin inspect`: what a component is, and why this host would refuse it.

use rde_core::Result;
use rde_wasm::{Host, Inspection};

use super::InspectArgs;
use crate::cli::TextOrJson;
use crate::cli::output::{Exit, error, later, result};
use crate::runtime::Threads;

/// Runs the command.
pub(super) fn run(args: &InspectArgs) -> Result<Exit> {
    if args.effective {
        return Ok(later("--effective"));
    }
    let threads = threads()?;
    let inspection = rde_wasm::inspect(&Host::shared()?, &args.file, &threads.runtime());
    threads.stop();
    let inspection = inspection?;
    let printed = match args.format {
        TextOrJson::Json => {
            let text = serde_json::to_string_pretty(&inspection).expect("an inspection can be written as JSON");
            result(&format!("{text}\n"))
        }
        TextOrJson::Text => result(&escaped(&text(&inspection))),
    };
    if let Some(refused) = &inspection.refused {
        error(refused);
        return Ok(Exit::Usage);
    }
    Ok(printed)
}

/// Starts the threads that the host's ticker needs.
pub(super) fn threads() -> Result<Threads> {
    Threads::start().map_err(|cause| {
        rde_core::Error::unavailable(&crate::codes::PLUGIN_RUN, format!("cannot start threads: {cause}"))
    })
}

/// Escapes what a plugin put into its names; line by line, so that ours stay.
fn escaped(text: &str) -> String {
    text.lines().map(|line| rde_wasm::shown(line, usize::MAX) + "\n").collect()
}

fn text(inspection: &Inspection) -> String {
    let none = || "-".to_owned();
    let list = |items: &[String]| if items.is_empty() { none() } else { items.join("\n         ") };
    format!(
        "name     {}\nversion  {}\napi      {}\nworld    {}\nimports  {}\nwants    {}\nsize     {} bytes\ndigest   {}\n",
        inspection.name.clone().unwrap_or_else(none),
        inspection.version.clone().unwrap_or_else(none),
        inspection.api.clone().unwrap_or_else(none),
        inspection.world.clone().unwrap_or_else(none),
        list(&inspection.imports),
        list(&inspection.wants),
        inspection.size,
        inspection.digest,
    )
}
