//! What a query asks of its inputs.

use std::collections::BTreeSet;

use rde_core::{Columns, Comparison, Predicate, Scalar};

use super::*;

fn wanted(query: &str, kept: Wanted) -> Vec<Wanted> {
    let inputs = [flights(), carriers()];
    let read: Vec<InputShape> = inputs
        .iter()
        .filter(|(name, _)| query.contains(&format!(" {name}")))
        .map(|(name, batch)| shape(name, &batch.schema(), true))
        .collect();
    let mut plan = parse(query).expect("the query reads");
    plan.bind(&read).expect("the query binds");
    plan.wanted(&[kept])
}

fn named(names: &[&str]) -> Columns {
    Columns::Named(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
}

fn predicate(condition: &str) -> Option<Predicate> {
    wanted(&format!("SELECT * FROM flights WHERE {condition}"), Wanted::all()).swap_remove(0).predicate
}

fn compare(name: &str, comparison: Comparison, scalar: Scalar) -> Predicate {
    Predicate::Compare(name.into(), comparison, scalar)
}

#[test]
fn only_columns_that_are_read_are_asked_for() {
    let one = wanted("SELECT upper(carrier) AS c FROM flights WHERE dep_delay > 15", Wanted::all()).swap_remove(0);
    assert_eq!(one.columns, named(&["carrier", "dep_delay"]));
    assert_eq!(one.predicate, Some(compare("dep_delay", Comparison::Greater, Scalar::Int64(15))));
    assert_eq!(wanted("SELECT * FROM flights", Wanted::all()), [Wanted::all()]);
    let kept = Wanted { columns: named(&["c"]), predicate: None };
    let one = wanted("SELECT carrier AS c, distance * 2 AS d, \"Tail\" FROM flights", kept).swap_remove(0);
    assert_eq!(one.columns, named(&["carrier"]));
    let one = wanted("SELECT count(*) AS n FROM flights", Wanted::all()).swap_remove(0);
    assert_eq!(one.columns, named(&["carrier"]), "a batch has at least one column");
}

#[test]
fn a_join_asks_each_input_for_its_own() {
    let both = wanted(
        "SELECT name FROM flights JOIN carriers USING (carrier) WHERE distance >= 10.5 AND name <> 'Zed'",
        Wanted::all(),
    );
    assert_eq!(both[0].columns, named(&["carrier", "distance"]));
    assert_eq!(both[1].predicate, Some(compare("name", Comparison::NotEqual, Scalar::Utf8("Zed".into()))));
    let outer = wanted(
        "SELECT name FROM flights LEFT JOIN carriers ON flights.carrier = carriers.carrier AND name <> 'Zed'",
        Wanted::all(),
    );
    assert_eq!(outer[0].predicate, None, "a left join keeps all rows of its left side");
}

#[test]
fn conditions_are_pushed_only_where_they_are_exact() {
    let int = |comparison, value| Some(compare("dep_delay", comparison, Scalar::Int64(value)));
    assert_eq!(predicate("dep_delay > 15.5"), int(Comparison::Greater, 15));
    assert_eq!(predicate("dep_delay >= 15.5"), int(Comparison::GreaterOrEqual, 16));
    assert_eq!(predicate("15 < dep_delay"), int(Comparison::Greater, 15));
    assert_eq!(predicate("dep_delay = 15.5"), None);
    let float = |comparison, value| compare("distance", comparison, Scalar::Float64(value));
    let finite = float(Comparison::GreaterOrEqual, f64::NEG_INFINITY);
    assert_eq!(predicate("distance < 100"), Some(Predicate::And(vec![float(Comparison::Less, 100.0), finite])));
    assert_eq!(predicate("dep_delay + 1 > 15"), None);
    assert_eq!(predicate("dep_delay > 9007199254740993.0"), None);
    assert_eq!(predicate("carrier LIKE 'A%'"), None);
    assert_eq!(predicate("dep_delay IS NULL"), Some(Predicate::IsNull("dep_delay".into())));
    assert_eq!(predicate("dep_delay = NULL"), None);
    assert_eq!(predicate("random() > 0.5"), None);
}

#[test]
fn a_pushed_predicate_refuses_exactly_the_rows_that_the_query_refuses() {
    let (_, batch) = flights();
    for condition in [
        "carrier IN ('AA', 'DL')",
        "carrier NOT IN ('AA', 'DL')",
        "dep_delay BETWEEN 0 AND 50",
        "dep_delay NOT BETWEEN 0 AND 50",
        "NOT (dep_delay > 3 AND carrier = 'UA')",
        "dep_delay > 3 OR distance < 250",
        "dep_delay IS NOT NULL AND (carrier = 'AA' OR dep_delay <= -5)",
        "dep_delay <> 3.0",
    ] {
        let predicate = predicate(condition).expect(condition);
        let column = |name: &str| batch.column_by_name(name).cloned();
        let mask = predicate.evaluate(batch.num_rows(), &column).expect("the columns exist");
        let kept = arrow::compute::filter_record_batch(&batch, &mask).expect("the mask is as long");
        let answer = run(&format!("SELECT * FROM flights WHERE {condition}"), &[flights()]);
        assert_eq!(cells(&kept), answer.rows, "{condition}");
    }
}
