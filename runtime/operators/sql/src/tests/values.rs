//! Values at the edges of their types: dates beyond nanoseconds, decimals of all digits, floats that are equal and differ.

use arrow::array::{
    Decimal32Array, Decimal128Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use rde_core::Columns;

use super::*;

const SECONDS_PER_DAY: i64 = 86_400;
/// 9999-12-31, 1500-01-01, 1600-05-05, 2024-01-31.
const DAYS: [i32; 4] = [2_932_896, -171_664, -135_015, 19_753];

fn micros(days: i32, seconds: i64) -> i64 {
    (i64::from(days) * SECONDS_PER_DAY + seconds) * 1_000_000
}

/// `t`: 2024 and 9999, 1600 and 1500. `u`: the date 1600.
fn instants() -> [Table; 2] {
    let [end, medieval, renaissance, now] = DAYS;
    let stamps = TimestampMicrosecondArray::from(vec![micros(now, 36_000), micros(renaissance, 0)]);
    let t = table(vec![("k", ints(&[1, 2])), ("ts", Arc::new(stamps)), ("d", dates(&[end, medieval]))]);
    [("t", t), ("u", table(vec![("ts", dates(&[renaissance, end]))]))]
}

#[test]
fn dates_and_texts_meet_timestamps_of_all_years() {
    let [t, u] = instants();
    for (condition, expected) in [
        ("ts < d", &["1"][..]),
        ("ts > '9999-01-01'", &[]),
        ("ts < DATE '9999-12-31'", &["1", "2"]),
        ("d < now()", &["2"]),
        ("ts < current_date", &["2"]),
        ("ts BETWEEN d AND '9999-12-31'", &["2"]),
        ("ts IN (d, '1600-05-05 00:00:00')", &["2"]),
        ("ts NOT IN (d, '1600-05-05 00:00:00')", &["1"]),
        ("CASE ts WHEN DATE '1600-05-05' THEN true ELSE false END", &["2"]),
        ("ts IS DISTINCT FROM DATE '1600-05-05'", &["1"]),
        ("CAST(ts - d AS BIGINT) < 0", &["1"]),
        ("nullif(ts, DATE '1600-05-05') IS NULL", &["2"]),
    ] {
        check(&format!("SELECT k FROM t WHERE {condition}"), &[t.clone()], expected);
    }
    for (value, expected) in [
        ("coalesce(CASE WHEN k = 2 THEN ts END, d)", ["9999-12-31T00:00:00", "1600-05-05T00:00:00"]),
        ("CASE WHEN k = 1 THEN ts ELSE d END", ["2024-01-31T10:00:00", "1500-01-01T00:00:00"]),
        ("greatest(ts, d)", ["9999-12-31T00:00:00", "1600-05-05T00:00:00"]),
        ("date_trunc('day', d)", ["9999-12-31T00:00:00", "1500-01-01T00:00:00"]),
    ] {
        let query = format!("SELECT {value} AS x FROM t");
        check(&query, &[t.clone()], &expected);
        assert_eq!(run(&query, &[t.clone()]).columns, ["x: Timestamp(µs)"], "{value}");
    }
    check(
        "SELECT x FROM (SELECT ts AS x FROM t UNION ALL SELECT d FROM t) ORDER BY x",
        &[t.clone()],
        &["1500-01-01T00:00:00", "1600-05-05T00:00:00", "2024-01-31T10:00:00", "9999-12-31T00:00:00"],
    );
    let both = [t, u];
    for query in [
        "SELECT k FROM t JOIN u ON t.ts = u.ts",
        "SELECT k FROM t JOIN u USING (ts)",
        "SELECT k FROM t WHERE ts IN (SELECT ts FROM u)",
        "SELECT k FROM t JOIN u ON t.k = 2 AND t.ts <= u.ts AND u.ts < '9999-01-01'",
    ] {
        check(query, &both, &["2"]);
    }
}

#[test]
fn timestamps_of_different_units_meet_in_the_finer() {
    let micros = TimestampMicrosecondArray::from(vec![1_000_500]);
    let millis = TimestampMillisecondArray::from(vec![1_000]);
    let input = ("t", table(vec![("a", Arc::new(micros)), ("b", Arc::new(millis))]));
    check("SELECT a = b AS same, a > b AS more FROM t", &[input.clone()], &["false true"]);
    check("SELECT CAST(a - b AS BIGINT) AS n FROM t", &[input], &["500"]);
}

/// `n`: a time in 2024 to the nanosecond, and none; `m`: the same in microseconds, the year 9999, and 1500.
fn nanoseconds() -> [Table; 2] {
    let [end, medieval, _, now] = DAYS;
    let fine = TimestampNanosecondArray::from(vec![Some(micros(now, 36_000) * 1_000 + 1), None]);
    let n = table(vec![("k", ints(&[1, 2])), ("t", Arc::new(fine))]);
    let coarse = TimestampMicrosecondArray::from(vec![micros(now, 36_000), micros(end, 0), micros(medieval, 0)]);
    let m = table(vec![("j", ints(&[1, 2, 3])), ("u", Arc::new(coarse)), ("d", dates(&[now, end, medieval]))]);
    [("n", n), ("m", m)]
}

/// Checks a condition where the query runs per batch, where it needs the whole input, and where rows are only counted: the
/// last two go through the whole optimizer.
fn check_condition(condition: &str, input: &Table, key: &str, expected: &[&str]) {
    let (name, input) = (input.0, [input.clone()]);
    check(&format!("SELECT {key} FROM {name} WHERE {condition}"), &input, expected);
    check(&format!("SELECT {key} FROM {name} WHERE {condition} ORDER BY {key}"), &input, expected);
    let count = expected.len().to_string();
    check(&format!("SELECT count(*) AS n FROM {name} WHERE {condition}"), &input, &[&count]);
}

#[test]
fn nanoseconds_compare_with_instants_beyond_them() {
    let [n, m] = nanoseconds();
    for (condition, expected) in [
        ("t < TIMESTAMP '9999-12-31'", &["1"][..]),
        ("t = TIMESTAMP '9999-12-31'", &[]),
        ("t <> '9999-12-31'", &["1"]),
        ("DATE '1500-01-01' < t", &["1"]),
        ("t > TIMESTAMP '2024-01-31 10:00:00'", &["1"]),
        ("t = '2024-01-31T10:00:00.000000001'", &["1"]),
        ("t BETWEEN '2024-01-31T10:00:00.000000001' AND TIMESTAMP '9999-12-31'", &["1"]),
        ("t BETWEEN '2024-01-31T10:00:00.000000002' AND TIMESTAMP '9999-12-31'", &[]),
        ("t NOT BETWEEN DATE '1500-01-01' AND DATE '9999-12-31'", &[]),
        ("t IN (DATE '9999-12-31', '2024-01-31T10:00:00.000000001')", &["1"]),
        ("t IN (DATE '9999-12-31')", &[]),
        ("t IN (DATE '9999-12-31', '1500-01-01', DATE '1400-01-01')", &[]),
        ("t NOT IN (DATE '9999-12-31', DATE '1500-01-01')", &["1"]),
        ("t NOT IN (DATE '9999-12-31', '2024-01-31T10:00:00.000000001')", &[]),
        ("t IS DISTINCT FROM DATE '9999-12-31'", &["1", "2"]),
        ("(t < TIMESTAMP '9999-12-31') IS NULL", &["2"]),
    ] {
        check_condition(condition, &n, "k", expected);
    }
    let both = [n.clone(), m];
    for (condition, expected) in [
        ("t > u", &["1 1", "1 3"][..]),
        ("t >= u", &["1 1", "1 3"]),
        ("u > t", &["1 2"]),
        ("t <> u", &["1 1", "1 2", "1 3"]),
        ("t = u", &[]),
        ("t = d", &[]),
        ("t - INTERVAL '1 nanosecond' = u", &["1 1"]),
        ("t - INTERVAL '10 hours 1 nanosecond' = d", &["1 1"]),
        ("NOT t = u", &["1 1", "1 2", "1 3"]),
        ("(t = u) IS NULL", &["2 1", "2 2", "2 3"]),
        ("t BETWEEN d AND u", &[]),
        ("t BETWEEN d AND u + INTERVAL '1 second'", &["1 1"]),
        ("d < t", &["1 1", "1 3"]),
    ] {
        check(&format!("SELECT k, j FROM n JOIN m ON {condition} ORDER BY k, j"), &both, expected);
        check(&format!("SELECT k, j FROM n, m WHERE {condition} ORDER BY k, j"), &both, expected);
    }
    check("SELECT k, j FROM n LEFT JOIN m ON t = u ORDER BY k", &both, &["1 ∅", "2 ∅"]);
    check("SELECT k FROM n LEFT ANTI JOIN m ON t = u ORDER BY k", &both, &["1", "2"]);
    check("SELECT k FROM n WHERE EXISTS (SELECT 1 FROM m WHERE m.u < n.t)", &both, &["1"]);
    let answer = bind("SELECT k, (SELECT max(j) FROM m WHERE m.u = n.t) AS j FROM n", &both, true);
    assert!(answer.is_ok(), "{:?}", answer.err());
    let [n, m] = nanoseconds();
    let fields = m.1.schema().fields().clone();
    let renamed = fields.iter().zip(["j", "t", "d"]).map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(arrow::datatypes::Schema::new(renamed.collect::<Vec<_>>()));
    let m = ("m", RecordBatch::try_new(schema, m.1.columns().to_vec()).expect("the same columns"));
    check("SELECT k, j FROM n LEFT JOIN m USING (t) ORDER BY k", &[n.clone(), m.clone()], &["1 ∅", "2 ∅"]);
    check("SELECT k FROM (SELECT k, t FROM n JOIN m USING (t)) WHERE t IS NULL", &[n, m], &[]);
}

/// Scenario: milliseconds, seconds of text and days beside constants with more digits than they have.
/// Guarantees: the constant is not cut to the digits of the column.
#[test]
fn constants_keep_the_digits_that_a_column_does_not_have() {
    let [.., now] = DAYS;
    let millis = TimestampMillisecondArray::from(vec![micros(now, 36_000) / 1_000, micros(now, 36_001) / 1_000]);
    let t = ("t", table(vec![("k", ints(&[1, 2])), ("ms", Arc::new(millis)), ("d", dates(&[now, now + 1]))]));
    for (condition, expected) in [
        ("ms < TIMESTAMP '2024-01-31 10:00:00.000500'", &["1"][..]),
        ("ms <= TIMESTAMP '2024-01-31 10:00:00.000500'", &["1"]),
        ("ms > TIMESTAMP '2024-01-31 10:00:00.000500'", &["2"]),
        ("ms >= TIMESTAMP '2024-01-31 10:00:00.000500'", &["2"]),
        ("ms = TIMESTAMP '2024-01-31 10:00:00.000500'", &[]),
        ("ms <> TIMESTAMP '2024-01-31 10:00:00.000500'", &["1", "2"]),
        ("ms = TIMESTAMP '2024-01-31 10:00:00'", &["1"]),
        ("ms < '2024-01-31T10:00:00.0005'", &["1"]),
        ("'2024-01-31T10:00:01' = ms", &["2"]),
        ("ms IN (TIMESTAMP '2024-01-31 10:00:00.000500', TIMESTAMP '2024-01-31 10:00:01')", &["2"]),
        ("ms NOT IN (TIMESTAMP '2024-01-31 10:00:00.000500', TIMESTAMP '2024-01-31 10:00:01')", &["1"]),
        ("ms BETWEEN TIMESTAMP '2024-01-31 10:00:00.000500' AND TIMESTAMP '2024-01-31 10:00:01.000500'", &["2"]),
        ("ms IS NOT DISTINCT FROM TIMESTAMP '2024-01-31 10:00:00.000500'", &[]),
        ("ms > DATE '2024-01-31'", &["1", "2"]),
        ("d < TIMESTAMP '2024-01-31 00:00:00.000001'", &["1"]),
        ("d = TIMESTAMP '2024-01-31 00:00:00.000001'", &[]),
        ("d >= TIMESTAMP '2024-02-01 00:00:00'", &["2"]),
        ("d < now() AND ms < now()", &["1", "2"][..0]),
    ] {
        check_condition(condition, &t, "k", expected);
    }
    let [.., m] = nanoseconds();
    check_condition("u = arrow_cast('2024-01-31T10:00:00.000000001', 'Timestamp(Nanosecond, None)')", &m, "j", &[]);
    check_condition(
        "u < arrow_cast('2024-01-31T10:00:00.000000001', 'Timestamp(Nanosecond, None)')",
        &m,
        "j",
        &["1", "3"],
    );
}

#[test]
fn nanoseconds_that_must_become_one_column_with_what_they_cannot_hold_fail_the_row() {
    let [_, m] = nanoseconds();
    let answer = run("SELECT coalesce(arrow_cast(NULL, 'Timestamp(Nanosecond, None)'), u) AS x FROM m", &[m]);
    assert_eq!((answer.rows, answer.rejected.len()), (vec!["2024-01-31T10:00:00".to_owned()], 2));
}

#[test]
fn decimals_stay_within_their_digits() {
    let nines = 10_i128.pow(38) - 1;
    let column = Decimal128Array::from(vec![nines, 7]).with_precision_and_scale(38, 0).expect("38 digits");
    let input = ("t", table(vec![("d", Arc::new(column))]));
    for expression in
        ["d + 1", "-d - 1", "d * 10", "d - CAST(-1 AS DECIMAL(38, 0))", "d / CAST('0.1' AS DECIMAL(2, 1))"]
    {
        let answer = run(&format!("SELECT {expression} AS x FROM t"), &[input.clone()]);
        assert_eq!((answer.rows.len(), answer.rejected.len()), (1, 1), "{expression}: {answer:?}");
        assert!(answer.rejected[0].starts_with("RDE0451"), "{expression}: {answer:?}");
    }
    let column = Decimal32Array::from(vec![999_999_999, 7]).with_precision_and_scale(9, 0).expect("9 digits");
    let answer = run("SELECT -x - x AS y FROM t", &[("t", table(vec![("x", Arc::new(column))]))]);
    assert_eq!((answer.rows.as_slice(), answer.rejected.len()), (&["-14".to_owned()][..], 1), "{answer:?}");
}

#[test]
fn trunc_of_integers_is_exact_and_extreme_digits_keep_or_cut_all() {
    let input = ("t", table(vec![("x", ints(&[16_777_217, -1_999])), ("f", floats(&[1e300, 1.5]))]));
    for (expression, expected) in [
        ("trunc(x)", ["16777217", "-1999"]),
        ("trunc(x, 0)", ["16777217", "-1999"]),
        ("trunc(x, 2)", ["16777217", "-1999"]),
        ("trunc(x, -3)", ["16777000", "-1000"]),
        ("trunc(x, -30)", ["0", "0"]),
        ("CAST(trunc(CAST(abs(x) AS BIGINT UNSIGNED), -3) AS BIGINT)", ["16777000", "1000"]),
        ("CAST(round(f, 10) = f AS BIGINT)", ["1", "1"]),
        ("CAST(trunc(f, 400) = f AS BIGINT)", ["1", "1"]),
        ("CAST(round(f, 309) = f AS BIGINT)", ["1", "1"]),
        ("CAST(round(f, -400) AS BIGINT)", ["0", "0"]),
        ("CAST(round(f, x * 0 - 400) AS BIGINT)", ["0", "0"]),
    ] {
        let query = format!("SELECT {expression} AS y FROM t");
        check(&query, &[input.clone()], &expected);
        assert_eq!(run(&query, &[input.clone()]).columns, ["y: Int64"], "{expression}");
    }
    let answer = run("SELECT round(f * 1.7e8, -308) AS y FROM t", &[input.clone()]);
    assert!(answer.rejected[0].starts_with("RDE0451"), "{answer:?}");
    let refused = bind("SELECT trunc(x, x) AS y FROM t", &[input], true).err().expect("digits by row");
    assert_eq!(refused[0].code(), "RDE0416");
}

#[test]
fn instants_that_a_function_cannot_hold_are_failed_rows() {
    let [_, _, renaissance, now] = DAYS;
    let stamps = vec![micros(now, 1_000), micros(renaissance, 0), i64::MIN + 1];
    let input = ("t", table(vec![("ts", Arc::new(TimestampMicrosecondArray::from(stamps))), ("x", ints(&[0, 0, 0]))]));
    let answer = run("SELECT date_bin(INTERVAL '15 minutes', ts) AS b FROM t", &[input.clone()]);
    assert_eq!((answer.rows.as_slice(), answer.rejected.len()), (&["2024-01-31T00:15:00".to_owned()][..], 2));
    let answer = run("SELECT date_bin(INTERVAL '100000 days', ts) AS b FROM t", &[input.clone()]);
    assert_eq!((answer.rows.as_slice(), answer.rejected.len()), (&["1970-01-01T00:00:00".to_owned()][..], 2));
    let early = TimestampMicrosecondArray::from(vec![-1, micros(-100_000, 0)]);
    let early = ("t", table(vec![("ts", Arc::new(early))]));
    let answer = run("SELECT date_bin(INTERVAL '60000 days', ts) AS b FROM t", &[early]);
    assert_eq!((answer.rows.as_slice(), answer.rejected.len()), (&["1805-09-23T00:00:00".to_owned()][..], 1));
    let answer = run("SELECT date_trunc('day', ts) AS b FROM t", &[input]);
    assert_eq!(answer.rows, ["2024-01-31T00:00:00", "1600-05-05T00:00:00"]);
    assert!(answer.rejected[0].starts_with("RDE0453"), "{answer:?}");
    let input = ("t", table(vec![("x", ints(&[86_400_000, i64::MAX]))]));
    let answer = run("SELECT CAST(arrow_cast(x, 'Date64') AS DATE) AS d FROM t", &[input]);
    assert_eq!((answer.rows, answer.rejected.len()), (vec!["1970-01-02".to_owned()], 1));
}

#[test]
fn functions_that_would_panic_give_values_or_failed_rows() {
    let input = ("t", table(vec![("x", ints(&[1, 2])), ("n", ints(&[1, i64::MAX]))]));
    check("SELECT map(['a'], [x]) AS m FROM t", &[input.clone()], &["{a: 1}", "{a: 2}"]);
    check("SELECT map {'a': x} AS m FROM t", &[input.clone()], &["{a: 1}", "{a: 2}"]);
    check("SELECT map(['a'], ['b']) AS m FROM t", &[input.clone()], &["{a: b}", "{a: b}"]);
    check("SELECT map_extract(map(['a'], [x]), 'a') AS m FROM t", &[input.clone()], &["[1]", "[2]"]);
    for query in [
        "SELECT array_repeat(x, n) AS l FROM t",
        "SELECT array_resize([x], n) AS l FROM t",
        "SELECT array_resize([x], 1 - x) AS l FROM t",
        "SELECT map(['a'], array_repeat(x, x)) AS m FROM t",
    ] {
        let answer = run(query, &[input.clone()]);
        assert_eq!((answer.error.as_ref(), answer.rows.len()), (None, 1), "{query}: {answer:?}");
        assert!(answer.rejected[0].starts_with("RDE0453"), "{query}: {answer:?}");
    }
}

#[test]
fn a_panic_is_an_error_of_the_query() {
    let code = |text: &'static str| {
        let error = crate::panics::caught::<()>(|| panic!("{text}")).expect_err("it panicked");
        crate::faults::row_fault(&error).0.id
    };
    assert_eq!(code("offset overflow"), "RDE0453");
    assert_eq!(code("capacity overflow"), "RDE0453");
    assert_eq!(code("attempt to add with overflow"), "RDE0479");
    assert_eq!(code("something else"), "RDE0479");
    assert_eq!(crate::panics::caught(|| Ok(1)).expect("no panic"), 1);
}

