//! A query on its way to running: bound to its inputs' columns, slimmed to what is wanted of it, opened.
//!
//! `bind` plans over the columns as they are first known. When a source is narrowed later to what was asked of it, that
//! plan stays, since all it reads is still there.
//! Invariant: a query that needs whole inputs opens only over bounded ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::{Distinct, LogicalPlan};
use futures::future::BoxFuture;
use rde_core::{
    Balance, Columns, Error, Faults, Footprint, InputShape, Inputs, Joining, Lanes, OpenContext, Operator, OutputShape,
    Plan, Probe, Random, Result, Shape, Traits, Transform, TypeNote, Wanted,
};

use crate::batch::SqlBatches;
use crate::codes;
use crate::fallible::guard;
use crate::faults::{cannot_run, plan_fault};
use crate::growth;
use crate::place::{list, nearest};
use crate::planner;
use crate::pushdown;
use crate::query::Query;
use crate::run_values::{self, RunValues};
use crate::steps::{Compiled, is_one_to_one, needs_whole};
use crate::whole::{self, SqlWhole};

/// Most columns whose notes are tried against the faults of a query.
const NOTES_MAX: usize = 8;

/// One input of a query.
#[derive(Clone, Debug)]
struct Input {
    name: String,
    /// The columns that the query was planned over.
    planned: Option<SchemaRef>,
    /// The columns that arrive: all or fewer of the planned ones.
    actual: Option<SchemaRef>,
    /// The columns asked for.
    columns: Columns,
}

/// A query with what is known of its inputs.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The operator's id.
    pub operator: Arc<str>,
    query: Arc<Query>,
    /// Most bytes that one call of a function may make.
    made_max: usize,
    inputs: Vec<Input>,
    /// The output columns somebody wants.
    kept: Columns,
    /// Present when the columns of all inputs are known.
    plan: Option<LogicalPlan>,
    whole: Option<String>,
}

impl Bound {
    fn new(operator: &Arc<str>, query: &Arc<Query>, made_max: usize, inputs: &[InputShape]) -> Bound {
        let input = |input: &InputShape| {
            let schema = match &input.shape {
                Shape::Known(schema) => Some(Arc::clone(schema)),
                Shape::Unknown(_) => None,
            };
            Input { name: input.port.clone(), planned: schema.clone(), actual: schema, columns: Columns::All }
        };
        let whole = query.whole.clone();
        let inputs: Vec<Input> = inputs.iter().map(input).collect();
        let several = (inputs.len() > 1).then(|| "reading several inputs whose columns are not known".to_owned());
        let (operator, query) = (Arc::clone(operator), Arc::clone(query));
        let whole = whole.or(several);
        Bound { operator, query, made_max, inputs, kept: Columns::All, plan: None, whole }
    }

    /// Returns whether the columns of all inputs are known.
    pub fn is_complete(&self) -> bool {
        self.inputs.iter().all(|input| input.actual.is_some())
    }

    /// Returns the inputs as tables, with the columns that arrive.
    pub fn tables(&self) -> Vec<planner::Table> {
        self.inputs.iter().filter_map(|input| Some((input.name.clone(), input.actual.clone()?))).collect()
    }

    /// Returns the columns that the query was planned over, input by input.
    pub fn planned(&self) -> Vec<SchemaRef> {
        self.inputs.iter().filter_map(|input| input.planned.clone()).collect()
    }

    /// Plans over the columns that arrive.
    fn replan(&mut self) -> Result<(), Vec<Error>> {
        let tables = self.tables();
        let plan = plan_over(&self.query, &tables, self.made_max)?;
        self.whole = needs_whole(&plan);
        for input in &mut self.inputs {
            input.planned = input.actual.clone();
            input.columns = Columns::All;
        }
        self.plan = Some(plan);
        Ok(())
    }

