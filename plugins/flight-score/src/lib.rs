//! Scores flights: adds `delay_class` and `speed_mph`, and sets rows aside that no flight can have.

use rde_sdk::{About, Batch, Column, DataType, Emit, Failure, Field, Plan, RowError, Transform, about};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Minutes of arrival delay from which a flight is `late`.
    late_minutes: i64,
    /// Minutes from which it is `very_late`.
    very_late_minutes: i64,
    /// Above this ground speed the row goes to `errors`.
    max_mph: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config { late_minutes: 15, very_late_minutes: 60, max_mph: 800.0 }
    }
}

struct FlightScore {
    config: Config,
    /// `arr_delay`, `air_time`, `distance`.
    columns: [Column; 3],
}

impl Transform for FlightScore {
    type Config = Config;
    const ABOUT: About = about!("Classes of delay and ground speed of flights.").one_to_one();

    fn bind(config: Config, plan: &mut Plan) -> Result<Self, Failure> {
        let mut read = |name| plan.read_as(name, &DataType::Int64);
        let columns = [read("arr_delay")?, read("air_time")?, read("distance")?];
        plan.add(Field::new("delay_class", DataType::Utf8).required());
        plan.add(Field::new("speed_mph", DataType::Float64));
        Ok(FlightScore { config, columns })
    }

    fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure> {
        let [delays, times, distances] = self.columns.map(|column| batch.numbers::<i64>(column));
        let (delays, times, distances) = (delays?, times?, distances?);
        let mut new = emit.columns();
        new.texts(|row| Some(self.delay_class(delays.get(row))));
        new.try_numbers(|row| match (distances.get(row), times.get(row)) {
            (Some(miles), Some(minutes)) => self.speed_mph(miles, minutes).map(Some),
            _ => Ok(None),
        });
        new.send()
    }
}

impl FlightScore {
    fn delay_class(&self, minutes: Option<i64>) -> &'static str {
        match minutes {
            None => "not_arrived",
            Some(minutes) if minutes >= self.config.very_late_minutes => "very_late",
            Some(minutes) if minutes >= self.config.late_minutes => "late",
            Some(minutes) if minutes > 0 => "on_time",
            Some(_) => "early",
        }
    }

    fn speed_mph(&self, miles: i64, minutes: i64) -> Result<f64, RowError> {
        match miles as f64 * 60.0 / minutes as f64 {
            _ if minutes <= 0 => Err(RowError::new("bad-air-time", "the air time is not above 0 minutes")),
            speed if speed > self.config.max_mph => Err(RowError::new("too-fast", "no flight covers ground so fast")),
            speed => Ok(speed),
        }
    }
}

rde_sdk::export!(FlightScore);

#[cfg(test)]
mod tests;
