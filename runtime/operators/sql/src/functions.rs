//! The functions a query may call and the types it may name: constant data, made once and shared by all operators.
//!
//! The functions are DataFusion's, except those that would wrap, ask the clock or draw unseeded chance.
//! Invariant: nothing here changes after it is made, so a thousand operators cost one registry.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::sqlparser::ast::{DataType as SqlType, TimezoneInfo};

use crate::run_values;
use crate::sum::CheckedSum;

/// Functions left out: they tell of the engine and not of the data.
const LEFT_OUT: [&str; 1] = ["version"];

/// Time zone of every timestamp with time zone.
pub const ZONE: &str = "UTC";

/// All functions, by name and alias.
#[derive(Debug)]
pub struct Registry {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<dyn TypePlanner>,
    options: Arc<ConfigOptions>,
    brief: Arc<ConfigOptions>,
}

impl Registry {
    /// Returns the one registry.
    pub fn shared() -> &'static Registry {
        static SHARED: LazyLock<Registry> = LazyLock::new(Registry::new);
        &SHARED
    }

    fn new() -> Registry {
        let mut scalar = HashMap::new();
        let own = run_values::functions().into_iter();
        for function in SessionStateDefaults::default_scalar_functions().into_iter().chain(own) {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                scalar.insert(name, Arc::clone(&function));
            }
        }
        scalar.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
        let mut aggregate = HashMap::new();
        let sum = Arc::new(AggregateUDF::from(CheckedSum::new()));
        for function in SessionStateDefaults::default_aggregate_functions().into_iter().chain([sum]) {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                aggregate.insert(name, Arc::clone(&function));
            }
        }
        let mut window = HashMap::new();
        for function in SessionStateDefaults::default_window_functions() {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                window.insert(name, Arc::clone(&function));
            }
        }
        let planners = SessionStateDefaults::default_expr_planners();
        let mut brief = options();
        brief.optimizer.max_passes = 1;
        let (options, brief) = (Arc::new(options()), Arc::new(brief));
        Registry { scalar, aggregate, window, planners, types: Arc::new(Types), options, brief }
    }

    /// Returns whether a name is an aggregate function's.
    pub fn is_aggregate(&self, name: &str) -> bool {
        self.aggregate.contains_key(name)
    }

    /// Returns the options that every query is planned with.
    pub fn options(&self) -> &Arc<ConfigOptions> {
        &self.options
    }

    /// Returns the same options for an optimizer that goes over a plan once.
    pub fn brief_options(&self) -> &Arc<ConfigOptions> {
        &self.brief
    }

    /// Returns the functions as a list for the reference.
    pub fn listed(&self) -> String {
        let list = |names: Vec<&String>| {
            let names: BTreeSet<&String> = names.into_iter().collect();
            names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
        };
        let (scalar, aggregate, window) = (self.scalar.keys(), self.aggregate.keys(), self.window.keys());
        format!(
            "**Functions.** Per row: {}.\n\nAggregates: {}.\n\nWindow functions, beside the aggregates: {}.\n",
            list(scalar.collect()),
            list(aggregate.collect()),
            list(window.collect()),
        )
    }

    /// Returns the names of all functions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scalar.keys().chain(self.aggregate.keys()).chain(self.window.keys()).map(String::as_str)
    }
}

/// Strings stay plain, since what leaves a query is plain; places are kept for faults.
fn options() -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some(ZONE.to_owned());
    options.execution.enable_recursive_ctes = false;
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    options.optimizer.expand_views_at_output = true;
    options
}

/// Finds the tables of one query; the rest comes from the registry.
pub struct Tables {
    /// By name.
    pub sources: HashMap<String, Arc<dyn TableSource>>,
}

impl ContextProvider for Tables {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = self.sources.get(name.table()).cloned();
        found.ok_or_else(|| DataFusionError::Plan(format!("table '{name}' not found")))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &Registry::shared().planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&Registry::shared().types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        Registry::shared().scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        Registry::shared().aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        Registry::shared().window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &Registry::shared().options
    }

    fn udf_names(&self) -> Vec<String> {
        Registry::shared().scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Registry::shared().aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Registry::shared().window.keys().cloned().collect()
    }
}

/// Timestamps are in microseconds, as everywhere else in a pipeline; DataFusion would take nanoseconds.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | SqlType::Datetime(None) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            SqlType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(ZONE.into()))
            }
            SqlType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                DataType::Time64(TimeUnit::Microsecond)
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