    /// Keeps the output columns somebody wants, and notes what that needs of each input.
    fn slim(&mut self, kept: Columns) -> datafusion::common::Result<Vec<Wanted>> {
        let Some(plan) = self.plan.take() else { return Ok(vec![Wanted::all(); self.inputs.len()]) };
        let narrowed = pushdown::narrow(plan, &kept)?;
        let tables: Vec<planner::Table> =
            self.inputs.iter().filter_map(|input| Some((input.name.clone(), input.planned.clone()?))).collect();
        let (plan, wanted) = match self.whole {
            None => {
                let slim = pushdown::slim(narrowed)?;
                let wanted = pushdown::of_inputs(&slim, &tables)?;
                (slim, wanted)
            }
            Some(_) => {
                let wanted = pushdown::of_inputs(&pushdown::slim_whole(narrowed.clone())?, &tables)?;
                (narrowed, wanted)
            }
        };
        for (input, wanted) in self.inputs.iter_mut().zip(&wanted) {
            input.columns = wanted.columns.clone();
        }
        self.plan = Some(plan);
        self.kept = kept;
        Ok(wanted)
    }

    /// Takes the columns that arrive on an input. Returns whether everything is as it was.
    pub fn accept(&mut self, index: usize, schema: &SchemaRef) -> Result<bool> {
        let Some(input) = self.inputs.get_mut(index) else { return Ok(true) };
        if self.plan.is_some() && input.actual.as_ref().is_some_and(|actual| same(actual, schema)) {
            return Ok(true);
        }
        let fits = self.plan.is_some()
            && input.planned.as_ref().is_some_and(|planned| serves(planned, schema, &input.columns));
        input.actual = Some(Arc::clone(schema));
        if fits || !self.is_complete() {
            return Ok(false);
        }
        let kept = self.kept.clone();
        let one = |mut faults: Vec<Error>| faults.swap_remove(0);
        self.replan().map_err(one)?;
        self.slim(kept).map_err(|error| plan_fault(&error, &self.query.text).error)?;
        Ok(false)
    }

    /// Returns the plan with a run's values in place.
    pub fn ready(&self, values: &RunValues) -> datafusion::common::Result<LogicalPlan> {
        let plan = self.plan.clone();
        let plan = plan.ok_or_else(|| datafusion::common::internal_datafusion_err!("the query was not planned"))?;
        run_values::bind(plan, values)
    }

    /// Compiles the query for batches.
    pub fn compile(&self, values: &RunValues) -> datafusion::common::Result<Compiled> {
        Compiled::new(&guard(self.ready(values)?)?, &self.tables(), self.made_max)
    }

    /// Returns the query's output columns.
    pub fn output(&self) -> Option<SchemaRef> {
        self.plan.as_ref().map(|plan| Arc::new(plan.schema().as_arrow().clone()))
    }
}

/// Plans a query over tables, and makes sure that it can be run.
fn plan_over(query: &Query, tables: &[planner::Table], made_max: usize) -> Result<LogicalPlan, Vec<Error>> {
    let plan = planner::plan(query, tables)?;
    let cannot_run = |error| vec![cannot_run(&error, &query.text)];
    let plan = growth::bound(plan, made_max).map_err(cannot_run)?;
    rehearse(&plan, tables, made_max).map_err(cannot_run)?;
    Ok(plan)
}

/// Goes through everything that `open` will do with a plan, so that a query that cannot be run is refused by `validate`.
fn rehearse(plan: &LogicalPlan, tables: &[planner::Table], made_max: usize) -> datafusion::common::Result<()> {
    let whole = needs_whole(plan).is_some();
    let values = RunValues { started_micros: 0, random: Random::seeded(0) };
    let plan = run_values::bind(plan.clone(), &values)?;
    if whole { whole::rehearse(plan) } else { Compiled::new(&guard(plan)?, tables, made_max).map(drop) }
}

/// Whether the rows come in an order that the query asks for: by an `ORDER BY` at its top.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_ordered(&projection.input),
        LogicalPlan::Limit(limit) => is_ordered(&limit.input),
        LogicalPlan::Distinct(Distinct::On(on)) => on.sort_expr.is_some(),
        _ => false,
    }
}

