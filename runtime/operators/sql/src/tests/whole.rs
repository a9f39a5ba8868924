//! Queries over whole inputs.

use std::collections::BTreeMap;

use rde_core::{ByteSize, Lanes};

use super::*;

#[test]
fn groups_sorts_limits_and_windows_are_over_the_whole_input() {
    check(
        "SELECT carrier, count(*) AS n, sum(dep_delay) AS s FROM flights GROUP BY carrier ORDER BY carrier",
        &[flights()],
        &["AA 2 20", "DL 1 -5", "UA 2 93"],
    );
    check("SELECT dep_delay FROM flights ORDER BY dep_delay DESC LIMIT 3", &[flights()], &["∅", "90", "20"]);
    check("SELECT count(*) FROM flights", &[flights()], &["5"]);
    check("SELECT carrier FROM flights ORDER BY distance LIMIT 1 OFFSET 1", &[flights()], &["AA"]);
    check(
        "SELECT \"Tail\", rank() OVER (PARTITION BY carrier ORDER BY distance DESC) AS r FROM flights ORDER BY 1",
        &[flights()],
        &["a 2", "b 2", "c 1", "d 1", "e 1"],
    );
    check_unordered("SELECT DISTINCT carrier FROM flights", &[flights()], &["AA", "DL", "UA"]);
    check("SELECT max(distance) AS m FROM flights HAVING count(*) > 4", &[flights()], &["1000.0"]);
}

#[test]
fn joins_unions_and_subqueries_are_right() {
    let both = [flights(), carriers()];
    check_unordered(
        "SELECT f.\"Tail\", c.name FROM flights f JOIN carriers c ON f.carrier = c.carrier",
        &both,
        &["a American", "b United", "c American", "e United"],
    );
    check_unordered(
        "SELECT f.\"Tail\", c.name FROM flights f LEFT JOIN carriers c USING (carrier)",
        &both,
        &["a American", "b United", "c American", "d ∅", "e United"],
    );
    check("SELECT name FROM carriers WHERE carrier NOT IN (SELECT carrier FROM flights)", &both, &["Zed"]);
    check("SELECT \"Tail\" FROM flights WHERE distance = (SELECT max(distance) FROM flights)", &[flights()], &["e"]);
    check_unordered("SELECT carrier FROM flights UNION SELECT carrier FROM carriers", &both, &["AA", "DL", "UA", "ZZ"]);
    check("SELECT count(*) AS n FROM flights a JOIN flights b ON a.carrier = b.carrier", &[flights()], &["9"]);
}

#[test]
fn sums_of_integers_are_exact_or_fail() {
    let wide = ("t", table(vec![("x", ints(&[i64::MAX, 1, -1])), ("g", ints(&[1, 1, 1]))]));
    check("SELECT sum(x) AS s FROM t", &[wide.clone()], &["9223372036854775807"]);
    check("SELECT g, sum(x) AS s FROM t GROUP BY g", &[wide], &["1 9223372036854775807"]);
    let over = ("t", table(vec![("x", ints(&[i64::MAX, 1])), ("g", ints(&[1, 1]))]));
    for query in [
        "SELECT sum(x) AS s FROM t",
        "SELECT g, sum(x) AS s FROM t GROUP BY g",
        "SELECT sum(DISTINCT x) AS s FROM t",
        "SELECT sum(x) OVER () AS s FROM t",
    ] {
        let answer = run(query, &[over.clone()]);
        assert!(answer.error.as_ref().is_some_and(|error| error.starts_with("data[RDE0451]")), "{query}: {answer:?}");
    }
    let small = ("t", table(vec![("x", maybe_ints(&[Some(5), None, Some(5), Some(7)]))]));
    check(
        "SELECT sum(x) AS s, sum(DISTINCT x) AS d, avg(x) AS a FROM t",
        &[small.clone()],
        &["17 12 5.666666666666667"],
    );
    check("SELECT sum(x) FILTER (WHERE x > 100) AS s FROM t", &[small.clone()], &["∅"]);
    check(
        "SELECT sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t",
        &[small],
        &["5", "10", "12", "7"],
    );
}

#[test]
fn an_expression_that_fails_fails_the_operator_with_its_code() {
    let input = ("t", table(vec![("x", ints(&[1, 0]))]));
    for seed in [None, Some(0)] {
        let answer = run_with("SELECT sum(10 / x) AS s FROM t", &[input.clone()], seed, Settings::default());
        assert_eq!(answer.error.as_deref(), Some("data[RDE0450]: division by zero"));
    }
    check("SELECT sum(10 / x) AS s FROM t WHERE x <> 0 AND 10 / x > 1", &[input.clone()], &["10"]);
    check("SELECT count(*) AS n FROM (SELECT x FROM t WHERE x <> 0) WHERE 10 / x > 1", &[input], &["1"]);
}

