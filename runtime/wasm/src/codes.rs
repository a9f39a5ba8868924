//! The error codes of the plugin host, RDE03xx, with what `rde explain` prints for them.

rde_core::codes! {
    /// The artifact's file cannot be read.
    ARTIFACT = "RDE0300", "plugin file cannot be read",
        "The file named by `plugin` is missing, is not a regular file, cannot be read, or is larger than 64 MiB. Paths are relative to the pipeline file.";
    /// Not a WebAssembly file at all.
    NOT_WASM = "RDE0301", "not a WebAssembly file",
        "The file does not begin as a WebAssembly binary does. `plugin` must name a component (a `.wasm` file made by `rde plugin build`), not text, an archive or a native library.";
    /// A core module.
    CORE_MODULE = "RDE0302", "a core module instead of a component",
        "The file is a WebAssembly core module. A plugin is a component: the module wrapped with its types. `rde plugin build` does this; by hand it is `wasm-tools component new`.";
    /// Another digest than the pinned one.
    DIGEST = "RDE0303", "plugin digest differs from the pinned one",
        "`digest` pins the exact bytes of the plugin, and the file has others. Either the file was replaced, or the pin is old: compare with `rde plugin inspect` and correct the one that is wrong.";
    /// Not the world `transform`.
    WORLD = "RDE0304", "the plugin has another world",
        "The exports of a component say which world of `rde:plugin` it has. This version runs the world `transform`: it exports `lifecycle` and `processor` with the functions and types of wit/guest.wit.";
    /// Built for another version of the package.
    API_VERSION = "RDE0305", "the plugin was built for another version of rde:plugin",
        "The plugin names a version of the package `rde:plugin` that this host does not serve. Build it again with the SDK of this version; `rde --version` prints the version that is served.";
    /// An import that the host does not give.
    IMPORT = "RDE0306", "the plugin imports what this host does not give",
        "A plugin may import `emit` (without `declare`), `log` and `clock` of `rde:plugin`. Anything else, also interfaces that a later version will serve, is refused by its name.";
    /// WASI.
    WASI = "RDE0307", "the plugin imports WASI",
        "Plugins get no files, network, environment, clock or randomness through WASI. Build for `wasm32-unknown-unknown`, or stub the imports out as the recipes of each language say.";
    /// The component is not valid, or uses a feature that is off.
    COMPILE = "RDE0308", "the plugin does not compile",
        "The component is damaged, or uses a WebAssembly feature that is off: only SIMD, bulk memory, reference types and tail calls are on. Threads, memory64, exceptions, garbage collection and relaxed SIMD are off.";
    /// The answer of `describe` is wrong.
    DESCRIBE = "RDE0309", "the plugin's description is wrong",
        "`describe` must answer a JSON object of the shape in wit/describe.schema.json, at most 1 MiB. What it answered is not that, or asks for something this version does not have.";
    /// The guest trapped.
    TRAP = "RDE0310", "the plugin trapped",
        "The plugin's code stopped with a trap, for example a panic, a division by zero or an access outside its memory. The run fails; the detail of the error holds the wasm backtrace and the last log lines of the call.";
    /// The guest broke a rule of the package.
    CONTRACT = "RDE0311", "the plugin broke its contract",
        "The plugin did something that the rules of wit/*.wit forbid, for example it named an output, row or schema that does not exist, sent malformed Arrow data, or answered something malformed. This is a bug in the plugin.";
    /// Over `memory_max`.
    MEMORY = "RDE0312", "the plugin used too much memory",
        "The plugin's linear memory would have grown above `limits.memory_max` (default 64 MiB), or above what is left of the pipeline's `settings.memory_max`. Raise the limit, or send smaller batches (`settings.batch_rows_max`).";
    /// Over `time_max`.
    TIME = "RDE0313", "the plugin took too long",
        "A call of the plugin ran longer than `limits.time_max` (default 10 s; 5 s for `describe`, `bind` and `open`) and was interrupted. Raise the limit if the work needs it; otherwise look for a loop that does not end.";
    /// Over `stack_max`.
    STACK = "RDE0314", "the plugin ran out of stack",
        "The plugin's calls nested too deeply (512 KiB of stack). Usually a recursion without end.";
    /// Over one of the counted limits.
    QUOTA = "RDE0315", "the plugin went over a quota",
        "The plugin went over a limit that the host counts within one call: bytes passed to the host in one host call, calls of `emit`, host calls, instances, memories or table elements.";
    /// Over `output_max`.
    OUTPUT = "RDE0316", "the plugin's output is too large",
        "What one call emitted would take more than `limits.output_max` bytes once materialised (default: the larger of 64 MiB and 16 times the input). Raise it, or send smaller batches (`settings.batch_rows_max`).";
    /// The guest answered `fatal`.
    FATAL = "RDE0317", "the plugin stopped the operator",
        "The plugin answered `fatal`, or an answer that counts as fatal where it was given. Its own text says why.";
    /// `bind` answered `reject`.
    REFUSED = "RDE0318", "the plugin refuses these columns or this configuration",
        "`bind` answered `reject`: the columns of the inputs, or the configuration, do not fit what the plugin needs. Its own text says which.";
    /// `config` does not fit `config_schema`.
    CONFIG = "RDE0320", "the plugin's configuration is wrong",
        "`config` does not fit the schema that the plugin gives for it. `rde plugin inspect` shows the plugin; its documentation says what each field means.";
    /// A secret in `config`.
    SECRET = "RDE0321", "a secret in a plugin's configuration",
        "Secrets are never passed to plugins. Grants for them come with a later version; until then no field of `config` may hold a secret.";
    /// The plugin's `config_schema` cannot be used.
    CONFIG_SCHEMA = "RDE0322", "the plugin's configuration schema cannot be used",
        "The `config_schema` in the plugin's description is not a usable JSON Schema: it refers outside itself, refers to itself without end, has too much in it, or has a pattern that is not a regular expression. This is a bug in the plugin.";
    /// A field of the operator is wrong.
    FIELDS = "RDE0323", "a field of the wasm operator is wrong",
        "A field beside `plugin` and `config` has a value that it cannot have. `rde docs transform wasm` lists the fields.";
    /// The plugin does not accept a schema that came in mid-stream.
    SCHEMA_CHANGE = "RDE0324", "the plugin does not accept a changed schema",
        "The columns of an input changed during the run and the plugin, bound again, refused them. With `on_schema: fail` the run stops.";
    /// A row, or a batch that may not be cut, is over `input_max` or `output_max`.
    TOO_LARGE = "RDE0326", "a row is too large for the plugin",
        "A row alone takes more than `limits.input_max` once encoded for the plugin, or what the plugin makes of it takes more than `limits.output_max`. It is set aside with this code, and so is every row of a batch of a plugin with `cuts: whole`, which may not be cut. Raise the limit, or make the row smaller before the plugin.";
    /// The host itself failed.
    HOST = "RDE0325", "the plugin host failed",
        "The WebAssembly engine could not do its part, for example because the system refused memory. The cause says which.";
}