/// Whether two schemas have the same columns in the same order.
fn same(left: &Schema, right: &Schema) -> bool {
    let pair = |(left, right): (&Arc<arrow::datatypes::Field>, &Arc<arrow::datatypes::Field>)| {
        left.name() == right.name() && left.data_type() == right.data_type()
    };
    left.fields().len() == right.fields().len() && left.fields().iter().zip(right.fields()).all(pair)
}

/// Whether narrowed columns still hold everything that was asked for.
fn serves(planned: &Schema, actual: &Schema, asked: &Columns) -> bool {
    let known = |field: &Arc<arrow::datatypes::Field>| {
        planned.field_with_name(field.name()).is_ok_and(|planned| planned.data_type() == field.data_type())
    };
    let Columns::Named(asked) = asked else { return same(planned, actual) };
    actual.fields().iter().all(known) && asked.iter().all(|name| actual.field_with_name(name).is_ok())
}

/// The plan of a `sql` operator.
pub struct SqlPlan {
    operator: Arc<str>,
    query: Arc<Query>,
    made_max: usize,
    /// Why columns of the inputs have their types.
    notes: Vec<TypeNote>,
    bound: Option<Bound>,
    wanted: bool,
}

impl SqlPlan {
    /// Makes the plan of a query that was read, in which one call of a function may make so many bytes.
    pub fn new(operator: Arc<str>, query: Query, made_max: usize) -> SqlPlan {
        SqlPlan { operator, query: Arc::new(query), made_max, notes: Vec::new(), bound: None, wanted: false }
    }

    /// Faults in which tables there are and which are read.
    fn table_faults(&self, inputs: &[InputShape]) -> Vec<Error> {
        let mut faults = Vec::new();
        let mut names = BTreeSet::new();
        for input in inputs {
            if !names.insert(input.port.as_str()) {
                let message =
                    format!("two inputs are the table `{}`; the second comes from `{}`", input.port, input.from);
                let help = "edges into `sql` never merge: rename an operator, or put the rows together with UNION ALL";
                faults.push(Error::config(&codes::DUPLICATE_INPUT, message).help(help));
            }
        }
        let mut reported = BTreeSet::new();
        for table in self.query.tables.iter().filter(|table| !names.contains(table.name.as_str())) {
            if !reported.insert(&table.name) {
                continue;
            }
            let place = table.range.clone().map_or(self.query.text.whole(), |range| self.query.text.place(range));
            let same = names.iter().find(|name| name.eq_ignore_ascii_case(&table.written));
            let help = match (same, nearest(&table.name, names.iter().copied())) {
                (Some(same), _) => format!("names without quotes fold to lower case; write `{same}`"),
                (None, Some(near)) => format!("did you mean `{near}`? Tables here are {}", list(names.iter().copied())),
                (None, None) if names.is_empty() => "no edge leads into this operator".to_owned(),
                (None, None) => format!("tables here are {}; add an edge for another", list(names.iter().copied())),
            };
            let message = format!("unknown table `{}`", table.written);
            faults.push(Error::config(&codes::UNKNOWN_TABLE, message).at(place).help(help));
        }
        if faults.is_empty() {
            faults.extend(self.unread(inputs));
        }
        faults
    }

    fn unread(&self, inputs: &[InputShape]) -> Vec<Error> {
        if self.query.tables.is_empty() {
            let message = "the query reads no table";
            let help = "name an operator that sends to this one in FROM";
            return vec![Error::config(&codes::NO_INPUT, message).at(self.query.text.whole()).help(help)];
        }
        let read = |input: &&InputShape| self.query.tables.iter().any(|table| table.name == input.port);
        let unread = inputs.iter().filter(|input| !read(input)).map(|input| {
            let message = format!("the query does not read the table `{}`, to which an edge leads", input.port);
            Error::config(&codes::UNUSED_INPUT, message)
                .at(self.query.text.whole())
                .help(format!("name `{}` in FROM, or remove the edge from `{}`", input.port, input.from))
        });
        unread.collect()
    }