#[test]
fn an_error_of_an_input_comes_through_as_it_was() {
    let plan = bind("SELECT count(*) AS n FROM flights", &[flights()], true).expect("the query binds");
    let Operator::AsyncTransform(mut whole) = open(plan, Settings::default()) else { panic!("whole input") };
    let failing = futures::stream::iter([Err(Error::data(&crate::codes::CAST, "the input broke"))]).boxed();
    let (_, mut results) = whole.start(vec![(flights().1.schema(), failing)]).expect("it starts");
    let error = futures::executor::block_on(results.next()).expect("one result").expect_err("the error");
    assert_eq!((error.code(), error.message()), ("RDE0452", "the input broke"));
}

#[test]
fn whole_queries_have_one_lane_and_refuse_unbounded_inputs_with_the_place() {
    let plan = bind("SELECT count(*) AS n FROM flights", &[flights()], true).expect("the input is bounded");
    assert_eq!((plan.traits().whole, plan.traits().lanes), (true, Lanes::One));
    let errors = bind("SELECT carrier FROM flights ORDER BY 1", &[flights()], false).err().expect("never ends");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].code(), "RDE0419");
    assert_eq!(errors[0].place().and_then(|place| place.within.clone()), Some(28..33));
}

/// Guarantees: what the rows pass behind the query is told that they must keep their order.
#[test]
fn only_a_query_that_asks_for_an_order_has_one() {
    let lanes = |query| bind(query, &[flights()], true).expect("the input is bounded").traits().lanes;
    for ordered in [
        "SELECT carrier FROM flights ORDER BY distance",
        "SELECT carrier AS c FROM flights ORDER BY 1 LIMIT 3",
        "SELECT carrier, count(*) AS n FROM flights GROUP BY carrier ORDER BY n",
        "SELECT carrier FROM flights UNION ALL SELECT carrier FROM flights ORDER BY carrier",
    ] {
        assert_eq!(lanes(ordered), Lanes::InOrder, "{ordered}");
    }
    for unordered in [
        "SELECT carrier, count(*) AS n FROM flights GROUP BY carrier",
        "SELECT count(*) AS n FROM (SELECT carrier FROM flights ORDER BY distance) AS f",
        "SELECT rank() OVER (ORDER BY distance) AS r FROM flights",
    ] {
        assert_eq!(lanes(unordered), Lanes::One, "{unordered}");
    }
}

fn small_memory(mib: u64) -> (tempfile::TempDir, Settings) {
    let (folder, spill) = spill_folder();
    (folder, Settings { memory_max: ByteSize::mib(mib), spill, ..Settings::default() })
}

/// Rows of a shuffled key and a text, about 12 MB.
fn large(name: &'static str, seed: u64) -> (Table, Vec<(i64, String)>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut keys: Vec<i64> = (0..100_000).collect();
    random.shuffle(&mut keys);
    let rows: Vec<(i64, String)> = keys.into_iter().map(|key| (key, format!("{key:0>100}"))).collect();
    let values: Vec<&str> = rows.iter().map(|row| row.1.as_str()).collect();
    let keys: Vec<i64> = rows.iter().map(|row| row.0).collect();
    ((name, table(vec![("k", ints(&keys)), ("v", texts(&values))])), rows)
}

/// Slices of one large batch: what is charged must be the slices and not each time the whole.
fn parts(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = 4096;
    (0..batch.num_rows()).step_by(rows).map(|from| batch.slice(from, rows.min(batch.num_rows() - from))).collect()
}

/// Runs a query in little memory. Returns the rows and whether anything was spilled.
fn run_small(query: &str, inputs: &[Table], mib: u64) -> Result<(Vec<String>, usize), Error> {
    let (_folder, settings) = small_memory(mib);
    let spill = settings.spill.clone();
    let shapes: Vec<InputShape> = inputs.iter().map(|(name, batch)| shape(name, &batch.schema(), true)).collect();
    let mut plan = parse(query).expect("the query reads");
    plan.bind(&shapes).expect("the query binds");
    let ctx = context(settings);
    let budget = ctx.budget.clone();
    let opened = futures::executor::block_on(plan.open(ctx)).expect("it opens");
    let Operator::AsyncTransform(mut whole) = opened else { panic!("whole input") };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads can be started");
    let rows = runtime.block_on(async {
        let streams = inputs.iter().map(|(_, batch)| {
            let parts: Vec<_> = parts(batch).into_iter().map(Ok).collect();
            (batch.schema(), futures::stream::iter(parts).boxed())
        });
        let (_, mut results) = whole.start(streams.collect()).expect("it starts");
        let mut rows = Vec::new();
        while let Some(result) = results.next().await {
            let Produced::Batch(batch) = result?;
            rows.extend(cells(&batch));
        }
        Ok(rows)
    });
    assert_eq!(budget.used(), 0, "everything charged is given back");
    assert_eq!(std::fs::read_dir(spill).expect("the query made it").count(), 0, "nothing stays in the spill folder");
    Ok((rows?, budget.peak()))
}

