//! The kind `sql`: its field, its reference and the reading of a configuration.

use std::sync::Arc;

use rde_core::{Error, Faults, Fields, Kind, OperatorSpec, Plan, Reference};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::codes;
use crate::functions::Registry;
use crate::growth::made_max;
use crate::plan::SqlPlan;
use crate::query::Query;

/// Most bytes of a query's text.
pub const QUERY_BYTES_MAX: usize = 65_536;

/// The operator `sql`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sql;

/// The fields of the operator `sql`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// One SELECT. Each operator that sends to this one is a table under its id, a named output is the table `id_port`.
    query: String,
}

impl OperatorSpec for Sql {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn kind(&self) -> Kind {
        Kind::Transform
    }

    fn reference(&self) -> Reference {
        Reference::of::<Config>(
            "Runs one SELECT over the operators that send to it.",
            format!("{}\n{}", include_str!("notes.md"), Registry::shared().listed()),
            "sql: { query: \"SELECT carrier, dep_delay FROM flights WHERE dep_delay > 15\" }",
        )
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: Config = fields.read(&codes::FIELDS)?;
        match Query::parse(&config.query) {
            Ok(query) => Ok(Box::new(SqlPlan::new(Arc::clone(&fields.id), query, made_max(&fields.settings)))),
            Err(errors) => {
                let named = errors.into_iter().map(|error| error.in_operator(&fields.id)).collect();
                Faults::check(named)?;
                Err(Faults::from(Error::internal(&codes::INTERNAL, "a query without faults was refused")))
            }
        }
    }
}