    fn unbounded(&self, inputs: &[InputShape], whole: Option<&String>) -> Option<Error> {
        let why = whole?;
        let input = inputs.iter().find(|input| !input.bounded)?;
        let word = why.split('`').nth(1).and_then(|what| self.query.text.word(what.split(' ').next().unwrap_or(what)));
        let place = word.map_or(self.query.text.whole(), |range| self.query.text.place(range));
        let message = format!("{why} needs whole inputs, and `{}` never ends", input.port);
        let help = "bound the source, or keep to projections, filters, casts, `unnest` and scalar functions";
        Some(Error::config(&codes::UNBOUNDED, message).at(place).help(help))
    }

    fn bind_inputs(&mut self, inputs: &[InputShape]) -> Result<Shape, Vec<Error>> {
        if let Some(shape) = self.rebind(inputs) {
            return Ok(shape);
        }
        self.wanted = false;
        let faults = self.table_faults(inputs);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut bound = Bound::new(&self.operator, &self.query, self.made_max, inputs);
        let reason = inputs.iter().find_map(|input| match &input.shape {
            Shape::Unknown(reason) => Some(format!("columns of `{}`: {reason}", input.port)),
            Shape::Known(_) => None,
        });
        if reason.is_none()
            && let Err(mut faults) = bound.replan()
        {
            faults.extend(self.unbounded(inputs, self.query.whole.as_ref()));
            return Err(faults);
        }
        // The text's own words say it better than the plan's, where both do.
        let why = bound.whole.as_ref().map(|why| self.query.whole.as_ref().unwrap_or(why));
        if let Some(error) = self.unbounded(inputs, why) {
            return Err(vec![error]);
        }
        let shape = match (reason, bound.output()) {
            (None, Some(schema)) => Shape::Known(schema),
            (reason, _) => Shape::Unknown(reason.unwrap_or_default()),
        };
        self.bound = Some(bound);
        Ok(shape)
    }

    /// Adds to the help of a fault why a column has its type, where the fault would not be there were it that of most values.
    fn explain(&self, faults: Vec<Error>, inputs: &[InputShape]) -> Vec<Error> {
        let of_types = |fault: &Error| fault.code() == codes::PLAN.id;
        if !faults.iter().any(of_types) {
            return faults;
        }
        let named = self.notes.iter().filter(|note| self.query.text.word(&note.column).is_some());
        let retried: Vec<(&TypeNote, Vec<Error>)> =
            named.take(NOTES_MAX).map(|note| (note, self.retry(note, inputs))).collect();
        let explained = |fault: Error| {
            let gone = |others: &[Error]| others.iter().all(|other| other.message() != fault.message());
            match retried.iter().find(|(_, others)| of_types(&fault) && gone(others)) {
                Some((note, _)) => {
                    let help = fault.help_text().map(|help| format!("; else {help}")).unwrap_or_default();
                    fault.help(format!("{}{help}", note.text))
                }
                None => fault,
            }
        };
        faults.into_iter().map(explained).collect()
    }

    /// Returns the faults of the query were a column of the type of most of its values.
    fn retry(&self, note: &TypeNote, inputs: &[InputShape]) -> Vec<Error> {
        let retyped = |field: &Arc<Field>| match *field.name() == note.column {
            true => Arc::new(field.as_ref().clone().with_data_type(note.narrower.clone())),
            false => Arc::clone(field),
        };
        let table = |input: &InputShape| match &input.shape {
            Shape::Known(schema) => {
                let fields: Vec<Arc<Field>> = schema.fields().iter().map(retyped).collect();
                Some((input.port.clone(), Arc::new(Schema::new(fields))))
            }
            Shape::Unknown(_) => None,
        };
        let tables: Vec<planner::Table> = inputs.iter().filter_map(table).collect();
        plan_over(&self.query, &tables, self.made_max).err().unwrap_or_default()
    }

