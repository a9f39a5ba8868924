//! Queries that run per batch.

use arrow::array::{ListArray, StructArray};
use arrow::datatypes::{Field, Fields, Int64Type};
use rde_core::{Balance, Lanes};

use super::*;

#[test]
fn filters_and_projections_keep_order_and_count_what_they_leave_out() {
    check(
        "SELECT carrier, dep_delay * 2 AS twice FROM flights WHERE dep_delay > 0",
        &[flights()],
        &["AA 40", "UA 6", "UA 180"],
    );
    let answer = run("SELECT carrier FROM flights WHERE dep_delay > 0", &[flights()]);
    assert_eq!(answer.filtered, 2, "one row is null and one is negative");
    check("SELECT * FROM flights WHERE \"Tail\" = 'c'", &[flights()], &["AA ∅ 300.0 c"]);
}

#[test]
fn nested_queries_expressions_and_aliases_run_per_batch() {
    let query = "WITH late AS (SELECT carrier AS c, dep_delay AS d FROM flights WHERE dep_delay IS NOT NULL) \
                 SELECT upper(c) || '!' AS who, CASE WHEN d > 15 THEN 'late' ELSE 'ok' END AS how FROM (SELECT * FROM late) l WHERE d <> 3";
    check(query, &[flights()], &["AA! late", "DL! ok", "UA! late"]);
    check("SELECT coalesce(dep_delay, 0) AS d FROM flights f", &[flights()], &["20", "3", "0", "-5", "90"]);
}

#[test]
fn an_expression_is_named_by_its_own_text() {
    let answer = run("SELECT dep_delay + 1, upper(carrier), f.carrier FROM flights f", &[flights()]);
    assert_eq!(answer.columns, ["dep_delay + 1: Int64", "upper(carrier): Utf8", "carrier: Utf8"]);
}

#[test]
fn a_division_by_zero_costs_its_own_row_only() {
    let input = ("t", table(vec![("x", ints(&[10, 20, 30, 40, 50])), ("y", ints(&[1, 0, 3, 0, 5]))]));
    for seed in [None, Some(0), Some(1), Some(2)] {
        let answer = run_with("SELECT x / y AS q FROM t", &[input.clone()], seed, Settings::default());
        assert_eq!(answer.rows, ["10", "10", "10"]);
        assert_eq!(answer.rejected, ["RDE0450 division by zero: 20 0", "RDE0450 division by zero: 40 0"]);
    }
}

#[test]
fn a_row_that_where_drops_never_fails() {
    let input = ("t", table(vec![("x", ints(&[10, 20, 30])), ("y", ints(&[1, 0, 3]))]));
    for query in [
        "SELECT x / y AS q FROM t WHERE y <> 0",
        "SELECT 1 AS one FROM t WHERE x / y > 0 AND y <> 0",
        "SELECT x / y AS q FROM (SELECT * FROM t WHERE y <> 0) WHERE x / y > 0",
        "SELECT x FROM t WHERE NOT (y = 0 OR x / y < 0)",
    ] {
        for seed in [None, Some(0), Some(5)] {
            let answer = run_with(query, &[input.clone()], seed, Settings::default());
            assert_eq!((answer.rows.len(), answer.rejected.len(), answer.filtered), (2, 0, 1), "{query}");
        }
    }
}

#[test]
fn the_right_side_of_and_and_or_is_evaluated_only_where_the_left_is_open() {
    let input = ("t", table(vec![("y", maybe_ints(&[Some(0), Some(2), None]))]));
    check("SELECT y <> 0 AND 10 / y > 1 AS both FROM t", &[input.clone()], &["false", "true", "∅"]);
    check("SELECT y = 0 OR 10 / y > 7 AS either FROM t", &[input], &["true", "false", "∅"]);
}