/// Zeros and NaNs of both signs, and one.
fn signs() -> Table {
    let values = floats(&[0.0, -0.0, f64::NAN, -f64::NAN, 1.0]);
    ("t", table(vec![("k", ints(&[1, 2, 3, 4, 5])), ("f", values)]))
}

const COMPARISONS: [(&str, &[&str]); 17] = [
    ("f = 0", &["1", "2"]),
    ("f = -0.0", &["1", "2"]),
    ("f <> 0", &["3", "4", "5"]),
    ("f < 0", &[]),
    ("f <= 0", &["1", "2"]),
    ("f > 0", &["3", "4", "5"]),
    ("f >= 0", &["1", "2", "3", "4", "5"]),
    ("f < 5", &["1", "2", "5"]),
    ("f > 5", &["3", "4"]),
    ("NOT f >= 1", &["1", "2"]),
    ("f IN (0.0, 7.5)", &["1", "2"]),
    ("f BETWEEN 0.0 AND 0.5", &["1", "2"]),
    ("f BETWEEN -0.5 AND -0.0", &["1", "2"]),
    ("CASE f WHEN 0.0 THEN true ELSE false END", &["1", "2"]),
    ("nullif(f, 0.0) IS NULL", &["1", "2"]),
    ("f IS DISTINCT FROM 0.0", &["3", "4", "5"]),
    ("f = CAST('NaN' AS DOUBLE)", &["3", "4"]),
];

