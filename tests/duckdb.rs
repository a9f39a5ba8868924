//! SQL answers as DuckDB gives them: the same query over the same file in both, compared row by row.
//!
//! Types that differ by rule (integer division, the type of integer sums) are cast in the query, so that values are compared.

use std::fmt::Write;

use crate::support::{duckdb, root, run_pipeline};

/// Name, and a query that both engines understand. `flights` is January, `planes` all planes.
const QUERIES: &[(&str, &str)] = &[
    ("filter", "SELECT carrier, flight, dep_delay FROM flights WHERE dep_delay > 60 AND origin = 'JFK'"),
    ("nulls", "SELECT flight, dep_time FROM flights WHERE dep_time IS NULL"),
    ("not_null_or", "SELECT flight FROM flights WHERE NOT (dep_delay > 0) OR carrier = 'HA'"),
    (
        "arithmetic",
        "SELECT flight, distance * 2 + 1 AS twice, CAST(distance AS DOUBLE) / air_time AS pace FROM flights WHERE air_time IS NOT NULL",
    ),
    (
        "text",
        "SELECT lower(carrier) AS c, substr(tailnum, 2, 3) AS t, length(dest) AS n, origin || '-' || dest AS leg FROM flights",
    ),
    (
        "case_when",
        "SELECT CASE WHEN dep_delay IS NULL THEN 'none' WHEN dep_delay < 0 THEN 'early' ELSE 'late' END AS way, flight FROM flights",
    ),
    ("in_between", "SELECT flight FROM flights WHERE carrier IN ('UA', 'AA') AND distance BETWEEN 700 AND 1100"),
    ("like", "SELECT tailnum FROM flights WHERE tailnum LIKE 'N1%A%'"),
    ("coalesce", "SELECT coalesce(arr_delay, dep_delay, 0) AS delay FROM flights"),
    ("cast_text", "SELECT CAST(flight AS VARCHAR) AS f, CAST(day AS DOUBLE) AS d FROM flights WHERE day < 3"),
    ("times", "SELECT time_hour, CAST(time_hour AS DATE) AS on_day FROM flights WHERE day = 31"),
    (
        "group",
        "SELECT origin, count(*) AS n, CAST(sum(distance) AS BIGINT) AS total, min(dep_delay) AS least, max(dep_delay) AS most FROM flights GROUP BY origin",
    ),
    ("having", "SELECT carrier, count(dep_time) AS flown FROM flights GROUP BY carrier HAVING count(*) > 1000"),
    ("distinct", "SELECT DISTINCT origin, dest FROM flights"),
    ("count_distinct", "SELECT count(DISTINCT tailnum) AS planes, count(DISTINCT dest) AS places FROM flights"),
    (
        "inner_join",
        "SELECT f.flight, p.manufacturer FROM flights f JOIN planes p ON f.tailnum = p.tailnum WHERE f.day = 1",
    ),
    (
        "left_join",
        "SELECT f.tailnum, p.seats FROM flights f LEFT JOIN planes p ON f.tailnum = p.tailnum WHERE f.day = 2",
    ),
    (
        "anti_join",
        "SELECT count(*) AS n FROM flights f WHERE NOT EXISTS (SELECT 1 FROM planes p WHERE p.tailnum = f.tailnum)",
    ),
    (
        "cte",
        "WITH busy AS (SELECT dest, count(*) AS n FROM flights GROUP BY dest) SELECT dest, n FROM busy WHERE n > 300",
    ),
    ("union", "SELECT origin AS place FROM flights UNION SELECT dest FROM flights"),
    (
        "window",
        "SELECT flight, day, row_number() OVER (PARTITION BY carrier ORDER BY time_hour, flight, dest, tailnum) AS nth FROM flights WHERE carrier = 'HA'",
    ),
    (
        "top",
        "SELECT dep_delay, flight FROM flights WHERE dep_delay IS NOT NULL ORDER BY dep_delay DESC, flight LIMIT 20",
    ),
    ("offset", "SELECT DISTINCT dest FROM flights ORDER BY dest LIMIT 10 OFFSET 5"),
    ("subquery", "SELECT flight, distance FROM flights WHERE distance > (SELECT 2 * avg(distance) FROM flights)"),
];

#[test]
fn sql_gives_the_answers_of_duckdb() {
    let temp = tempfile::tempdir().expect("there is room");
    let flights = root().join("configs/data/flights/flights-2013-01.csv.gz");
    let planes = root().join("configs/data/planes.csv");
    std::fs::write(
        temp.path().join("pipeline.yaml"),
        pipeline(&flights.display().to_string(), &planes.display().to_string()),
    )
    .expect("the pipeline can be written");
    run_pipeline(temp.path(), "pipeline.yaml", &[]);
    let mut failures = Vec::new();
    for (name, query) in QUERIES {
        let ours =
            format!("SELECT * FROM read_parquet('{}')", temp.path().join("out").join(name).join("*.parquet").display());
        let source = |path: &std::path::Path| format!("read_csv('{}', nullstr = ['NA', ''])", path.display());
        let theirs = format!(
            "WITH flights AS (SELECT * FROM {}), planes AS (SELECT * FROM {}) SELECT * FROM ({query})",
            source(&flights),
            source(&planes)
        );
        let count = |query: &str| duckdb(&format!("SELECT count(*) FROM ({query})"));
        let different =
            duckdb(&format!("(({ours}) EXCEPT ALL ({theirs})) UNION ALL (({theirs}) EXCEPT ALL ({ours})) LIMIT 5"));
        if !different.is_empty() || count(&ours) != count(&theirs) || count(&ours) == ["[0]"] {
            failures.push(format!(
                "{name}: {query}\n  rows {:?} and {:?}; different {different:?}",
                count(&ours),
                count(&theirs)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn pipeline(flights: &str, planes: &str) -> String {
    let mut text = format!(
        "name: compared
sources:
  - id: flights
    csv: {{ path: {flights}, null_values: [\"NA\", \"\"] }}
  - id: planes
    csv: {{ path: {planes}, null_values: [\"NA\", \"\"] }}
transforms:
"
    );
    let (mut sinks, mut edges) = ("sinks:\n".to_owned(), "edges:\n".to_owned());
    for (name, query) in QUERIES {
        let _infallible = writeln!(text, "  - id: q_{name}\n    sql:\n      query: |\n        {query}");
        let _infallible = writeln!(sinks, "  - id: s_{name}\n    parquet: {{ path: out/{name} }}");
        let _infallible = writeln!(edges, "  - [flights, q_{name}]\n  - [q_{name}, s_{name}]");
        if query.contains("planes p") {
            let _infallible = writeln!(edges, "  - [planes, q_{name}]");
        }
    }
    text + &sinks + &edges
}
