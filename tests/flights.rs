//! The full year of flights through the plugin, SQL and Parquet equals what DuckDB computes from the same CSV files.
//!
//! Scenario: 336,776 rows, a plugin that scores and sets rows aside, one query per batch, one with GROUP BY and a join.
//! Guarantees: names, types, null counts and rows are DuckDB's, floats to the bit in the first query and to 1e-9 in sums, at
//! the defaults, in 1-row batches, and in four lanes. The expected answer is computed in the test, never stored.

use std::path::Path;

use serde_json::Value;

use crate::support::{python, report, root, run_pipeline};

const ROWS: u64 = 336_776;
const COMPARE: &str = include_str!("flights.py");

const PIPELINE: &str = "
name: flights
sources:
  - id: flights
    csv: { path: \"FLIGHTS\", null_values: [\"NA\", \"\"] }
  - id: planes
    csv: { path: PLANES, null_values: [\"NA\", \"\"] }
transforms:
  - id: score
    wasm: { plugin: \"${RDE_PLUGINS}/flight-score.wasm\", config: { max_mph: 600 } }
  - id: late_flights
    sql:
      query: |
        SELECT time_hour, carrier, flight, tailnum, origin, dest, dep_delay, air_time, delay_class, speed_mph,
               distance * 2 AS there_and_back
        FROM score
        WHERE dep_delay > 15 OR delay_class = 'very_late'
  - id: by_maker
    sql:
      query: |
        SELECT p.manufacturer, p.engines, count(*) AS flights, sum(s.distance) AS miles, avg(s.speed_mph) AS mean_mph,
               sum(s.speed_mph) AS sum_mph, min(s.dep_delay) AS least, max(s.arr_delay) AS most
        FROM score s
        JOIN planes p ON s.tailnum = p.tailnum
        GROUP BY p.manufacturer, p.engines
sinks:
  - id: late
    parquet: { path: out/late, if_exists: replace }
  - id: makers
    parquet: { path: out/makers, if_exists: replace }
  - id: rejects
    json: { path: out/rejects, if_exists: replace }
edges:
  - [flights, score]
  - [score, late_flights]
  - [late_flights, late]
  - [score, by_maker]
  - [planes, by_maker]
  - [by_maker, makers]
  - [score.errors, rejects]
";

fn prepare(folder: &Path, flights: &str) {
    let planes = root().join("configs/data/planes.csv").display().to_string();
    let text = PIPELINE.replace("FLIGHTS", flights).replace("PLANES", &planes);
    std::fs::write(folder.join("flights.yaml"), text).expect("the pipeline can be written");
}

fn flights() -> String {
    root().join("configs/data/flights/*.csv.gz").display().to_string()
}

/// Returns what differs from DuckDB's answer over `flights`; empty when nothing does.
fn differences(folder: &Path, flights: &str) -> String {
    let planes = root().join("configs/data/planes.csv").display().to_string();
    python(COMPARE, &[flights, &planes, &folder.join("out").display().to_string()])
}

fn operator<'r>(report: &'r Value, id: &str) -> &'r Value {
    let operators = report["operators"].as_array().expect("a report lists operators");
    operators.iter().find(|operator| operator["id"] == id).expect("the operator is in the report")
}

fn check(sets: &[&str]) -> Value {
    let temp = tempfile::tempdir().expect("there is room");
    prepare(temp.path(), &flights());
    run_pipeline(temp.path(), "flights.yaml", sets);
    let report = report(temp.path());
    assert_eq!(operator(&report, "flights")["rows_read"], ROWS);
    assert_eq!(report["balanced"], true);
    assert!(
        operator(&report, "score")["rows_rejected"].as_u64().is_some_and(|rows| rows > 0),
        "some rows are set aside"
    );
    let different = differences(temp.path(), &flights());
    assert!(different.is_empty(), "{sets:?}\n{different}");
    report
}

#[test]
fn the_year_equals_duckdb_at_the_defaults() {
    check(&[]);
}

#[test]
fn the_year_equals_duckdb_in_batches_of_one_row() {
    check(&["settings.batch_rows_max=1", "settings.coalesce=false"]);
}

#[test]
fn the_year_equals_duckdb_in_four_lanes_that_each_read_rows() {
    let report = check(&["settings.parallelism=4"]);
    let lanes = operator(&report, "flights")["rows_by_lane"].as_array().expect("rows by lane are listed");
    assert_eq!(lanes.len(), 4, "{lanes:?}");
    assert!(lanes.iter().all(|rows| rows.as_u64().is_some_and(|rows| rows > 0)), "{lanes:?}");
}

#[test]
fn the_comparison_sees_one_altered_cell() {
    let temp = tempfile::tempdir().expect("there is room");
    let months = temp.path().join("months");
    std::fs::create_dir(&months).expect("the folder can be made");
    let original = root().join("configs/data/flights/flights-2013-01.csv.gz");
    std::fs::copy(&original, months.join("flights-2013-01.csv.gz")).expect("January can be copied");
    prepare(temp.path(), &months.join("*.csv.gz").display().to_string());
    run_pipeline(temp.path(), "flights.yaml", &[]);
    assert_eq!(differences(temp.path(), &original.display().to_string()), "");
    // One digit of one distance: DuckDB now reads another input than the run did.
    let alter = "
import gzip, sys
rows = gzip.open(sys.argv[1], 'rt').read().split('\\n')
at = next(n for n, row in enumerate(rows) if n > 0 and row.split(',')[5].isdigit() and int(row.split(',')[5]) > 60)
cells = rows[at].split(',')
cells[15] = str(int(cells[15]) + 1)
rows[at] = ','.join(cells)
gzip.open(sys.argv[2], 'wt').write('\\n'.join(rows))
";
    let altered = temp.path().join("altered.csv.gz");
    python(alter, &[&original.display().to_string(), &altered.display().to_string()]);
    assert_ne!(differences(temp.path(), &altered.display().to_string()), "");
}