    /// The same inputs again, narrowed to what was asked of them.
    fn rebind(&mut self, inputs: &[InputShape]) -> Option<Shape> {
        let bound = self.bound.as_mut().filter(|bound| self.wanted && bound.plan.is_some())?;
        if bound.inputs.len() != inputs.len() {
            return None;
        }
        let mut actual = Vec::with_capacity(inputs.len());
        for (input, shape) in bound.inputs.iter().zip(inputs) {
            let (Shape::Known(schema), Some(planned)) = (&shape.shape, &input.planned) else { return None };
            if input.name != shape.port || !(same(planned, schema) || serves(planned, schema, &input.columns)) {
                return None;
            }
            actual.push(Arc::clone(schema));
        }
        for (input, schema) in bound.inputs.iter_mut().zip(actual) {
            input.actual = Some(schema);
        }
        bound.output().map(Shape::Known)
    }
}

impl Plan for SqlPlan {
    fn discover<'a>(&'a mut self, _probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn inputs(&self) -> Inputs {
        Inputs::ByEdge
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        // A planner that panics on a query nobody tried is a refusal of that query, not the end of the process.
        let bound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let bound = self.bind_inputs(inputs);
            bound.map_err(|faults| self.explain(faults, inputs))
        }));
        let bound = bound.unwrap_or_else(|_| {
            let error = Error::config(&codes::UNSUPPORTED, "the planner has no answer to this query");
            Err(vec![error.help("write it another way, and please report it").at(self.query.text.whole())])
        });
        match bound {
            Ok(shape) => Ok(vec![OutputShape { port: "out".to_owned(), shape }]),
            Err(errors) => {
                self.bound = None;
                let errors = errors.into_iter().map(|error| error.in_operator(&self.operator)).collect();
                Faults::check(errors)?;
                Ok(Vec::new())
            }
        }
    }

    fn hear(&mut self, notes: Vec<TypeNote>) {
        self.notes = notes;
    }

    fn traits(&self) -> Traits {
        let bound = self.bound.as_ref();
        let whole = match bound {
            Some(bound) => bound.whole.is_some(),
            None => self.query.whole.is_some(),
        };
        let plan = bound.and_then(|bound| bound.plan.as_ref());
        let checked = !whole && plan.is_some_and(is_one_to_one);
        let lanes = match whole {
            false => Lanes::Many,
            true if plan.is_some_and(is_ordered) => Lanes::InOrder,
            true => Lanes::One,
        };
        Traits {
            lanes,
            whole,
            bounded: false,
            balance: if checked { Balance::Checked } else { Balance::Free },
            joining: Joining::Indifferent,
        }
    }

    fn wanted(&mut self, by_output: &[Wanted]) -> Vec<Wanted> {
        let Some(bound) = &mut self.bound else { return Vec::new() };
        let kept = by_output.first().map_or(Columns::All, |wanted| wanted.columns.clone());
        let before = bound.clone();
        match bound.slim(kept) {
            Ok(wanted) => {
                self.wanted = true;
                wanted
            }
            // An optimizer that fails costs speed and nothing else.
            Err(error) => {
                tracing::debug!(operator = %self.operator, %error, "the query was not slimmed");
                *bound = before;
                vec![Wanted::all(); bound.inputs.len()]
            }
        }
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        let Some(bound) = self.bound else {
            let error =
                Error::internal(&codes::INTERNAL, format!("operator `{}` was opened before bind", self.operator));
            return Box::pin(std::future::ready(Err(error)));
        };
        let values = || RunValues { started_micros: ctx.started_micros, random: ctx.runtime.random.fork() };
        let opened = match bound.whole {
            Some(_) => Operator::AsyncTransform(Box::new(SqlWhole::new(bound, values(), &ctx))),
            None => {
                let lane = |_| Box::new(SqlBatches::new(bound.clone(), values(), &ctx.settings)) as Box<dyn Transform>;
                Operator::Transform((0..ctx.lanes.max(1)).map(lane).collect())
            }
        };
        Box::pin(std::future::ready(Ok(opened)))
    }
}