#[test]
fn floats_compare_as_numbers() {
    for (condition, expected) in COMPARISONS {
        check(&format!("SELECT k FROM t WHERE {condition}"), &[signs()], expected);
        check(&format!("SELECT k FROM t WHERE ({condition}) AND k + 1 > 0"), &[signs()], expected);
    }
    check("SELECT k FROM t WHERE CAST(f AS REAL) = 0", &[signs()], &["1", "2"]);
    let answer = run("SELECT f FROM t WHERE k = 2", &[signs()]);
    assert_eq!(answer.rows, ["-0.0"], "values that are not compared stay");
}

#[test]
fn a_source_keeps_every_float_that_the_query_keeps() {
    let (name, batch) = signs();
    for (condition, expected) in COMPARISONS {
        let mut plan = parse(&format!("SELECT k FROM t WHERE {condition}")).expect("the query reads");
        plan.bind(&[shape(name, &batch.schema(), true)]).expect("the query binds");
        let wanted = plan.wanted(&[Wanted { columns: Columns::All, predicate: None }]).swap_remove(0);
        let Some(predicate) = wanted.predicate else { continue };
        let column = |name: &str| batch.column_by_name(name).cloned();
        let mask = predicate.evaluate(batch.num_rows(), &column).expect("the columns exist");
        let kept = arrow::compute::filter_record_batch(&batch, &mask).expect("the mask is as long");
        let kept: Vec<String> = cells(&kept.project(&[0]).expect("k is there"));
        assert_eq!(kept, expected, "{condition}");
    }
}

