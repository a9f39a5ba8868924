//! The codes of the graph (02xx) and of the run (07xx).

rde_core::codes! {
    /// An operator's id is malformed.
    BAD_ID = "RDE0201", "malformed operator id",
        "An operator's id starts with a lower-case letter and goes on with lower-case letters, digits and `_`. It names the \
         operator in edges, reports and, for SQL, its table.";
    /// Two operators have one id.
    DUPLICATE_ID = "RDE0202", "two operators have one id",
        "Ids are unique in a file, over sources, transforms and sinks together. Rename one of the two and the edges that mean it.";
    /// An edge names an operator that does not exist.
    UNKNOWN_OPERATOR = "RDE0203", "an edge names an unknown operator",
        "Each end of an edge is the id of an operator of this file, or `id.port`. Look for a misspelt id.";
    /// An edge names a port that its operator does not have.
    UNKNOWN_PORT = "RDE0204", "an edge names an unknown port",
        "Without a port an edge end means the operator's first. Every operator has the output `errors`; which others it has is \
         said by its reference (`rde docs`) or, for a plugin, by the plugin.";
    /// An edge end is on a side where the operator has no port.
    NO_SUCH_SIDE = "RDE0205", "an edge ends where the operator has no port",
        "Edges go from the first operator to the second. Sources have no input; sinks have no output but `errors`; a `sql` \
         operator has one input for each output that sends to it and takes no port name.";
    /// The same edge twice.
    DUPLICATE_EDGE = "RDE0206", "the same edge is written twice",
        "An edge from one output to one input can exist once; written twice it would deliver every row twice.";
    /// An output goes nowhere.
    OUTPUT_WITHOUT_EDGE = "RDE0207", "an output has no edge",
        "Rows of an output without edge would vanish in silence. Connect it, for example with a sink; only `errors` may stay open.";
    /// An input gets nothing.
    INPUT_WITHOUT_EDGE = "RDE0208", "an input has no edge",
        "Each input of an operator needs at least one edge that leads to it.";
    /// Edges form a cycle.
    CYCLE = "RDE0209", "operators form a cycle",
        "Rows flow from sources to sinks; a path that leads back to where it came from never ends. Remove one of its edges.";
    /// A source whose rows reach no sink, or a pipeline without sources.
    NO_WAY = "RDE0210", "no way from a source to a sink",
        "A pipeline needs at least one source, and each source a path of edges to a sink.";
    /// Edges that merge carry different columns.
    MERGE_CONFLICT = "RDE0211", "edges with different columns go into one input",
        "Several edges into one input are merged, so they must carry the same columns, of the same types, in the same order. Make \
         them agree before they meet, for example with a `sql` transform on one of them.";
    /// `on_error` and the edges from `errors` contradict each other.
    ON_ERROR = "RDE0212", "`on_error` contradicts the edges",
        "`on_error: dead_letter` sends rows that fail to the output `errors`, which then needs an edge. `fail` and `skip` send \
         nothing there, so an edge from `errors` would always be empty.";
    /// More lanes than the operator can have.
    PARALLELISM = "RDE0213", "the operator cannot run in several lanes",
        "Operators that keep state between batches, or read their whole input, run in one lane. Remove `parallelism` from it; the \
         pipeline's own `settings.parallelism` is only an upper bound and may stay.";
    /// A setting is out of its bounds.
    SETTING = "RDE0214", "a setting is out of bounds",
        "Each setting has bounds; the reference lists them.";
    /// An output would be read as input.
    OUTPUT_UNDER_INPUT = "RDE0215", "an output lies under an input's path",
        "A sink would write files that a source of the same pipeline reads, now or on the next run. Write to another folder.";
    /// Two inputs of a by-edge operator have one name.
    SAME_TABLE = "RDE0216", "two inputs have one table name",
        "The inputs of a `sql` operator are tables named by the sending operator, `id_port` for an output with a name. The same \
         output twice, or two that come to the same name, cannot be told apart.";
    /// Two sources read what can be read only once.
    READ_TWICE = "RDE0217", "two sources read one pipe",
        "What comes from standard input or a named pipe can be read only once: two readers would tear its rows apart. Read it with \
         one source, and connect that with everything that takes its rows.";
    /// Two sinks write to one target.
    SAME_TARGET = "RDE0218", "two sinks write to one target",
        "Each sink writes to a folder or file of its own, and holds a lock on it for the whole run; files of its format in folders \
         below count as its own too. Only one sink prints to standard output. Give one of the two another `path`, or lead both edges \
         into one sink.";

    /// An operator panicked.
    PANIC = "RDE0701", "an operator panicked",
        "A defect of RDE: a part of it ended in a way it must not. The run stopped and committed nothing more. Please report it \
         with the message.";
    /// A message is larger than `memory_max`.
    MESSAGE_TOO_LARGE = "RDE0702", "a batch is larger than `memory_max`",
        "One batch alone needs more memory than the pipeline may use. Raise `settings.memory_max` or lower \
         `batch_rows_max` or `batch_bytes_max`.";
    /// Counts do not agree.
    UNBALANCED = "RDE0703", "the counts do not balance",
        "A defect of RDE: at the end of a run the rows that went into an operator or edge are not those that came out. The report \
         names it. Please report it.";
    /// `spill_max` is reached.
    SPILL_FULL = "RDE0704", "`spill_max` is reached",
        "An operator over whole inputs keeps on disk what it cannot take yet, up to `settings.spill_max` in all. Raise it, or give \
         the pipeline more `memory_max`.";
    /// The spill folder does not work.
    SPILL_IO = "RDE0705", "the spill folder cannot be used",
        "Writing to or reading from `settings.spill` failed. Check that the folder can be written and the disk has room.";
    /// The schema of a whole input changed.
    WHOLE_SCHEMA = "RDE0706", "columns changed under an operator over whole inputs",
        "A sort, join or aggregate reads all rows of an input as one table, whose columns cannot change on the way.";
    /// An operator broke the engine's contract.
    CONTRACT = "RDE0707", "an operator broke the engine's contract",
        "A defect of an operator: it opened as something else than it said, or sent rows before their schema or to a port it does \
         not have. Please report it.";
    /// The checkpoint log does not answer.
    LOG_UNAVAILABLE = "RDE0708", "the checkpoint store does not answer",
        "Writing or reading the log of checkpoints failed again and again. Check the store.";
    /// Another incarnation took over.
    FENCED = "RDE0709", "another runner owns this pipeline",
        "A newer run of this pipeline has taken over; this one must not commit any more.";
    /// The log and the targets do not fit together.
    BROKEN = "RDE0710", "the checkpoints and the targets do not fit together",
        "Going on could lose or repeat rows, so the run stops before it reads anything. The message names the object and the remedy.";
    /// The run was told to stop at once.
    CANCELLED = "RDE0711", "the run was stopped",
        "The run was told to stop at once (a second signal). What was not committed was removed.";
    /// A pipeline with faults was run.
    NOT_RUNNABLE = "RDE0712", "the pipeline has faults",
        "A pipeline can be run only when building it found no fault.";
    /// A row failed under `on_error: fail` with a code that is not listed.
    ROW_FAILED = "RDE0713", "a row failed",
        "A row could not be processed and `on_error` is `fail`. Connect the operator's output `errors` to a sink to set such rows \
         aside, or write `on_error: skip` to drop and count them.";
}
