//! Faults found before a run, with their places.

use arrow::datatypes::DataType;
use rde_core::TypeNote;

use super::*;

/// Code and the characters of the query that each fault points at.
fn faults(query: &str) -> Vec<String> {
    let errors = bind(query, &[flights(), carriers()], true).err().unwrap_or_default();
    errors.iter().map(|error| format!("{} {}", error.code(), pointed(query, error))).collect()
}

fn pointed(query: &str, error: &Error) -> String {
    assert_eq!(error.operator(), Some("query"), "{error:?}");
    assert!(error.help_text().is_some(), "{error:?}");
    let place = error.place().expect("every fault has a place");
    assert_eq!(place.pointer, "/query");
    place.within.clone().map_or("-".into(), |within| query.chars().skip(within.start).take(within.len()).collect())
}

fn first(query: &str) -> Error {
    bind(query, &[flights()], true).err().expect("the query is faulty").swap_remove(0)
}

#[test]
fn what_is_no_select_is_refused_with_its_place() {
    for (query, fault) in [
        ("COPY flights TO 'x.csv'", "RDE0403 COPY"),
        ("CREATE TABLE t AS SELECT * FROM flights", "RDE0403 CREATE"),
        ("INSERT INTO flights SELECT * FROM flights", "RDE0403 INSERT"),
        ("EXPLAIN SELECT * FROM flights", "RDE0403 EXPLAIN"),
        ("SELECT 1 FROM flights; DROP TABLE flights", "RDE0403 DROP"),
        ("", "RDE0403 -"),
        ("SELECT * FROM 'data/flights.csv'", "RDE0404 'data/flights.csv'"),
        ("SELECT * FROM \"https://example.org/x.parquet\"", "RDE0404 \"https://example.org/x.parquet\""),
        ("SELECT * FROM read_csv('x.csv')", "RDE0405 read_csv"),
        ("SELECT * FROM generate_series(1, 10)", "RDE0405 generate_series"),
        ("SELECT carrier FORM flights", "RDE0402 flights"),
        ("SELECT * FROM flights WHERE dep_delay > $1", "RDE0406 $1"),
        ("WITH RECURSIVE r AS (SELECT 1 AS x) SELECT * FROM r, flights", "RDE0406 WITH"),
        ("SELECT * FROM flights TABLESAMPLE (10)", "RDE0406 flights"),
        ("SELECT carrier FROM flights INTERSECT ALL SELECT carrier FROM flights", "RDE0406 INTERSECT"),
        ("(SELECT carrier FROM flights) EXCEPT ALL (SELECT carrier FROM flights)", "RDE0406 EXCEPT"),
    ] {
        let found = parse(query).err().unwrap_or_default();
        let found: Vec<String> =
            found.iter().map(|error| format!("{} {}", error.code(), pointed(query, error))).collect();
        assert_eq!(found, [fault], "{query}");
    }
}

#[test]
fn every_unknown_name_is_found_at_once() {
    let query =
        "SELECT carier, f.distnce, nosuch(carrier) FROM flights f JOIN carriers USING (carrier)\nWHERE dep_dely > 1";
    let mut found = faults(query);
    found.sort_unstable();
    assert_eq!(found, ["RDE0413 carier", "RDE0413 dep_dely", "RDE0413 f.distnce", "RDE0415 nosuch"]);
}

#[test]
fn unknown_tables_are_all_found_and_hide_unread_inputs() {
    let found = faults("SELECT * FROM flihgts JOIN other USING (carrier)");
    assert_eq!(found, ["RDE0410 flihgts", "RDE0410 other"]);
    assert_eq!(faults("SELECT carrier FROM flights"), ["RDE0411 -"]);
    assert_eq!(faults("SELECT 1 AS one"), ["RDE0420 -"]);
}

#[test]
fn a_name_that_differs_in_case_only_is_suggested_in_quotes() {
    let error = first("SELECT Tail FROM flights");
    assert_eq!(error.help_text(), Some("names without quotes fold to lower case; write `\"Tail\"`"));
    let error = first("SELECT carrier FROM \"Flights\"");
    assert!(error.help_text().is_some_and(|help| help.contains("write `flights`")), "{error:?}");
    let error = first("SELECT dep_dealy FROM flights");
    assert!(error.help_text().is_some_and(|help| help.starts_with("did you mean `dep_delay`?")), "{error:?}");
}

#[test]
fn two_columns_of_one_name_and_columns_without_type_are_faults() {
    assert_eq!(first("SELECT carrier, carrier FROM flights").code(), "RDE0417");
    assert_eq!(first("SELECT carrier, dep_delay AS carrier FROM flights").code(), "RDE0417");
    let errors = bind("SELECT f.carrier, c.carrier FROM flights f, carriers c", &[flights(), carriers()], true);
    assert_eq!(errors.err().expect("two columns of one name")[0].code(), "RDE0417");
    assert_eq!(first("SELECT NULL AS x FROM flights").code(), "RDE0418");
    assert!(bind("SELECT CAST(NULL AS INT) AS x FROM flights", &[flights()], true).is_ok());
}

#[test]
fn ambiguous_names_and_types_that_do_not_fit_have_places() {
    assert_eq!(faults("SELECT carrier FROM flights, carriers"), ["RDE0414 carrier"]);
    let query = "SELECT distance, dep_delay + carrier AS x FROM flights";
    let error = first(query);
    assert_eq!(format!("{} {}", error.code(), pointed(query, &error)), "RDE0416 dep_delay + carrier");
    let query = "SELECT count(*), carrier FROM flights";
    let error = first(query);
    assert_eq!(format!("{} {}", error.code(), pointed(query, &error)), "RDE0416 carrier");
    let query = "SELECT sum(carrier) AS s, upper(distance) AS u, nope FROM flights";
    let errors = bind(query, &[flights()], true).err().expect("three faults");
    let mut found: Vec<String> = errors.iter().map(|error| pointed(query, error)).collect();
    found.sort_unstable();
    assert_eq!(found, ["nope", "sum", "upper"], "{errors:?}");
}

