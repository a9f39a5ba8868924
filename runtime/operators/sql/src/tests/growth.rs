//! Functions that make much of little, in a pipeline where one call may make 1 MiB.

use arrow::array::Array;
use rde_core::ByteSize;

use super::*;

fn small() -> Settings {
    Settings { memory_max: ByteSize::mib(4), batch_bytes_max: ByteSize::kib(500), ..Settings::default() }
}

#[test]
fn a_call_that_would_make_too_much_costs_its_own_row_only() {
    let (few, many) = ("a".repeat(10), "a".repeat(2000));
    let input = (
        "t",
        table(vec![
            ("n", ints(&[3, 10_000_000])),
            ("text", texts(&[&few, &many])),
            ("day", dates(&[10_958, 2_000_000])),
            ("hours", dates(&[10_958, 30_000])),
        ]),
    );
    let long = "b".repeat(1000);
    for call in [
        "repeat('ab', n)",
        "lpad('a', n)",
        "rpad('a', n, 'é')",
        &format!("replace(text, 'a', '{long}')"),
        &format!("replace(text, '', '{long}')"),
        "array_repeat(n, n)",
        "array_repeat(text, n)",
        "array_resize([n], n)",
        "array_resize([n], n, n)",
        "array_repeat(true, n)",
        "array_repeat([true, false], n)",
        &format!("array_replace_all(array_repeat('a', length(text)), 'a', '{long}')"),
        &format!("array_to_string(array_repeat(1, length(text)), '{long}')"),
        "range(n)",
        "range(0, n)",
        "range(0, -n, -1)",
        "range(0, n, 2)",
        "generate_series(1, n)",
        "range(DATE '2000-01-01', day, INTERVAL '1 day')",
        "generate_series(DATE '2000-01-01', day, INTERVAL '1 day')",
        "range(CAST(DATE '2000-01-01' AS TIMESTAMP), CAST(hours AS TIMESTAMP), INTERVAL '1 hour')",
        "range(CAST(hours AS TIMESTAMP), CAST(DATE '2000-01-01' AS TIMESTAMP), INTERVAL '-1 hour')",
        "range(arrow_cast(DATE '2000-01-01', 'Date64'), day, INTERVAL '1 day')",
    ] {
        let answer = run_with(&format!("SELECT {call} AS made FROM t"), &[input.clone()], None, small());
        assert_eq!(
            (answer.error.as_ref(), answer.rows.len(), answer.rejected.len()),
            (None, 1, 1),
            "{call}: {answer:?}"
        );
        let fault = &answer.rejected[0];
        assert!(fault.starts_with("RDE0453") && fault.contains("would make more than 1MiB at once"), "{call}: {fault}");
    }
}

#[test]
fn what_is_only_seemingly_large_is_made() {
    let text = format!("{}X", "a".repeat(2000));
    let input = ("t", table(vec![("text", texts(&[&text])), ("n", ints(&[5]))]));
    let query = format!("SELECT length(replace(text, 'X', '{}')) AS l FROM t", "b".repeat(1000));
    let answer = run_with(&query, &[input.clone()], None, small());
    assert_eq!((answer.rows.as_slice(), answer.rejected.len()), (&["3000".to_owned()][..], 0), "{answer:?}");
    for (call, expected) in [
        ("range(10000000, n)", "[]"),
        ("repeat('ab', -n)", ""),
        ("array_repeat(n, -n)", "[]"),
        ("lpad('abc', -n)", ""),
        ("repeat(NULL, n)", "∅"),
        ("repeat('ab', NULL)", "∅"),
        ("array_repeat(NULL, 2)", "[∅, ∅]"),
        ("replace('abc', '', '-')", "-a-b-c-"),
        ("generate_series(3, 1, -1)", "[3, 2, 1]"),
    ] {
        let answer = run_with(&format!("SELECT {call} AS made FROM t"), &[input.clone()], None, small());
        assert_eq!((answer.error.as_ref(), answer.rejected.len()), (None, 0), "{call}: {answer:?}");
        assert_eq!(answer.rows, [expected], "{call}");
    }
}

#[test]
fn steps_that_lead_nowhere_and_sizes_that_are_none_are_refused() {
    let input = ("t", table(vec![("n", ints(&[3, 10_000_000]))]));
    for call in [
        "range(DATE '2021-04-10', DATE '2021-01-01', INTERVAL '1 month -30 days')",
        "range(TIMESTAMP '2021-04-10', TIMESTAMP '2021-05-01', INTERVAL '1 month -30 days')",
        "array_resize([n], nullif(n, n))",
    ] {
        let answer = run_with(&format!("SELECT {call} AS made FROM t"), &[input.clone()], None, small());
        assert_eq!((answer.error.as_ref(), answer.rejected.len()), (None, 2), "{call}: {answer:?}");
    }
    let step = "generate_series(DATE '2021-03-31', DATE '2021-01-31', INTERVAL '-1 month -1 day')";
    let answer = run_with(&format!("SELECT {step} AS made FROM t LIMIT 1"), &[input], None, small());
    assert_eq!(answer.rows, ["[2021-03-31, 2021-02-27]"], "{answer:?}");
}