#[test]
fn floats_are_keys_as_numbers() {
    let one = [signs()];
    check("SELECT f, count(*) AS n FROM t GROUP BY f ORDER BY f", &one, &["0.0 2", "1.0 1", "NaN 2"]);
    check("SELECT t.f FROM t GROUP BY t.f ORDER BY t.f", &one, &["0.0", "1.0", "NaN"]);
    check("SELECT DISTINCT f FROM t ORDER BY f", &one, &["0.0", "1.0", "NaN"]);
    check("SELECT f, count(*) AS n FROM t GROUP BY ROLLUP (f) ORDER BY f", &one, &["0.0 2", "1.0 1", "NaN 2", "∅ 5"]);
    check(
        "SELECT f = 0 AS z, count(*) AS n FROM t GROUP BY ROLLUP (f = 0) ORDER BY n, z",
        &one,
        &["true 2", "false 3", "∅ 5"],
    );
    check(
        "SELECT k + 1 AS z, count(*) AS n FROM t GROUP BY GROUPING SETS ((k + 1), (f < 1)) ORDER BY z LIMIT 2",
        &one,
        &["2 1", "3 1"],
    );
    check("SELECT count(DISTINCT f) AS n, min(f) AS l, max(f) AS m FROM t", &one, &["3 0.0 NaN"]);
    check("SELECT k FROM t ORDER BY f, k", &one, &["1", "2", "5", "3", "4"]);
    check(
        "SELECT k, rank() OVER (ORDER BY f) AS r, count(*) OVER (PARTITION BY f) AS n FROM t ORDER BY k",
        &one,
        &["1 1 2", "2 1 2", "3 4 2", "4 4 2", "5 3 1"],
    );
    check("SELECT count(*) AS n FROM t a JOIN t b ON a.f = b.f", &one, &["9"]);
    check("SELECT count(*) AS n FROM t a JOIN t b USING (f)", &one, &["9"]);
    check("SELECT k FROM t WHERE f IN (SELECT f FROM t WHERE k = 2) ORDER BY k", &one, &["1", "2"]);
    check("SELECT f FROM t WHERE k < 3 UNION SELECT f FROM t WHERE k = 2", &one, &["0.0"]);
    check("SELECT f FROM t WHERE k = 1 EXCEPT SELECT f FROM t WHERE k = 2", &one, &[]);
}