#[test]
fn a_sort_larger_than_its_memory_spills_and_keeps_order() {
    let (input, mut rows) = large("big", 1);
    let (sorted, peak) = run_small("SELECT k, v FROM big ORDER BY k", &[input], 8).expect("it spills");
    rows.sort_unstable();
    let expected: Vec<String> = rows.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
    assert_eq!(sorted.len(), expected.len());
    assert!(sorted == expected, "the order is wrong");
    assert!(peak > 0 && peak <= 8 << 20, "charged at most {peak} bytes");
}

#[test]
fn an_aggregate_larger_than_its_memory_spills() {
    let (input, rows) = large("big", 2);
    let (mut groups, _) = run_small("SELECT v, sum(k) AS s FROM big GROUP BY v", &[input], 12).expect("it spills");
    let mut expected: Vec<String> = rows.into_iter().map(|(key, value)| format!("{value} {key}")).collect();
    groups.sort_unstable();
    expected.sort_unstable();
    assert!(groups == expected, "{} groups", groups.len());
}

#[test]
fn a_join_of_two_large_inputs_spills_and_one_of_a_small_one_does_not_hold_the_large_one() {
    let ((_, left), rows) = large("left", 3);
    let ((_, right), _) = large("right", 4);
    let query = "SELECT l.k, r.v FROM a AS l JOIN b AS r ON l.k = r.k";
    let (joined, _) = run_small(query, &[("a", left.clone()), ("b", right)], 16).expect("it spills");
    assert_eq!(joined.len(), rows.len());
    assert!(joined.iter().all(|row| row.split_once(' ').is_some_and(|(key, value)| value == format!("{key:0>100}"))));
    let small = table(vec![("k", ints(&[5, 7, 1_000_000]))]);
    let (joined, peak) =
        run_small("SELECT l.v FROM a AS l JOIN b AS r ON l.k = r.k", &[("a", left), ("b", small)], 8).expect("small");
    assert_eq!(joined.len(), 2);
    assert!(peak < 4 << 20, "charged {peak} bytes");
}

#[test]
fn not_in_over_two_large_inputs_sees_the_null() {
    let ((_, left), rows) = large("left", 9);
    let mut keys: Vec<Option<i64>> = rows.iter().map(|row| Some(row.0 + 1_000_000)).collect();
    let query = "SELECT count(*) AS n FROM a WHERE k NOT IN (SELECT k FROM b)";
    let count = |keys: &[Option<i64>]| {
        let right = table(vec![("k", maybe_ints(keys))]);
        run_small(query, &[("a", left.clone()), ("b", right)], 16).expect("the list fits").0
    };
    assert_eq!(count(&keys), [rows.len().to_string()]);
    keys.push(None);
    assert_eq!(count(&keys), ["0"]);
}

#[test]
fn an_input_read_twice_is_kept_on_disk() {
    let (input, rows) = large("big", 5);
    let query = "SELECT count(*) AS n FROM big WHERE k > (SELECT avg(k) FROM big)";
    let (count, _) = run_small(query, &[input], 8).expect("it is kept");
    assert_eq!(count, [(rows.len() / 2).to_string()]);
}

#[test]
fn what_cannot_spill_fails_with_the_setting_to_raise() {
    let (input, _) = large("big", 6);
    let error = run_small("SELECT array_agg(v) AS all FROM big", &[input], 4).expect_err("it does not fit");
    assert_eq!(error.code(), "RDE0460");
    assert!(error.help_text().is_some_and(|help| help.contains("memory_max")), "{error:?}");
}

#[test]
fn groups_and_joins_agree_with_plain_loops_at_every_cut_and_parallelism() {
    let mut random = fastrand::Rng::with_seed(11);
    let keys: Vec<i64> = (0..2000).map(|_| random.i64(0..50)).collect();
    let values: Vec<i64> = (0..2000).map(|_| random.i64(-1000..1000)).collect();
    let input = ("t", table(vec![("k", ints(&keys)), ("v", ints(&values))]));
    let mut sums: BTreeMap<i64, (i64, usize)> = BTreeMap::new();
    for (key, value) in keys.iter().zip(&values) {
        let group = sums.entry(*key).or_default();
        *group = (group.0 + value, group.1 + 1);
    }
    let expected: Vec<String> = sums.iter().map(|(key, (sum, count))| format!("{key} {sum} {count}")).collect();
    for (seed, parallelism) in [(None, 1), (Some(1), 1), (Some(2), 4)] {
        let settings = Settings { parallelism, ..Settings::default() };
        let answer = run_with(
            "SELECT k, sum(v) AS s, count(*) AS n FROM t GROUP BY k ORDER BY k",
            &[input.clone()],
            seed,
            settings,
        );
        assert_eq!(answer.error, None);
        assert_eq!(answer.rows, expected);
    }
}
