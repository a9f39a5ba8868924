//! Error codes of file sources (05xx) and sinks (06xx). Those of the CSV decoder stand in `csv/codes.rs`.

rde_core::codes! {
    /// The fields of a file source cannot be read.
    BAD_SOURCE_FIELD = "RDE0500", "bad field of a file source",
        "A field of a file source has a value that it cannot have. The message names the field; `rde docs source` lists fields, types and defaults.";
    /// An input is not there.
    INPUT_MISSING = "RDE0501", "input not found",
        "The file or folder of `path` does not exist. Relative paths are relative to the pipeline file, not to the folder the command runs in. Check the spelling, and that the file was not moved.";
    /// A folder or glob holds no file.
    NO_FILES = "RDE0502", "no file matches",
        "The folder or glob of `path` holds no file of the format. Usually the pattern is wrong or the files have another extension. If no file is a valid input, write `allow_empty: true` and the columns under `schema`.";
    /// An input cannot be read.
    INPUT_UNREADABLE = "RDE0503", "input cannot be read",
        "The operating system refused to open or read an input, for example because the user who runs the pipeline may not read the file, or because the disk failed.";
    /// An input changed while it was read.
    INPUT_CHANGED = "RDE0504", "input changed during the run",
        "A file was written to, replaced or removed between the moment the run looked at it and the end of its rows. What was read may be a mixture, so the run fails and shows nothing. Run the pipeline when the writer has finished, or read a copy.";
    /// A compressed input is damaged.
    BAD_COMPRESSION = "RDE0505", "compressed input is damaged",
        "A `.gz` or `.zst` file ends too early or holds bytes that are no compressed data. Usually a download or copy was cut off. Check it with `gzip -t` or `zstd -t` and fetch it again.";
    /// A path is none that can be read.
    BAD_PATH = "RDE0506", "path cannot be an input",
        "`path` is empty, not a valid glob, or names something that is neither a file, a folder nor a pipe.";
    /// A column type is not known.
    BAD_TYPE = "RDE0507", "unknown column type",
        "A type under `schema` is not one of: int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, boolean, date, timestamp(us), timestamp(us, UTC), utf8, binary, decimal(p, s).";
    /// A footer cannot be read.
    PARQUET_FOOTER = "RDE0530", "not a parquet file, or its footer is damaged",
        "The end of a file does not hold a Parquet footer that can be read. The file is cut off, is of another format, or was damaged. The message names it; write it again at its origin.";
    /// A page or column chunk cannot be read.
    PARQUET_PAGE = "RDE0531", "parquet data is damaged",
        "The footer of a Parquet file is sound, but a page in the named row group cannot be decoded. The file was damaged after it was written, or its writer has a fault. Write it again at its origin.";
    /// Files of one source have other columns.
    PARQUET_COLUMNS = "RDE0532", "columns differ between parquet files",
        "Files of one source are matched by column name, and must have the same columns with the same types as the first file, or as `schema` says. Read files of another shape with a source of their own.";
    /// A pipe is read once, Parquet from its end.
    INPUT_NOT_KEPT = "RDE0533", "a piped parquet input cannot be kept",
        "A Parquet file is read from its end, so what comes from standard input or a FIFO is first kept in the folder `settings.spill`, without a name. The folder cannot be written, or the input has more bytes than `settings.spill_max`. Raise it, or write the input to a file and read that.";
    /// A compression that this build does not know.
    PARQUET_CODEC = "RDE0534", "parquet compression cannot be read",
        "A column of a Parquet file is compressed with a codec that this build does not have, for example brotli. The file is sound. Write it again with zstd, snappy, gzip, lz4 or none.";
    /// A column type that cannot be read.
    PARQUET_TYPE = "RDE0535", "parquet type cannot be read",
        "A column that the pipeline reads has a Parquet type whose values would change: an INTERVAL has months, days and milliseconds, and its months would be lost. Do not read the column, or write the file again with a number or a text instead.";
    /// Files of one source have other columns.
    CSV_COLUMNS = "RDE0550", "columns differ between csv files",
        "Files of one source are matched by column name: each must have the columns of the first file, or of `schema`, in any order. A missing or additional column is an error. Read files of another shape with a source of their own, or list all columns under `schema`.";
    /// A file has no header line.
    CSV_NO_HEADER = "RDE0551", "csv file without header",
        "A CSV file is empty, so it has no header line and its columns are not known. Remove it from the input, or list the columns under `schema`.";
    /// There is no file, and so no columns.
    NO_COLUMNS = "RDE0552", "columns are not known",
        "`allow_empty` lets a source have no files, but then its columns are not known. List them under `schema`.";
    /// A position cannot be found again.
    POSITION = "RDE0553", "position not found in an input",
        "A run that should go on from a checkpoint did not find the recorded position in the input again. The input changed, or the batch settings did. Start the pipeline anew.";

    /// The output is there.
    OUTPUT_EXISTS = "RDE0600", "output exists",
        "Files with the extension of the sink are in the target already, and `if_exists` is `fail`, the default. Write `if_exists: replace` to replace what this pipeline and sink made before, `if_exists: append` to add to a folder, or another `path`.";
    /// A file that the sink did not make stands in the way.
    FOREIGN_FILE = "RDE0601", "file of somebody else in the output folder",
        "`if_exists: replace` removes only files whose names say that this pipeline and sink made them. Another file with the extension is in the folder; readers would take it for a part of the output. Move it away or choose another folder.";
    /// Another run holds the target.
    TARGET_LOCKED = "RDE0602", "another run writes to this target",
        "A sink holds a lock in its target for the whole run. Another process, or another sink of this pipeline with the same format and folder, holds it now. Wait for it, or give each sink a `path` of its own. A lock never outlives its process, so there is nothing to remove by hand.";
    /// The target may not be written.
    NOT_WRITABLE = "RDE0603", "output cannot be written",
        "The operating system does not let the user who runs the pipeline write to the target. Choose another `path` or change the permissions.";
    /// The target is of the wrong kind.
    BAD_TARGET = "RDE0604", "target is not a folder",
        "`path` of a file sink is a folder, unless it ends in the extension of the format. Something else has this name already.";
    /// No space is left.
    DISK_FULL = "RDE0605", "disk is full",
        "The file system of the target, or a quota on it, has no space left. The run failed and nothing of it is visible. Free some space or choose another disk, and run it again.";
    /// A column type that the format cannot hold.
    UNSUPPORTED_TYPE = "RDE0606", "type cannot be written in this format",
        "The format of the sink has no way to hold a column of this type. Leave the column out, or turn it into another type, for example with CAST in a `sql` transform; or choose another format.";
    /// A field of a sink has a wrong value.
    BAD_SINK_FIELD = "RDE0607", "bad field of a file sink",
        "A field of a sink has a value that it cannot have, or that does not go with another field. The message names it; `rde docs sink` lists fields, types and defaults.";
    /// A column of `partition_by` is not usable.
    BAD_PARTITION = "RDE0608", "column cannot divide the output",
        "`partition_by` names a column that the input does not have, whose type has no text form, or all columns there are, so that nothing would be left for the files.";
    /// A value is too long for a folder's name.
    PARTITION_VALUE = "RDE0609", "value is too long for a folder",
        "A value of a `partition_by` column becomes the name of a folder, and a name has at most 255 bytes. The row is a failed row; `on_error` says what becomes of it.";
    /// A file that was prepared is gone.
    COMMIT_BROKEN = "RDE0610", "prepared files are gone",
        "A file that the sink had written is neither under its hidden name nor, with the recorded length and checksum, under its final one. Something else changed the output folder during the run.";
    /// A final name is taken.
    COMMIT_REFUSED = "RDE0611", "name was taken during the run",
        "Files become visible without replacing anything. Another program made a file of the same name while the run was going on. Nothing of this run is visible.";
    /// A single file cannot hold two schemas.
    SCHEMA_CHANGED = "RDE0612", "schema changed in the middle of one file",
        "The columns changed during the run, and the sink writes one file or standard output, which cannot hold both. Name a folder in `path`: then the sink begins a new file.";
    /// The manifest of a killed run cannot be read.
    BAD_MANIFEST = "RDE0613", "manifest cannot be read",
        "A run was killed while it made its files visible. The hidden manifest it left, which says how to put that right, cannot be read. Look at the folder, remove what is incomplete and the manifest, and run the pipeline again.";
    /// A batch cannot be encoded.
    ENCODE_FAILED = "RDE0614", "rows cannot be encoded",
        "The writer of the format refused a batch, for example because a timestamp is outside the years that have a text form. The message has its words.";
    /// A token of another version.
    BAD_TOKEN = "RDE0616", "prepared work cannot be read",
        "What a sink prepared was recorded by another version of the program, or damaged since. Use the version that recorded it, or start the pipeline anew.";
    /// Writing failed.
    WRITE_FAILED = "RDE0617", "output cannot be written",
        "The operating system reported a failure while a file was written, made durable or made visible. The message has its words. Nothing of the run is visible unless the message says so.";
    /// Two columns of one name.
    DUPLICATE_COLUMN = "RDE0615", "two columns of one name",
        "A file cannot be read by column name when two columns share one. Rename one of them, for example with AS in a `sql` transform.";
}
