//! Adds the length of a text column, in characters. Replace it with something useful.

use rde_sdk::{About, Batch, Column, DataType, Emit, Failure, Field, Plan, Transform, about};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The text column to measure.
    column: String,
}

struct Plugin {
    column: Column,
}

impl Transform for Plugin {
    type Config = Config;
    const ABOUT: About = about!("Adds the length of a text column.").one_to_one();

    fn bind(config: Config, plan: &mut Plan) -> Result<Self, Failure> {
        let column = plan.read_text(&config.column)?;
        plan.add(Field::new(format!("{}_length", config.column), DataType::Int64));
        Ok(Plugin { column })
    }

    fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure> {
        let texts = batch.texts(self.column)?;
        let mut new = emit.columns();
        new.numbers(|row| texts.get(row).map(|text| text.chars().count() as i64));
        new.send()
    }
}

rde_sdk::export!(Plugin);

#[cfg(test)]
mod tests {
    use rde_sdk::testing::{Harness, Table, Value};

    use super::*;

    #[test]
    fn lengths_are_counted_in_characters() {
        let input = Table::new().text("name", [Some("Zoë"), None]);
        let config = serde_json::json!({ "column": "name" });
        let answer = Harness::<Plugin>::new(config, &input).expect("it binds").run(&input).expect("it runs");
        assert_eq!(answer.rows.column("name_length"), [Value::Int(3), Value::Null]);
    }
}
