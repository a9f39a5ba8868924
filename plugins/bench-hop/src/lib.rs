//! The functions of the hop benchmark, over `id int64, amount float64, name utf8`.

use rde_sdk::{About, Batch, Column, DataType, Emit, Failure, Field, Kept, Plan, Transform, about};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    function: Function,
}

#[derive(Clone, Copy, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Function {
    /// Adds `scaled` = amount * 1.07.
    Scale,
    /// Adds `bucket` int32: which of five ranges the amount lies in.
    Bucket,
    /// Adds `masked`: the name with digits as `#`.
    Mask,
    /// Keeps rows with an amount above 10.
    Filter,
    /// Sends the batch on without reading it.
    Forward,
}

struct Hop {
    function: Function,
    column: Option<Column>,
}

impl Transform for Hop {
    type Config = Config;
    const ABOUT: About = about!("The functions of the hop benchmark.").filter();

    fn bind(config: Config, plan: &mut Plan) -> Result<Self, Failure> {
        let (column, added) = match config.function {
            Function::Scale => ("amount", Some(Field::new("scaled", DataType::Float64))),
            Function::Bucket => ("amount", Some(Field::new("bucket", DataType::Int32))),
            Function::Mask => ("name", Some(Field::new("masked", DataType::Utf8))),
            Function::Filter => ("amount", None),
            Function::Forward => return Ok(Hop { function: config.function, column: None }),
        };
        let column = Some(plan.read(column)?);
        added.into_iter().for_each(|field| plan.add(field));
        Ok(Hop { function: config.function, column })
    }

    fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure> {
        let Some(column) = self.column else {
            emit.forward();
            return Ok(());
        };
        match self.function {
            Function::Scale => {
                let amounts = batch.numbers::<f64>(column)?;
                let mut new = emit.columns();
                new.map(&amounts, |amount: f64| amount * 1.07);
                new.send()
            }
            Function::Bucket => {
                let amounts = batch.numbers::<f64>(column)?;
                let mut new = emit.columns();
                new.map(&amounts, bucket);
                new.send()
            }
            Function::Mask => {
                let names = batch.texts(column)?;
                let mut new = emit.columns();
                new.map_bytes(&names, masked);
                new.send()
            }
            Function::Filter | Function::Forward => {
                let amounts = batch.numbers::<f64>(column)?;
                let kept = Kept::by(batch.rows(), |row| amounts.get(row).is_some_and(|amount| amount > 10.0));
                emit.keep(&kept);
                Ok(())
            }
        }
    }
}

/// 0 below 20, 1 below 40, 2 below 60, 3 below 80, else 4. Written as a sum so that it has no branch.
fn bucket(amount: f64) -> i32 {
    [20.0, 40.0, 60.0, 80.0].iter().map(|bound| i32::from(amount >= *bound)).sum()
}

fn masked(byte: u8) -> u8 {
    if byte.is_ascii_digit() { b'#' } else { byte }
}

rde_sdk::export!(Hop);

#[cfg(test)]
mod tests;
