//! Error codes of the command line.

rde_core::codes! {
    /// `plugin new` cannot make the folder.
    PLUGIN_NEW = "RDE0170", "plugin not made",
        "`rde plugin new` makes a folder with a plugin, its cases and the SDK. It never overwrites: choose a name that no file has. \
         Names have lower-case letters, digits and `-`.";
    /// `plugin build` cannot make a component.
    PLUGIN_BUILD = "RDE0171", "plugin not built",
        "`rde plugin build` compiles the crate for wasm32-unknown-unknown and makes a component of it. Read cargo's own messages; the \
         crate must be a cdylib that exports a plugin with the SDK's macro. Nothing else is needed than cargo and the target.";
    /// A case of `plugin test` cannot be read.
    PLUGIN_CASES = "RDE0172", "plugin case not readable",
        "A case is a folder `cases/<name>` with `input.csv`, `input.json` or `input.parquet`, `expected.*` in one of these formats, \
         and, where the plugin has them, `config.json` and `expected_errors.json`. `rde plugin test --update` writes the expected files.";
    /// A file given to `plugin inspect` or `bench` cannot be read.
    PLUGIN_FILE = "RDE0173", "plugin file not readable",
        "The file given to `rde plugin inspect`, `test` or `bench` cannot be read. Give the path of a component that `rde plugin build` made.";
    /// The plugin failed on the rows of a case or a measurement.
    PLUGIN_RUN = "RDE0174", "plugin failed in the tool",
        "The plugin answered a failure or trapped while `rde plugin test` or `bench` ran it. The causes say what it said; its log lines stand in the detail.";
    /// The pipeline file cannot be read.
    PIPELINE_FILE = "RDE0175", "pipeline file not readable",
        "The file given to `rde run`, `validate` or `graph` cannot be read. Check its path and that you may read it; relative paths are relative \
         to the folder you are in.";
    /// A secret became the name of a column.
    SECRET_COLUMN = "RDE0176", "secret in a column name",
        "A value from a secret file is part of a column's name, and names go into files, logs and reports. In SQL an expression without \
         an alias is named by its own text: give it one with `AS`.";
    /// The address of `--metrics` cannot be served.
    METRICS = "RDE0177", "metrics cannot be served",
        "The address given with `--metrics` is none, or cannot be listened at: another process has the port, or the host is not this one. \
         Give a free address such as 127.0.0.1:9090; port 0 takes any that is free, and the log says which.";
}
