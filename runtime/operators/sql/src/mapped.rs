//! The expressions of a plan's node, mapped one by one, each kept under the name it had.
//!
//! Every pass over a plan goes through here, since a column's name is that of its expression.
//! Invariant: the names of a node's columns stay. The keys of ROLLUP, CUBE and GROUPING SETS are named one by one: a name
//! around the set itself would be refused.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr_rewriter::{NamePreserver, SavedName};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan};

/// Maps every expression of a node.
pub fn map_expressions(
    node: LogicalPlan,
    mut map: impl FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| match expr {
        Expr::GroupingSet(set) => map_keys(set, &mut map).map(|set| Transformed::yes(Expr::GroupingSet(set))),
        expr => {
            let name = names.save(&expr);
            named(name, expr, &mut map)
        }
    })
}

fn map_keys(set: GroupingSet, map: &mut impl FnMut(Expr) -> Result<Transformed<Expr>>) -> Result<GroupingSet> {
    let names = NamePreserver::new_for_projection();
    let mut all = |keys: Vec<Expr>| -> Result<Vec<Expr>> {
        keys.into_iter().map(|key| Ok(named(names.save(&key), key, map)?.data)).collect()
    };
    Ok(match set {
        GroupingSet::Rollup(keys) => GroupingSet::Rollup(all(keys)?),
        GroupingSet::Cube(keys) => GroupingSet::Cube(all(keys)?),
        GroupingSet::GroupingSets(sets) => GroupingSet::GroupingSets(sets.into_iter().map(all).collect::<Result<_>>()?),
    })
}

fn named(
    name: SavedName,
    expr: Expr,
    map: &mut impl FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    Ok(map(expr)?.update_data(|expr| name.restore(expr)))
}