#[test]
fn a_query_that_can_be_read_but_not_run_is_refused_before_the_run() {
    for query in [
        "SELECT carrier, (SELECT max(g.dep_delay) FROM flights g WHERE g.distance > f.distance) AS most FROM flights f",
        "SELECT f.carrier, x.d FROM flights f, LATERAL (SELECT dep_delay + f.distance AS d FROM flights LIMIT 1) x",
        "SELECT carrier FROM flights WHERE row_number() OVER (ORDER BY dep_delay) = 1",
        "SELECT carrier FROM flights LIMIT -1",
    ] {
        let found = bind(query, &[flights()], true).err().unwrap_or_default();
        let codes: Vec<&str> = found.iter().map(Error::code).collect();
        assert!(matches!(codes[..], ["RDE0406" | "RDE0416"]), "{query}: {found:?}");
        assert!(found[0].help_text().is_some(), "{found:?}");
    }
}

#[test]
fn two_inputs_of_one_name_are_a_fault() {
    let errors = bind("SELECT carrier FROM flights", &[flights(), flights()], true).err().expect("one name twice");
    assert_eq!(errors[0].code(), "RDE0412");
}

#[test]
fn tables_are_checked_when_columns_are_unknown() {
    let mut plan = parse("SELECT a FROM other").expect("the query reads");
    let unknown = InputShape {
        port: "flights".into(),
        from: "flights.out".into(),
        shape: Shape::Unknown("-".into()),
        bounded: true,
    };
    let errors = plan.bind(&[unknown]).expect_err("no such table").into_vec();
    assert_eq!((errors.len(), errors[0].code()), (1, "RDE0410"));
}

#[test]
fn a_query_has_at_most_64_kib_and_a_long_chain_does_not_overflow_the_stack() {
    let fill = |length: usize| {
        let start = "SELECT carrier FROM flights WHERE dep_delay = 1";
        format!("{start}{}", " ".repeat(length - start.len()))
    };
    assert!(parse(&fill(crate::QUERY_BYTES_MAX)).is_ok());
    assert_eq!(parse(&fill(crate::QUERY_BYTES_MAX + 1)).err().expect("too long")[0].code(), "RDE0407");
    let deep = format!("SELECT {}1{} AS x FROM flights", "(".repeat(60), ")".repeat(60));
    assert_eq!(parse(&deep).err().expect("too deep")[0].code(), "RDE0402");
    let sum = |operators: usize| {
        let sum = vec!["dep_delay"; operators].join("+");
        format!("SELECT {sum} AS x FROM flights WHERE dep_delay = 3")
    };
    let most = crate::query::OPERATORS_MAX;
    let error = parse(&sum(most + 2)).err().expect("too many").swap_remove(0);
    assert_eq!(error.code(), "RDE0408", "{error:?}");
    let query = sum(most + 1);
    let answer = std::thread::Builder::new().stack_size(2 << 20).spawn(move || run(&query, &[flights()]));
    assert_eq!(answer.expect("a thread").join().expect("no overflow").rows, [(3 * (most + 1)).to_string()]);
    let unions = vec!["SELECT carrier FROM flights"; 5_000].join(" UNION ALL ");
    assert_eq!(parse(&unions[..60_000]).err().expect("too deep")[0].code(), "RDE0408");
    let list: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let query = format!("SELECT carrier FROM flights WHERE dep_delay IN ({})", list.join(", "));
    assert_eq!(run(&query, &[flights()]).rows, ["AA", "UA", "UA"]);
}

#[test]
fn the_example_of_the_reference_binds() {
    assert!(bind("SELECT carrier, dep_delay FROM flights WHERE dep_delay > 15", &[flights()], false).is_ok());
    let reference = Sql.reference();
    assert!(reference.schema["properties"]["query"].is_object(), "{}", reference.schema);
    let mut ids: Vec<&str> = crate::codes::ALL.iter().map(|code| code.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), crate::codes::ALL.len());
}

#[test]
fn a_type_fault_says_why_a_column_of_the_query_has_its_type() {
    let note = |column: &str| TypeNote {
        column: column.to_owned(),
        narrower: DataType::Float64,
        text: format!("note of {column}"),
    };
    let help = |query: &str| {
        let mut plan = parse(query).expect("the query reads");
        plan.hear(vec![note("other"), note("Tail"), note("carrier")]);
        let shapes = [shape("flights", &flights().1.schema(), true)];
        let errors = plan.bind(&shapes).map_err(rde_core::Faults::into_vec).expect_err("the query is faulty");
        format!("{} | {}", errors[0].message(), errors[0].help_text().unwrap_or_default())
    };
    for query in [
        "SELECT sum(carrier) AS s FROM flights",
        "SELECT carrier + 1 AS n FROM flights",
        "SELECT round(carrier) AS n, \"Tail\" FROM flights",
        "SELECT \"Tail\", carrier - distance AS n FROM flights",
        "SELECT -carrier AS n FROM flights",
        "SELECT distance FROM flights WHERE carrier + distance > 1",
    ] {
        assert!(help(query).contains(" | note of carrier; else "), "{query}: {}", help(query));
    }
    assert!(!help("SELECT sum(dep_delay) + 'x' AS s, nosuch FROM flights").contains("note"));
    assert!(!help("SELECT round(true) AS n FROM flights").contains("note"));
    assert!(!help("SELECT carier FROM flights").contains("note"));
    assert!(!help("SELECT carrier, sum(distance) AS s FROM flights").contains("note"));
}
