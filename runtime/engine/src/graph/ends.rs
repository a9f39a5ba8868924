//! The ends of an edge as text, and near misses.

use std::ops::Range;

use strsim::damerau_levenshtein;

/// An edge end as it is written: `id` or `id.port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndText {
    /// The whole text.
    pub text: String,
    /// Before the first dot.
    pub id: String,
    /// Behind it.
    pub port: Option<String>,
}

impl EndText {
    /// Splits the text at its first dot.
    pub fn parse(text: &str) -> EndText {
        let (id, port) = match text.split_once('.') {
            Some((id, port)) => (id.to_owned(), Some(port.to_owned())),
            None => (text.to_owned(), None),
        };
        EndText { text: text.to_owned(), id, port }
    }

    /// Returns the characters of the id.
    pub fn id_characters(&self) -> Range<usize> {
        0..self.id.chars().count()
    }

    /// Returns the characters of the port, or of the id where no port is written.
    pub fn port_characters(&self) -> Range<usize> {
        match &self.port {
            Some(port) => {
                let start = self.id.chars().count() + 1;
                start..start + port.chars().count()
            }
            None => self.id_characters(),
        }
    }
}

/// Returns the name nearest to `wrong`, if it is near enough to be meant.
pub(super) fn suggest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wrong.chars().count() / 3).clamp(1, 3);
    let near = names.map(|name| (damerau_levenshtein(wrong, name), name)).filter(|(distance, _)| *distance <= most);
    near.min().map(|(_, name)| name)
}

/// Returns the names as a list for a person: `` `a`, `b` and `c` ``.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    }
}