#[test]
fn integers_overflow_into_failed_rows() {
    let input = ("t", table(vec![("x", ints(&[i64::MAX, 1, i64::MIN]))]));
    let failed = |query: &str| {
        let answer = run(query, &[input.clone()]);
        assert!(answer.rejected.iter().all(|row| row.starts_with("RDE0451")), "{query}: {answer:?}");
        answer.rejected.len()
    };
    assert_eq!(failed("SELECT x + 1 AS y FROM t"), 1);
    assert_eq!(failed("SELECT x - 1 AS y FROM t"), 1);
    assert_eq!(failed("SELECT x * 2 AS y FROM t"), 2);
    assert_eq!(failed("SELECT -x AS y FROM t"), 1);
    assert_eq!(failed("SELECT abs(x) AS y FROM t"), 1);
    assert_eq!(failed("SELECT x / -1 AS y FROM t"), 1);
    assert_eq!(failed("SELECT 9223372036854775807 + 1 AS y FROM t"), 3);
    assert_eq!(failed("SELECT CAST(x AS INT) + CAST(1 AS INT) AS y FROM t WHERE x = 1"), 0);
    check("SELECT x % -1 AS y FROM t", &[input], &["0", "0", "0"]);
}

#[test]
fn a_cast_that_fails_is_a_failed_row_and_never_a_null() {
    let input = ("t", table(vec![("s", texts(&["1", "x", "3"])), ("f", floats(&[1.5, 2.0, 1e30]))]));
    let answer = run("SELECT CAST(s AS BIGINT) AS n FROM t", &[input.clone()]);
    assert_eq!(answer.rows, ["1", "3"]);
    assert_eq!(answer.rejected.len(), 1);
    assert!(answer.rejected[0].starts_with("RDE0452"), "{answer:?}");
    let answer = run("SELECT CAST(f AS INT) AS n FROM t", &[input.clone()]);
    assert_eq!((answer.rows, answer.rejected.len()), (vec!["1".into(), "2".into()], 1));
    check("SELECT TRY_CAST(s AS BIGINT) AS n FROM t", &[input.clone()], &["1", "∅", "3"]);
    let answer = run("SELECT s FROM t WHERE s > 1", &[input]);
    assert_eq!((answer.rows.len(), answer.rejected.len(), answer.filtered), (1, 1, 1), "{answer:?}");
}

#[test]
fn rejected_and_kept_rows_add_up_over_a_long_batch() {
    let values: Vec<i64> = (0..5000).map(|n| n % 7).collect();
    let input = ("t", table(vec![("y", ints(&values))]));
    let answer = run_with("SELECT 6 / y AS q FROM t WHERE y <> 3", &[input], Some(9), Settings::default());
    let count = |value: i64| values.iter().filter(|other| **other == value).count();
    assert_eq!(answer.rejected.len(), count(0));
    assert_eq!(answer.filtered as usize, count(3));
    assert_eq!(answer.rows.len(), 5000 - count(0) - count(3));
    let expected: Vec<String> = values.iter().filter(|y| **y != 0 && **y != 3).map(|y| (6 / y).to_string()).collect();
    assert_eq!(answer.rows, expected);
}

#[test]
fn unnest_repeats_the_row_and_drops_rows_with_empty_lists() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        Some(vec![]),
        None,
        Some(vec![Some(4)]),
    ]);
    let input = ("t", table(vec![("id", ints(&[1, 2, 3, 4])), ("l", Arc::new(lists))]));
    check("SELECT id, unnest(l) AS x FROM t", &[input.clone()], &["1 1", "1 ∅", "4 4"]);
    assert_eq!(run("SELECT unnest(l) FROM t", &[input.clone()]).columns, ["unnest(l): Int64"]);
    check(
        "SELECT id, unnest(l) AS a, unnest([10, 20]) AS b FROM t WHERE id > 2",
        &[input.clone()],
        &["3 ∅ 10", "3 ∅ 20", "4 4 10", "4 ∅ 20"],
    );
    let plan = bind("SELECT id, unnest(l) AS x FROM t", &[input], false).expect("unnest runs per batch");
    assert_eq!((plan.traits().whole, plan.traits().balance), (false, Balance::Free));
}