/// Scenario: each row of a batch fits by itself, all of them together do not.
/// Guarantees: all come, in order, and what is made goes on in parts.
#[test]
fn rows_that_make_too_much_together_come_in_parts() {
    let input = ("t", table(vec![("x", ints(&[1, 2, 3, 4, 5, 6, 7, 8])), ("n", ints(&[20_000; 8]))]));
    let query = "SELECT x, length(r) AS l FROM (SELECT x, repeat('ab', 150000) AS r FROM t)";
    let expected: Vec<String> = (1..=8).map(|x| format!("{x} 300000")).collect();
    for seed in [None, Some(0), Some(1)] {
        let answer = run_with(query, &[input.clone()], seed, small());
        assert_eq!((answer.rows.as_slice(), answer.rejected.len()), (expected.as_slice(), 0), "{seed:?}");
    }
    for (query, count) in [
        ("SELECT x, repeat('ab', 150000) AS r FROM t", 8),
        ("SELECT x, unnest(range(n)) AS y FROM t", 160_000),
        ("SELECT x, unnest(range(n)) AS y FROM t WHERE x > 0 UNION ALL SELECT x, x / (x - 3) AS y FROM t", 140_007),
    ] {
        let plan = bind_with(query, &[input.clone()], true, &small()).expect("the query binds");
        let Operator::Transform(mut lanes) = open(plan, small()) else { panic!("per batch") };
        let (mut out, lane) = (Output::new(), &mut lanes[0]);
        let version = SchemaVersion { version: 1, schema: input.1.schema(), cause: None };
        lane.schema(0, &version, &mut out).expect("the schema is as it was bound");
        let mut flow = lane.batch(0, input.1.clone(), &mut out).expect("the rows fit one by one");
        let (mut calls, mut rows) = (1, Vec::new());
        loop {
            let (staged, _) = out.take();
            let batches = staged.filter_map(|one| if let Staged::Batch(_, batch) = one { Some(batch) } else { None });
            let batches: Vec<RecordBatch> = batches.collect();
            let bytes: usize = batches.iter().flat_map(|batch| batch.columns()).map(bytes_of).sum();
            assert!(bytes <= 3 << 20, "{query}: {bytes} bytes at once");
            rows.extend(batches.iter().flat_map(|batch| cells(&batch.project(&[0]).expect("it exists"))));
            match flow {
                Flow::Done => break,
                Flow::More => flow = lane.more(&mut out).expect("the rows fit one by one"),
                Flow::RetryAfter(_) => panic!("a query does not wait"),
            }
            calls += 1;
        }
        assert_eq!(rows.len(), count, "{query}");
        if !query.contains("UNION") {
            rows.dedup();
            assert_eq!(rows, ["1", "2", "3", "4", "5", "6", "7", "8"], "{query}");
        }
        assert!(calls > 2, "{query}: {calls} calls");
    }
}

fn bytes_of(column: &ArrayRef) -> usize {
    rde_core::row_bytes::range(column, 0, column.len())
}

/// Scenario: calls of constants, which a planner would compute to look at the result.
/// Guarantees: a query is planned without making them; a run fails with the cause.
#[test]
fn constants_are_not_made_when_a_query_is_planned() {
    let input = ("t", table(vec![("x", ints(&[1, 2]))]));
    // The last one fits a row by itself, but not the two that there are.
    for call in ["range(1, 100000000000)", "repeat(upper('a'), 2000000000)", "repeat('a', 700000)"] {
        if call.ends_with("700000)") {
            let whole =
                run_with(&format!("SELECT x, {call} AS made FROM t ORDER BY x"), &[input.clone()], None, small());
            assert!(whole.error.is_some_and(|error| error.contains("would make more than")), "{call}");
            continue;
        }
        let answer = run_with(&format!("SELECT {call} AS made FROM t"), &[input.clone()], None, small());
        assert_eq!((answer.rows.len(), answer.rejected.len()), (0, 2), "{call}: {answer:?}");
        for query in [
            format!("SELECT x, {call} AS made FROM t ORDER BY x"),
            format!("SELECT count(DISTINCT {call}) AS n FROM t"),
            format!("SELECT a.x FROM t a JOIN t b ON a.x = b.x AND {call} IS NOT NULL"),
        ] {
            let answer = run_with(&query, &[input.clone()], None, small());
            let error = answer.error.unwrap_or_default();
            assert!(error.starts_with("data[RDE0453]") && error.contains("would make more than"), "{query}: {error}");
        }
    }
    // Short ones are constants, as functions want them that take nothing else.
    for (query, expected) in [
        ("SELECT count(*) AS n FROM (SELECT unnest(range(1000)) AS y FROM t)", "2000"),
        ("SELECT string_agg(CAST(x AS VARCHAR), repeat('-', 3) ORDER BY x) AS s FROM t", "1---2"),
    ] {
        let answer = run_with(query, &[input.clone()], None, small());
        assert_eq!(answer.rows, [expected], "{query}: {answer:?}");
    }
}

/// A constant that is long enough for the rows of a batch to be too much together.
#[test]
fn a_constant_is_made_for_each_row() {
    let rows: Vec<i64> = (0..100).collect();
    let input = ("t", table(vec![("x", ints(&rows))]));
    let query = format!("SELECT x, '{}' AS constant FROM t", "c".repeat(30_000));
    let plan = bind_with(&query, &[input.clone()], true, &small()).expect("the query binds");
    let Operator::Transform(mut lanes) = open(plan, small()) else { panic!("per batch") };
    let version = SchemaVersion { version: 1, schema: input.1.schema(), cause: None };
    lanes[0].schema(0, &version, &mut Output::new()).expect("the schema is as it was bound");
    assert_eq!(lanes[0].batch(0, input.1.clone(), &mut Output::new()).expect("the rows fit"), Flow::More);
    let answer = run_with(&query, &[input], None, small());
    assert_eq!((answer.rows.len(), answer.rejected.len()), (100, 0));
}
