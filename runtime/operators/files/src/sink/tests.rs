//! Commits cut off at every step, `if_exists`, rolling, partitions: through the real file system, without an engine.

mod cuts;
mod many_folders;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rde_core::{
    Budget, Commit, CommitId, Epoch, ErrorKind, Incarnation, Output, Prepared, SchemaVersion, SinkWriter, Staged,
};
use serde_json::{Value, json};

use super::commit::FileCommitter;
use super::config::IfExists;
use super::disk::{Disk, StepHook};
use super::lane::{LaneOptions, LaneWriter, OPEN_FILES_MAX};
use super::names::Names;
use super::target::Target;
use crate::format::{CsvFormat, FileFormat};
use crate::testing::{block_on, open_sink, tree};
use crate::{CsvSink, JsonSink, ParquetSink};

const OLD: [(&str, i64); 3] = [("a", 1), ("b", 2), ("c", 3)];
const NEW: [(&str, i64); 3] = [("b", 20), ("c", 30), ("d", 40)];

fn run(if_exists: IfExists, single: Option<&'static str>, incarnation: u64, rows: &[(&'static str, i64)]) -> Run {
    Run { if_exists, single, incarnation, rows: rows.to_vec() }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]))
}

fn batch(rows: &[(&str, i64)]) -> RecordBatch {
    let keys: StringArray = rows.iter().map(|(key, _)| Some(*key)).collect();
    let numbers: Int64Array = rows.iter().map(|(_, number)| Some(*number)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(numbers)];
    RecordBatch::try_new(schema(), columns).expect("columns fit the schema")
}

fn commit_of(prepared: Vec<Prepared>) -> Commit {
    Commit { id: CommitId(1), parent: None, epoch: Epoch(1), prepared }
}

/// Lets a number of steps happen and refuses all later ones, as a kill does; or refuses a single one.
struct Cut {
    taken: AtomicU64,
    at: u64,
    once: bool,
}

impl StepHook for Cut {
    fn before(&self, step: &str, _path: &Path) -> io::Result<()> {
        let number = self.taken.fetch_add(1, Ordering::SeqCst);
        if number == self.at || (number > self.at && !self.once) {
            return Err(io::Error::other(format!("cut off before step {number}: {step}")));
        }
        Ok(())
    }
}

/// Keeps the folders that were made durable.
#[derive(Default)]
struct Durable(Mutex<Vec<PathBuf>>);

impl Durable {
    fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StepHook for Durable {
    fn before(&self, step: &str, path: &Path) -> io::Result<()> {
        if step == "sync folder" {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        }
        Ok(())
    }
}

/// A run of a CSV sink that divides by `k`, with real targets and lanes.
struct Run {
    if_exists: IfExists,
    single: Option<&'static str>,
    incarnation: u64,
    rows: Vec<(&'static str, i64)>,
}

impl Run {
    fn target(&self, folder: &Path, disk: Disk) -> rde_core::Result<Arc<Target>> {
        let single = self.single.map(str::to_owned);
        let names = Names::new("pipe", "op", Incarnation(self.incarnation), "csv", single.clone());
        Target::open(folder.to_owned(), single, names, self.if_exists, disk).map(Arc::new)
    }

    /// Writes the rows and prepares them.
    fn prepare(&self, target: Arc<Target>) -> rde_core::Result<(LaneWriter, Vec<Prepared>)> {
        let options = LaneOptions {
            lane: 0,
            lanes: 1,
            format: FileFormat::Csv(CsvFormat { header: true, delimiter: b',', null_value: String::new() }),
            partition_by: if self.single.is_some() { vec![] } else { vec!["k".to_owned()] },
            file_bytes_max: u64::MAX,
            memory_max: 1 << 30,
            budget: Budget::new(1 << 30),
        };
        let mut lane = LaneWriter::new(target, options);
        let mut out = Output::new();
        let result = (|| {
            block_on(lane.schema(&SchemaVersion { version: 1, schema: schema(), cause: None }))?;
            block_on(lane.write(batch(&self.rows), &mut out))?;
            block_on(lane.prepare(Epoch(1), &mut out))
        })();
        if result.is_err() && block_on(lane.abandon()).is_err() {
            // A dead process cannot clean up either.
        }
        result.map(|prepared| (lane, prepared))
    }