#[test]
fn unnest_of_a_struct_makes_a_column_of_each_field() {
    let fields = Fields::from(vec![
        Field::new("a", arrow::datatypes::DataType::Int64, true),
        Field::new("b", arrow::datatypes::DataType::Utf8, true),
    ]);
    let nulls = arrow::buffer::NullBuffer::from(vec![true, false]);
    let structs = StructArray::new(fields, vec![ints(&[1, 2]), texts(&["x", "y"])], Some(nulls));
    let input = ("t", table(vec![("id", ints(&[1, 2])), ("s", Arc::new(structs))]));
    check("SELECT unnest(s), id FROM t", &[input.clone()], &["1 x 1", "∅ ∅ 2"]);
    check("SELECT s['a'] AS a FROM t", &[input.clone()], &["1", "∅"]);
    assert_eq!(run("SELECT unnest(s), id FROM t", &[input]).columns, ["a: Int64", "b: Utf8", "id: Int64"]);
}

#[test]
fn union_all_sends_each_input_through_its_own_branch() {
    let one = ("one", table(vec![("x", ints(&[1, 2]))]));
    let two = ("two", table(vec![("y", floats(&[0.5]))]));
    check("SELECT x FROM one WHERE x > 1 UNION ALL SELECT y FROM two", &[one.clone(), two], &["2.0", "0.5"]);
    let plan = bind("SELECT x FROM one UNION ALL SELECT x + 1 FROM one", &[one.clone()], false).expect("per batch");
    assert_eq!(plan.traits().balance, Balance::Free);
    check_unordered("SELECT x FROM one UNION ALL SELECT x + 10 FROM one", &[one], &["1", "11", "12", "2"]);
}

#[test]
fn a_projection_runs_in_many_lanes_and_its_counts_balance() {
    let plan = bind("SELECT carrier FROM flights WHERE dep_delay > 1", &[flights()], false).expect("per batch");
    let traits = plan.traits();
    assert_eq!((traits.whole, traits.lanes, traits.balance), (false, Lanes::Many, Balance::Checked));
}

#[test]
fn now_is_the_start_of_the_run_and_chance_is_seeded() {
    let input = ("t", table(vec![("x", ints(&[1, 2]))]));
    let answer = run(
        "SELECT now() AS a, current_date AS b, current_timestamp AS c, current_time AS d FROM t WHERE x = 1",
        &[input.clone()],
    );
    assert_eq!(answer.rows, ["2013-01-01T12:00:00Z 2013-01-01 2013-01-01T12:00:00Z 12:00:00"]);
    let twice = || run("SELECT random() AS r, uuid() AS u FROM t", &[input.clone()]);
    assert_eq!(twice(), twice());
    let answer = twice();
    assert_ne!(answer.rows[0], answer.rows[1]);
    assert!(answer.rows.iter().all(|row| row.starts_with("0.")), "{answer:?}");
}

#[test]
fn timestamps_are_in_microseconds_and_dates_compare_with_texts() {
    let input = ("t", table(vec![("d", dates(&[0, 15_706]))]));
    let answer = run(
        "SELECT CAST(d AS TIMESTAMP) AS t, d + INTERVAL '1 day' AS next FROM t WHERE d > '2000-01-01'",
        &[input.clone()],
    );
    assert_eq!(answer.columns[0], "t: Timestamp(µs)");
    assert_eq!(answer.rows.len(), 1);
    check("SELECT d - CAST('1970-01-02' AS DATE) AS days FROM t", &[input], &["-1", "15705"]);
}

