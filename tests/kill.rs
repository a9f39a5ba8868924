//! SIGKILL at seeded moments: what is visible is whole, and the next run gives exactly the answer.
//!
//! Scenario: January of the flights into Parquet, about 20 files in 3 folders (`partition_by: [origin]`), killed while it reads,
//! writes, stages, links. Guarantees: every visible file opens in DuckDB; the same command again with `if_exists: replace`
//! gives the rows and the schema of an uninterrupted run and leaves no staged file.
//! `RDE_KILLS` sets the number of kills (40 by default, 200 for a release), `RDE_SEED` the seed.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{duckdb, files_below, rde, root, run};

const PIPELINE: &str = "
name: kill
sources:
  - id: flights
    csv: { path: FLIGHTS, null_values: [\"NA\", \"\"] }
sinks:
  - id: table
    parquet: { path: out/table, if_exists: replace, partition_by: [origin], file_size_target: 16KiB }
edges:
  - [flights, table]
";

/// A query over a whole input that does not end while the writer of standard input lives.
const WAITING: &str = "
name: waiting
sources:
  - id: rows
    csv: { path: PATH, schema: { n: int64 } }
transforms:
  - id: sorted
    sql: { query: SELECT n FROM rows ORDER BY n DESC }
sinks:
  - id: shown
    stdout: { format: csv }
edges:
  - [rows, sorted]
  - [sorted, shown]
";

/// When to kill.
enum Moment {
    /// This long after the start.
    After(Duration),
    /// As soon as this many files are visible.
    Visible(usize),
}

#[test]
fn a_killed_run_leaves_whole_files_and_the_next_one_gives_the_answer() {
    let kills: u64 = number("RDE_KILLS", 40);
    let mut random = fastrand::Rng::with_seed(number("RDE_SEED", 2013));
    let temp = tempfile::tempdir().expect("there is room for the runs");
    let folder = temp.path();
    let flights = root().join("configs/data/flights/flights-2013-01.csv.gz");
    let text = PIPELINE.replace("FLIGHTS", &flights.display().to_string());
    std::fs::write(folder.join("kill.yaml"), text).expect("the pipeline can be written");

    let started = Instant::now();
    assert_eq!(run(folder, &["run", "kill.yaml"]).code, Some(0));
    let whole = started.elapsed();
    let (expected, files) = (answer(folder), visible(folder));
    assert!(files >= 20, "the run writes {files} files");

    let (mut between, mut done) = (0, 0);
    // Half the moments are drawn from the time of a run, half from the number of files that can be seen; a run that
    // ends before its moment does not count as killed between two links, so more follow until enough were.
    while done < kills || between < kills / 4 {
        assert!(done < kills * 5, "only {between} of {done} kills fell between the first and the last link");
        std::fs::remove_dir_all(folder.join("out")).expect("the output can be removed");
        let moment = if done % 2 == 0 {
            Moment::After(whole.mul_f64(random.f64() * 1.1))
        } else {
            Moment::Visible(random.usize(1..files))
        };
        kill_at(folder, &moment);
        let seen = visible(folder);
        between += u64::from(seen > 0 && seen < files);
        if seen > 0 {
            // A torn file fails here.
            duckdb(&format!("SELECT count(*), max(hash(t)) FROM read_parquet('{}') t", pattern(folder)));
        }
        let again = run(folder, &["run", "kill.yaml"]);
        assert_eq!(again.code, Some(0), "after kill {done}: {}", again.stderr);
        assert_eq!(answer(folder), expected, "after kill {done}");
        let left: Vec<String> = files_below(folder).into_iter().filter(|file| file.ends_with(".staged")).collect();
        assert!(left.is_empty(), "after kill {done} these are left: {left:?}");
        done += 1;
    }
    eprintln!("{done} kills, {between} of them between the first and the last link");
}

/// Scenario: a run that sorts waits for its input while another one in the same folder starts and ends; then it is killed.
/// Guarantees: its spill folder stays while it lives, and the next run removes it.
#[test]
fn the_spill_folder_of_a_killed_run_goes_with_the_next_and_that_of_a_live_one_stays() {
    let temp = tempfile::tempdir().expect("there is room for the runs");
    let folder = temp.path();
    std::fs::write(folder.join("waits.yaml"), WAITING.replace("PATH", "\"-\"")).expect("the folder is writable");
    std::fs::write(folder.join("ends.yaml"), WAITING.replace("PATH", "in.csv")).expect("the folder is writable");
    std::fs::write(folder.join("in.csv"), "n\n1\n2\n").expect("the folder is writable");
    let spilled = || {
        let entries = std::fs::read_dir(folder.join(".rde/spill")).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let ends = || {
        let ran = run(folder, &["run", "ends.yaml"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "n\n2\n1\n"), "{}", ran.stderr);
    };

    let mut waits = rde();
    waits.current_dir(folder).args(["run", "waits.yaml"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut waits = waits.stderr(Stdio::null()).spawn().expect("the binary starts");
    let mut input = waits.stdin.take().expect("it is piped");
    input.write_all(b"n\n1\n").expect("the run reads");
    let started = Instant::now();
    while spilled().len() < 2 {
        assert!(running(&mut waits) && started.elapsed() < Duration::from_secs(20), "no spill folder: {:?}", spilled());
        std::thread::sleep(Duration::from_millis(10));
    }
    let own = spilled();
    ends();
    assert_eq!(spilled(), own, "a lock file and a folder");
    waits.kill().expect("it runs");
    waits.wait().expect("the child can be waited for");
    assert_eq!(spilled(), own);
    ends();
    assert_eq!(spilled(), [""; 0]);
    drop(input);
}

fn kill_at(folder: &Path, moment: &Moment) {
    let mut command = rde();
    command.current_dir(folder).args(["run", "kill.yaml"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the binary starts");
    match moment {
        Moment::After(delay) => std::thread::sleep(*delay),
        Moment::Visible(files) => {
            while running(&mut child) && visible(folder) < *files {
                // On a machine of one core the run must come to its turn.
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    }
    drop(child.kill());
    child.wait().expect("the child can be waited for");
}

fn running(child: &mut Child) -> bool {
    child.try_wait().expect("the child can be asked").is_none()
}

fn visible(folder: &Path) -> usize {
    let origins = ["EWR", "JFK", "LGA"].map(|origin| folder.join("out/table").join(format!("origin={origin}")));
    let names = origins.iter().filter_map(|origin| std::fs::read_dir(origin).ok()).flatten().filter_map(Result::ok);
    names.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}

fn pattern(folder: &Path) -> String {
    folder.join("out/table/*/*.parquet").display().to_string()
}

/// Schema and a hash of all rows, with their number.
fn answer(folder: &Path) -> Vec<String> {
    let table = format!("read_parquet('{}')", pattern(folder));
    duckdb(&format!(
        "SELECT count(*), sum(hash(t)::HUGEINT), bit_xor(hash(t)), (SELECT string_agg(column_name || ' ' || column_type, ', ')
         FROM (DESCRIBE SELECT * FROM {table})) FROM {table} t"
    ))
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