    fn go(&self, folder: &Path, disk: Disk) -> rde_core::Result<()> {
        let target = self.target(folder, disk)?;
        let (_lane, prepared) = self.prepare(target.clone())?;
        let committer = FileCommitter::new(target);
        let done = committer.make_visible(&commit_of(prepared.clone()));
        if done.is_err() && committer.discard(&prepared).is_err() {
            // As above.
        }
        done
    }
}

/// Returns the visible files and their contents, incarnation by incarnation.
fn visible(folder: &Path) -> BTreeMap<String, String> {
    let names = tree(folder).into_iter().filter(|name| !name.split('/').any(|part| part.starts_with('.')));
    names.map(|name| (name.clone(), fs::read_to_string(folder.join(&name)).expect("a text file"))).collect()
}

fn hidden(folder: &Path) -> Vec<String> {
    tree(folder).into_iter().filter(|name| name.split('/').any(|part| part.starts_with('.'))).collect()
}

/// Opens a folder that takes JSON files, none of which is there.
fn json_target(folder: &Path, disk: Disk) -> rde_core::Result<Arc<Target>> {
    let names = Names::new("pipe", "op", Incarnation(1), "json", None);
    Target::open(folder.to_owned(), None, names, IfExists::Fail, disk).map(Arc::new)
}

/// Prepares one row in a JSON file that is divided by columns.
fn prepare_row(target: &Arc<Target>, by: &[&str], row: &[(&str, i64)]) -> Commit {
    let options = LaneOptions {
        lane: 0,
        lanes: 1,
        format: FileFormat::Json,
        partition_by: by.iter().map(|&name| name.to_owned()).collect(),
        file_bytes_max: u64::MAX,
        memory_max: 1 << 30,
        budget: Budget::new(1 << 30),
    };
    let column = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let batch = RecordBatch::try_from_iter(row.iter().map(|(name, value)| (*name, column(*value)))).expect("one row");
    let mut lane = LaneWriter::new(target.clone(), options);
    let mut out = Output::new();
    block_on(lane.schema(&SchemaVersion { version: 1, schema: batch.schema(), cause: None })).expect("schema");
    block_on(lane.write(batch, &mut out)).expect("write");
    commit_of(block_on(lane.prepare(Epoch(1), &mut out)).expect("prepare"))
}

/// Counts the visible CSV files below a folder, and follows no link.
fn csv_files(folder: &Path) -> usize {
    let count = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("text");
        match entry.file_type().expect("it is there") {
            kind if kind.is_dir() => csv_files(&entry.path()),
            _ => usize::from(!name.starts_with('.') && name.ends_with(".csv")),
        }
    };
    fs::read_dir(folder).expect("a folder").map(|entry| count(entry.expect("it is there"))).sum()
}

/// Returns the bytes of every file below a folder.
fn sizes(folder: &Path) -> Vec<u64> {
    tree(folder).iter().map(|name| fs::metadata(folder.join(name)).expect("it is there").len()).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_sink_says_which_files_it_will_write() {
    let writes = |value: Value| {
        let fields = crate::testing::fields(value, &rde_core::Settings::default());
        let plan = rde_core::OperatorSpec::parse(&CsvSink, &fields).expect("the fields are right");
        let writes = plan.footprint().writes;
        writes.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let example = "pipeline-op-0000000000000000-1-0-0.csv";
    assert_eq!(writes(json!({ "path": "out/a.csv" })), ["out/a.csv"]);
    assert_eq!(writes(json!({ "path": "out" })), ["out/*.csv".to_owned(), format!("out/{example}")]);
    let divided = writes(json!({ "path": "out", "partition_by": ["k", "a b"] }));
    assert_eq!(divided.last(), Some(&format!("out/k=*/a%20b=*/{example}")));
}

/// Writes rows through a plan, as the engine would, and commits.
fn write(
    folder: &Path,
    spec: &dyn rde_core::OperatorSpec,
    value: Value,
    incarnation: u64,
    batches: &[RecordBatch],
) -> Result<(Output, usize), rde_core::Error> {
    let mut sink = open_sink(folder, spec, value, &schema(), incarnation, 1).map_err(|mut errors| errors.remove(0))?;
    let mut out = Output::new();
    let mut lane = block_on(sink.writer(0))?;
    block_on(lane.schema(&SchemaVersion { version: 1, schema: schema(), cause: None }))?;
    for batch in batches {
        block_on(lane.write(batch.clone(), &mut out))?;
    }
    let prepared = block_on(lane.prepare(Epoch(1), &mut out))?;
    let count = prepared.len();
    // The permit comes from a log; without an engine the committer's own step is called.
    let files = prepared.iter().map(super::token::Token::decode).collect::<Result<Vec<_>, _>>()?;
    assert!(
        visible(folder)
            .keys()
            .all(|name| !files.iter().any(|token| token.files.iter().any(|f| name.ends_with(&f.name))))
    );
    drop(lane);
    drop(sink);
    Ok((out, count))
}

#[test]
fn files_in_the_target_are_asked_about_before_the_first_row() {
    let folder = folder();
    let first = run(IfExists::Fail, None, 1, &OLD);
    first.go(folder.path(), Disk::default()).expect("an empty folder");
    let before = visible(folder.path());
    let fail = |value: Value| write(folder.path(), &CsvSink, value, 2, &[]).expect_err("the output is there");
    let error = fail(json!({ "path": "." }));
    assert_eq!((error.code(), error.kind()), ("RDE0600", ErrorKind::Config));
    assert!(error.help_text().expect("a remedy").contains("if_exists: replace"));
    fs::write(folder.path().join("k=a/other.csv"), "x\n").expect("a foreign file");
    assert_eq!(fail(json!({ "path": ".", "if_exists": "replace" })).code(), "RDE0601");
    fs::remove_file(folder.path().join("k=a/other.csv")).expect("it is there");
    assert_eq!(visible(folder.path()), before);
    // Another format does not mind.
    write(folder.path(), &JsonSink, json!({ "path": "." }), 3, &[]).expect("no json file is there");
}

#[test]
fn replace_without_rows_removes_the_old_files() {
    let folder = folder();
    run(IfExists::Fail, None, 1, &OLD).go(folder.path(), Disk::default()).expect("an empty folder");
    run(IfExists::Replace, None, 2, &[]).go(folder.path(), Disk::default()).expect("no rows are fine");
    assert_eq!(tree(folder.path()), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "empty partition folders are gone");
}

#[test]
fn a_second_run_is_fenced_and_changes_nothing() {
    let folder = folder();
    let held = run(IfExists::Append, None, 1, &OLD).target(folder.path(), Disk::default()).expect("free");
    let error = run(IfExists::Replace, None, 2, &NEW).go(folder.path(), Disk::default()).expect_err("held");
    assert_eq!((error.code(), error.kind()), ("RDE0602", ErrorKind::Fenced));
    drop(held);
    run(IfExists::Replace, None, 2, &NEW).go(folder.path(), Disk::default()).expect("free again");
}

#[test]
fn a_run_without_rows_prepares_one_file_with_the_columns() {
    for (spec, value) in [
        (&CsvSink as &dyn rde_core::OperatorSpec, json!({ "path": "out" })),
        (&ParquetSink, json!({ "path": "out" })),
        (&JsonSink, json!({ "path": "out/a.json" })),
    ] {
        let folder = folder();
        let (_, prepared) = write(folder.path(), spec, value, 1, &[]).expect("no rows are fine");
        assert_eq!(prepared, 1, "{}", spec.name());
        assert_eq!(tree(folder.path()).len(), 1, "one staged file is left to commit");
    }
}

#[test]
fn files_roll_at_the_target_size_and_lanes_do_not_share_names() {
    let folder = folder();
    let rows: Vec<(&str, i64)> = (0..100).map(|n| ("some text", n)).collect();
    let batches: Vec<RecordBatch> = rows.chunks(10).map(batch).collect();
    let value = json!({ "path": "out", "file_size_target": "256B" });
    let (out, _) = write(folder.path(), &CsvSink, value, 0xabc, &batches).expect("writable");
    let files = tree(&folder.path().join("out"));
    // Of 120 to 130 bytes a batch, three reach 256 bytes in the first file and two with the header in the others.
    assert_eq!(files.len(), 5, "{files:?}");
    assert!(files[0].starts_with(".pipe-op-0000000000000abc-1-0-0.csv.staged"));
    let bytes: u64 =
        files.iter().map(|name| fs::metadata(folder.path().join("out").join(name)).expect("it is there").len()).sum();
    let mut out = out;
    assert_eq!(out.take().1.bytes, bytes, "all bytes are counted");
}

#[test]
fn a_large_batch_is_cut_where_a_file_is_full() {
    let rows: Vec<(&str, i64)> = (0..8192).map(|n| ("some text", n)).collect();
    for (spec, most) in [(&CsvSink as &dyn rde_core::OperatorSpec, 9 << 10), (&ParquetSink, 16 << 10)] {
        let folder = folder();
        let value = json!({ "path": "out", "file_size_target": "8KiB" });
        write(folder.path(), spec, value, 1, &[batch(&rows)]).expect("writable");
        let files = tree(&folder.path().join("out"));
        assert!(files.len() > 5, "{files:?}");
        for name in files {
            let bytes = fs::metadata(folder.path().join("out").join(&name)).expect("it is there").len();
            assert!(bytes < most, "{name} has {bytes} bytes");
        }
    }
}

#[test]
fn the_number_of_open_files_is_bounded_and_every_row_is_kept() {
    let folder = folder();
    let keys: Vec<String> = (0..OPEN_FILES_MAX + 1).map(|n| format!("k{n}")).collect();
    let once: Vec<(&str, i64)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    let value = json!({ "path": "out", "partition_by": ["k"] });
    let (mut out, _) = write(folder.path(), &CsvSink, value, 1, &[batch(&once), batch(&once[..1])]).expect("writable");
    // The rows of the last folder waited for the end, so the file of the first one took its second row.
    assert_eq!(tree(&folder.path().join("out")).len(), OPEN_FILES_MAX + 1);
    let lines: usize = tree(&folder.path().join("out"))
        .iter()
        .map(|name| fs::read_to_string(folder.path().join("out").join(name)).expect("text").lines().count() - 1)
        .sum();
    assert_eq!(lines, OPEN_FILES_MAX + 2);
    assert_eq!(out.take().1.bytes, sizes(&folder.path().join("out")).iter().sum::<u64>(), "all bytes are counted");
}

#[test]
fn bytes_of_files_that_a_new_schema_ends_are_counted() {
    let folder = folder();
    let mut sink = open_sink(folder.path(), &CsvSink, json!({ "path": "out" }), &schema(), 1, 1).expect("fine");
    let mut out = Output::new();
    let mut lane = block_on(sink.writer(0)).expect("a lane");
    let one = batch(&OLD);
    let other = one.project(&[1]).expect("the column is there");
    for (version, batch) in [(1, one), (2, other)] {
        block_on(lane.schema(&SchemaVersion { version, schema: batch.schema(), cause: None })).expect("schema");
        block_on(lane.write(batch, &mut out)).expect("write");
    }
    block_on(lane.prepare(Epoch(1), &mut out)).expect("prepare");
    let sizes = sizes(&folder.path().join("out"));
    // The lock is a file without bytes.
    let files = sizes.iter().filter(|size| **size > 0).count();
    assert_eq!((files, out.take().1.bytes), (2, sizes.iter().sum::<u64>()));
}

#[test]
fn files_of_a_folder_come_close_to_the_target_size() {
    let target = 128 << 10;
    let folder = folder();
    let mut rng = fastrand::Rng::with_seed(7);
    // Two bytes of eight are random, so the encoded rows have a fraction of the bytes of the rows.
    let rows: Vec<(&str, i64)> = (0..40 * 8192).map(|_| ("a", rng.i64(0..1 << 16))).collect();
    let batches: Vec<RecordBatch> = rows.chunks(8192).map(batch).collect();
    let value = json!({ "path": "out", "partition_by": ["k"], "file_size_target": "128KiB" });
    write(folder.path(), &ParquetSink, value, 1, &batches).expect("writable");
    let mut sizes = sizes(&folder.path().join("out"));
    sizes.sort_unstable();
    assert!(sizes.len() > 2, "{sizes:?}");
    // The smallest is the last one, of what was left.
    assert!(sizes[1..].iter().all(|size| (target * 3 / 4..target * 3 / 2).contains(size)), "{sizes:?}");
}

#[test]
fn new_folders_are_durable_in_their_parents_before_their_files_are_reported() {
    let folder = folder();
    let durable = Arc::new(Durable::default());
    let out = folder.path().join("deep/out");
    let target = json_target(&out, Disk::with_hook(durable.clone())).expect("an empty folder");
    let parents = durable.take();
    assert!([folder.path().to_owned(), folder.path().join("deep")].iter().all(|parent| parents.contains(parent)));
    let commit = prepare_row(&target, &["k", "j"], &[("k", 1), ("j", 2), ("n", 3)]);
    let all = [out.clone(), out.join("k=1"), out.join("k=1/j=2")];
    let prepared = durable.take();
    assert!(all.iter().all(|folder| prepared.contains(folder)), "{prepared:?}");
    FileCommitter::new(target).make_visible(&commit).expect("commit");
    let committed = durable.take();
    assert!(all.iter().all(|folder| committed.contains(folder)), "{committed:?}");
}

#[test]
fn folders_of_columns_that_begin_with_a_dot_are_a_part_of_the_output() {
    let folder = folder();
    let target = json_target(folder.path(), Disk::default()).expect("an empty folder");
    let commit = prepare_row(&target, &[".k"], &[(".k", 1), ("n", 3)]);
    FileCommitter::new(target).make_visible(&commit).expect("commit");
    let again = json_target(folder.path(), Disk::default());
    assert_eq!(again.err().map(|error| error.code()), Some("RDE0600"));
}

#[test]
fn folders_behind_links_are_a_part_of_the_output() {
    let (folder, other) = (folder(), folder());
    std::os::unix::fs::symlink(other.path(), folder.path().join("k=b")).expect("writable");
    // A link back to the output must not make the search endless, nor its files count twice.
    std::os::unix::fs::symlink(folder.path(), folder.path().join("k=again")).expect("writable");
    run(IfExists::Fail, None, 1, &OLD).go(folder.path(), Disk::default()).expect("no file is there");
    let found = || (csv_files(folder.path()), csv_files(other.path()));
    assert_eq!(found(), (2, 1));
    let error = run(IfExists::Fail, None, 2, &NEW).go(folder.path(), Disk::default()).expect_err("files are there");
    assert!(error.to_string().contains("holds 3 `.csv` files"), "{error}");
    run(IfExists::Replace, None, 2, &NEW).go(folder.path(), Disk::default()).expect("its own files");
    assert_eq!(found(), (2, 1), "the old files are gone");
}

#[test]
fn a_text_of_a_null_that_would_break_rows_is_a_fault_of_its_field() {
    let folder = folder();
    let places = |value: Value| -> Vec<(String, &'static str)> {
        let faults = open_sink(folder.path(), &CsvSink, value, &schema(), 1, 1).err().unwrap_or_default();
        let place = |fault: &rde_core::Error| fault.place().expect("faults have places").pointer.clone();
        faults.iter().map(|fault| (place(fault), fault.code())).collect()
    };
    let null = ("/null_value".to_owned(), "RDE0607");
    for text in ["a,b", "\"", "a\n", "\r"] {
        assert_eq!(places(json!({ "path": "a", "null_value": text })), std::slice::from_ref(&null), "{text:?}");
    }
    assert_eq!(places(json!({ "path": "b", "null_value": "x;", "delimiter": ";" })), std::slice::from_ref(&null));
    assert_eq!(places(json!({ "path": "e", "null_value": "x\ty", "delimiter": "tab" })), std::slice::from_ref(&null));
    assert!(places(json!({ "path": "c", "null_value": "a,b", "delimiter": ";" })).is_empty());
    let both = places(json!({ "path": "d", "null_value": "a\nb", "delimiter": ";;" }));
    assert_eq!(both, [("/delimiter".to_owned(), "RDE0607"), null]);
}

#[test]
fn a_value_too_long_for_a_folder_is_a_failed_row() {
    let folder = folder();
    let long = "x".repeat(300);
    let value = json!({ "path": "out", "partition_by": ["k"] });
    let rows = [("a", 1), (long.as_str(), 2)];
    let (out, _) = write(folder.path(), &CsvSink, value, 1, &[batch(&rows)]).expect("writable");
    let rejected: Vec<_> = out.staged().iter().filter(|one| matches!(one, Staged::Rejected(_))).collect();
    assert!(matches!(rejected.as_slice(), [Staged::Rejected(row)] if row.code == "RDE0609"));
}

#[test]
fn columns_a_format_cannot_hold_are_found_before_the_run() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let columns = vec![Field::new("l", DataType::List(item), true), Field::new("l", DataType::Int64, true)];
    let schema = Arc::new(Schema::new(columns));
    let folder = folder();
    let value = json!({ "path": "out", "partition_by": ["x"] });
    let Err(faults) = open_sink(folder.path(), &CsvSink, value, &schema, 1, 1) else { panic!("three faults") };
    let codes: Vec<&str> = faults.iter().map(rde_core::Error::code).collect();
    assert_eq!(codes, ["RDE0615", "RDE0606", "RDE0608"]);
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_target_that_cannot_be_a_folder_is_named() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("writable");
    for path in ["file", "file/below"] {
        let error = write(folder.path(), &CsvSink, json!({ "path": path }), 1, &[]).expect_err("it is a file");
        assert_eq!(error.code(), "RDE0604", "{path}: {error}");
    }
    fs::create_dir(folder.path().join("dir.csv")).expect("writable");
    let value = json!({ "path": "dir.csv", "if_exists": "replace" });
    assert_eq!(write(folder.path(), &CsvSink, value, 1, &[]).expect_err("it is a folder").code(), "RDE0604");
}

#[test]
fn a_file_that_could_not_be_closed_is_removed_with_the_rest() {
    for step in 0..4 {
        let folder = folder();
        let run = run(IfExists::Append, Some("out.csv"), 2, &NEW);
        let cut = Arc::new(Cut { taken: AtomicU64::new(0), at: step, once: true });
        let Ok(target) = run.target(folder.path(), Disk::with_hook(cut)) else { continue };
        let failed = run.prepare(target).is_err();
        assert!(!failed || tree(folder.path()).is_empty(), "step {step} left {:?}", tree(folder.path()));
    }
}

#[test]
fn a_run_that_is_abandoned_leaves_nothing_not_even_its_folder() {
    let folder = folder();
    let mut sink =
        open_sink(folder.path(), &ParquetSink, json!({ "path": "out/deep" }), &schema(), 1, 1).expect("fine");
    let mut out = Output::new();
    let mut lane = block_on(sink.writer(0)).expect("a lane");
    block_on(lane.schema(&SchemaVersion { version: 1, schema: schema(), cause: None })).expect("schema");
    block_on(lane.write(batch(&NEW), &mut out)).expect("write");
    block_on(lane.abandon()).expect("clean");
    drop(lane);
    drop(sink);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn what_a_sink_holds_is_charged_and_stays_below_its_share_of_a_small_budget() {
    let share = (1 << 20) / 8;
    for format in [FileFormat::Json, FileFormat::Parquet(parquet::basic::Compression::UNCOMPRESSED)] {
        let folder = folder();
        let target =
            run(IfExists::Append, None, 2, &NEW).target(folder.path(), Disk::default()).expect("an empty folder");
        let budget = Budget::new(1 << 20);
        let partition_by = vec!["k".to_owned()];
        let (lane, lanes, memory_max, file_bytes_max) = (0, 1, budget.limit(), u64::MAX);
        let options =
            LaneOptions { lane, lanes, format, partition_by, file_bytes_max, memory_max, budget: budget.clone() };
        let mut lane = LaneWriter::new(target, options);
        let mut out = Output::new();
        block_on(lane.schema(&SchemaVersion { version: 1, schema: schema(), cause: None })).expect("schema");
        let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
        let mut charged = 0;
        for round in 0..40 {
            let rows: Vec<(&str, i64)> =
                (0..4000).map(|n| (keys[n % 20].as_str(), (n as i64 + round) * 77_777)).collect();
            block_on(lane.write(batch(&rows), &mut out)).expect("write");
            assert!(budget.used() <= share, "{} bytes are held", budget.used());
            charged = charged.max(budget.used());
        }
        assert!(charged > 0, "something was held and charged");
        block_on(lane.prepare(Epoch(1), &mut out)).expect("prepare");
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn folders_that_are_no_table_partitions_are_not_a_part_of_the_output() {
    let folder = folder();
    fs::create_dir(folder.path().join("rejects")).expect("writable");
    fs::write(folder.path().join("rejects/a.csv"), "x\n").expect("writable");
    run(IfExists::Fail, None, 1, &OLD).go(folder.path(), Disk::default()).expect("the other folder does not count");
}