#[test]
fn a_batch_may_have_fewer_columns_than_were_bound_when_they_are_not_read() {
    let (name, batch) = flights();
    let mut plan = parse("SELECT carrier FROM flights WHERE dep_delay > 0").expect("the query reads");
    plan.bind(&[shape(name, &batch.schema(), false)]).expect("the query binds");
    plan.wanted(&[Wanted::all()]);
    let narrow = batch.project(&[1, 0]).expect("the columns exist");
    plan.bind(&[shape(name, &narrow.schema(), false)]).expect("what is read is still there");
    let Operator::Transform(mut lanes) = open(plan, Settings::default()) else { panic!("it runs per batch") };
    let answer = run_batches(lanes.swap_remove(0), &[(name, narrow)], Some(4));
    assert_eq!(answer.rows, ["AA", "UA", "UA"]);
}

#[test]
fn a_new_column_reaches_select_star_and_a_lost_one_fails_by_name() {
    let (name, batch) = flights();
    let plan = bind("SELECT * FROM flights", &[(name, batch.project(&[0]).expect("it exists"))], false);
    let Operator::Transform(mut lanes) = open(plan.expect("the query binds"), Settings::default()) else {
        panic!("per batch")
    };
    let mut out = Output::new();
    for (version, schema) in [(1, batch.project(&[0]).expect("it exists").schema()), (2, batch.schema())] {
        let version = SchemaVersion { version, schema, cause: None };
        lanes[0].schema(0, &version, &mut out).expect("a new column is no fault");
    }
    let schemas: Vec<usize> = out
        .staged()
        .iter()
        .filter_map(|one| if let Staged::Schema(_, schema, _) = one { Some(schema.fields().len()) } else { None })
        .collect();
    assert_eq!(schemas, [1, 4]);
    let plan = bind("SELECT dep_delay FROM flights", &[flights()], false).expect("the query binds");
    let Operator::Transform(mut lanes) = open(plan, Settings::default()) else { panic!("per batch") };
    let version = SchemaVersion { version: 2, schema: batch.project(&[0]).expect("it exists").schema(), cause: None };
    let error = lanes[0].schema(0, &version, &mut out).expect_err("a column that is read is gone");
    assert_eq!(error.code(), "RDE0461");
    assert!(error.message().contains("dep_delay"), "{error}");
}

#[test]
fn unknown_inputs_are_planned_when_their_columns_come() {
    let mut plan =
        parse("SELECT carrier, dep_delay + 1 AS d FROM flights WHERE dep_delay > 0").expect("the query reads");
    let (name, batch) = flights();
    let unknown = InputShape {
        port: name.into(),
        from: "flights.out".into(),
        shape: Shape::Unknown("a FIFO".into()),
        bounded: false,
    };
    let outputs = plan.bind(&[unknown]).expect("only the syntax is checked");
    assert!(matches!(&outputs[0].shape, Shape::Unknown(reason) if reason.contains("a FIFO")));
    assert_eq!(plan.wanted(&[Wanted::all()]), vec![Wanted::all()]);
    let Operator::Transform(mut lanes) = open(plan, Settings::default()) else { panic!("per batch") };
    let answer = run_batches(lanes.swap_remove(0), &[(name, batch)], None);
    assert_eq!(answer.rows, ["AA 21", "UA 4", "UA 91"]);
}

#[test]
fn values_of_decimals_and_booleans_are_right() {
    let input = ("t", table(vec![("b", bools(&[Some(true), None, Some(false)])), ("x", ints(&[1, 2, 3]))]));
    check("SELECT x FROM t WHERE b", &[input.clone()], &["1"]);
    check("SELECT x FROM t WHERE NOT b", &[input.clone()], &["3"]);
    check(
        "SELECT CAST(x AS DECIMAL(10, 2)) * CAST('1.50' AS DECIMAL(10, 2)) AS d FROM t",
        &[input.clone()],
        &["1.5000", "3.0000", "4.5000"],
    );
    check("SELECT x / 2 AS q, x / 2.0 AS f FROM t", &[input], &["0 0.5", "1 1.0", "1 1.5"]);
}
