//! Masks personal data in text columns. Each match of a pattern becomes `[name of the pattern]`; columns keep their names and
//! stand behind the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rde_sdk::{About, Batch, Column, Emit, Failure, Plan, Transform, about};
use regex_lite::Regex;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The text columns to look through.
    columns: Vec<String>,
    /// Regular expressions by name, tried in the order of their names. Default: card, email, phone.
    #[serde(default = "personal_data")]
    patterns: BTreeMap<String, String>,
}

fn personal_data() -> BTreeMap<String, String> {
    let patterns = [
        ("card", r"\b[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}\b"),
        ("email", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"),
        ("phone", r"\+?[0-9][0-9 ()/-]{6,}[0-9]"),
    ];
    patterns.map(|(name, pattern)| (name.to_owned(), pattern.to_owned())).into()
}

struct Redact {
    columns: Vec<Column>,
    patterns: Vec<(Regex, String)>,
}

impl Transform for Redact {
    type Config = Config;
    const ABOUT: About = about!("Masks personal data in text columns.").one_to_one();

    fn bind(config: Config, plan: &mut Plan) -> Result<Self, Failure> {
        let columns = config.columns.iter().map(|name| plan.replace_text(name)).collect::<Result<_, _>>()?;
        let compile = |(name, pattern): (&String, &String)| match Regex::new(pattern) {
            Ok(regex) => Ok((regex, format!("[{}]", name.replace('$', "$$")))),
            Err(error) => Err(Failure::reject(format!("pattern `{name}`: {error}"))),
        };
        let patterns = config.patterns.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Redact { columns, patterns })
    }

    fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure> {
        let mut new = emit.columns();
        for column in &self.columns {
            let texts = batch.texts(*column)?;
            new.texts(|row| texts.get(row).map(|text| self.masked(text)));
        }
        new.send()
    }
}

impl Redact {
    fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.patterns.iter().fold(Cow::Borrowed(text), |text, (regex, mask)| match regex.is_match(&text) {
            true => Cow::Owned(regex.replace_all(&text, mask.as_str()).into_owned()),
            false => text,
        })
    }
}

rde_sdk::export!(Redact);

#[cfg(test)]
mod tests;
