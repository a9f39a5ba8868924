//! `rde plugin new`: a folder with a plugin, its cases and the SDK sources it needs, since no registry has them.

use std::path::Path;

use rde_core::{Error, Result};

use super::NewArgs;
use crate::cli::output::{Exit, later, note};
use crate::codes;

mod embedded {
    //! Files of the template and of the SDK, put into the binary by the build script.
    include!(concat!(env!("OUT_DIR"), "/plugin_files.rs"));
}

/// Runs the command.
pub(super) fn run(args: &NewArgs) -> Result<Exit> {
    match args.lang.as_str() {
        "rust" => {}
        "python" | "js" | "go" | "c" => return Ok(later(&format!("--lang {}", args.lang))),
        other => {
            let message = format!("there is no SDK for `{other}`");
            return Err(Error::config(&codes::PLUGIN_NEW, message).help("this version has `--lang rust`"));
        }
    }
    let good = args
        .name
        .bytes()
        .enumerate()
        .all(|(at, byte)| byte.is_ascii_lowercase() || (at > 0 && (byte.is_ascii_digit() || byte == b'-')));
    if !good || args.name.is_empty() || args.name.len() > 64 {
        let message = format!("`{}` is no name for a plugin", args.name);
        return Err(Error::config(&codes::PLUGIN_NEW, message)
            .help("use lower-case letters, digits and `-`, for example `mask-mail`"));
    }
    let folder = Path::new(&args.name);
    write_all(folder, &args.name)?;
    note(&format!(
        "made the plugin `{0}`; next:\n  rde plugin build {0} -o {0}.wasm\n  rde plugin test {0}\n  rde plugin bench {0}.wasm\n",
        args.name
    ));
    Ok(Exit::Done)
}

fn write_all(folder: &Path, name: &str) -> Result<()> {
    if folder.exists() {
        let message = format!("`{}` exists already", folder.display());
        return Err(Error::config(&codes::PLUGIN_NEW, message).help("choose another name, or remove the folder"));
    }
    for (path, text, template) in embedded::FILES {
        let text = if *template { text.replace("{{name}}", name) } else { (*text).to_owned() };
        let path = folder.join(path);
        let parent = path.parent().expect("an embedded file lies in the plugin's folder");
        std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text)).map_err(|cause| {
            Error::config(&codes::PLUGIN_NEW, format!("cannot write `{}`: {cause}", path.display()))
                .help("run the command in a folder you can write to")
        })?;
    }
    Ok(())
}
