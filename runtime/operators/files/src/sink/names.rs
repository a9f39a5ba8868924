//! The names of a sink's files: final, staged, manifest and lock.
//!
//! Invariant: a final name carries pipeline, sink, incarnation, epoch, lane and a counter, so no two runs ever make the
//! same one; a staged name is hidden and ends in `.staged`, so no glob on the extension finds it.
//! Not here: which folder they stand in (`target.rs`).

use rde_core::{Epoch, Incarnation};

/// Hex digits of an incarnation in a name.
const INCARNATION_DIGITS: usize = 16;

/// Makes and recognises the names of one sink.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    owner: String,
    incarnation: Incarnation,
    extension: &'static str,
    single: Option<String>,
}

impl Names {
    /// Makes the names of `sink` in `pipeline`; `single` is the name of a single-file target.
    pub(crate) fn new(
        pipeline: &str,
        sink: &str,
        incarnation: Incarnation,
        extension: &'static str,
        single: Option<String>,
    ) -> Names {
        Names { owner: format!("{}-{}", encode(pipeline), encode(sink)), incarnation, extension, single }
    }

    /// Returns the extension of the final names.
    pub(crate) fn extension(&self) -> &'static str {
        self.extension
    }

    /// Returns the final name of the `number`th file of a lane.
    pub(crate) fn visible(&self, epoch: Epoch, lane: usize, number: u64) -> String {
        match &self.single {
            Some(name) => name.clone(),
            None => self.numbered(epoch, lane, number),
        }
    }

    /// Returns the hidden name of a file before its commit.
    pub(crate) fn staged(&self, epoch: Epoch, lane: usize, number: u64) -> String {
        format!("{}{}.staged", self.hidden(), self.numbered(epoch, lane, number))
    }

    /// Returns the name of the manifest.
    pub(crate) fn manifest(&self) -> String {
        format!("{}{}.{}.manifest", self.hidden(), self.owner, self.extension)
    }

    /// Returns the name of the lock.
    pub(crate) fn lock(&self) -> String {
        match &self.single {
            Some(name) => format!(".{name}.lock"),
            None => format!(".rde.{}.lock", self.extension),
        }
    }

    /// Returns whether this sink made the file of this name, in whatever run.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.single.is_none() && self.is_numbered(name)
    }

    /// Returns whether this sink staged the file of this name, in whatever run.
    pub(crate) fn is_own_staged(&self, name: &str) -> bool {
        name.strip_prefix(&self.hidden())
            .and_then(|rest| rest.strip_suffix(".staged"))
            .is_some_and(|name| self.is_numbered(name))
    }

    fn numbered(&self, epoch: Epoch, lane: usize, number: u64) -> String {
        format!("{}-{}-{epoch}-{lane}-{number}.{}", self.owner, self.incarnation, self.extension)
    }

    fn hidden(&self) -> String {
        self.single.as_ref().map_or_else(|| ".".to_owned(), |name| format!(".{name}."))
    }

    fn is_numbered(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.owner).and_then(|rest| rest.strip_prefix('-')) else { return false };
        let Some(rest) = rest.strip_suffix(self.extension).and_then(|rest| rest.strip_suffix('.')) else {
            return false;
        };
        let parts: Vec<&str> = rest.split('-').collect();
        let [incarnation, numbers @ ..] = parts.as_slice() else { return false };
        incarnation.len() == INCARNATION_DIGITS
            && incarnation.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && numbers.len() == 3
            && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// Percent-encodes everything but letters, digits, `.`, `_` and `-`, so that any text is one harmless name.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(single: Option<&str>) -> Names {
        Names::new("flights-eu", "lake", Incarnation(0xabc), "parquet", single.map(str::to_owned))
    }

    #[test]
    fn names_follow_the_documented_pattern() {
        let names = names(None);
        let visible = names.visible(Epoch(1), 2, 30);
        assert_eq!(visible, "flights-eu-lake-0000000000000abc-1-2-30.parquet");
        assert_eq!(names.staged(Epoch(1), 2, 30), format!(".{visible}.staged"));
        assert!(names.is_own(&visible) && names.is_own_staged(&format!(".{visible}.staged")));
    }

    #[test]
    fn only_names_of_this_sink_and_extension_are_its_own() {
        let names = names(None);
        for foreign in [
            "lake-0000000000000abc-1-2-30.parquet",
            "flights-eu-lake2-0000000000000abc-1-2-30.parquet",
            "flights-eu-lake-0000000000000ABC-1-2-30.parquet",
            "flights-eu-lake-abc-1-2-30.parquet",
            "flights-eu-lake-0000000000000abc-1-2.parquet",
            "flights-eu-lake-0000000000000abc-1-2-.parquet",
            "flights-eu-lake-0000000000000abc-1-2-30.csv",
            "flights-eu-lake-0000000000000abc-1-2-30.parquet.staged",
            "part-0.parquet",
        ] {
            assert!(!names.is_own(foreign), "{foreign}");
        }
    }

    #[test]
    fn staged_names_of_a_single_file_belong_to_that_file() {
        let staged = names(Some("a.parquet")).staged(Epoch(1), 0, 0);
        assert!(names(Some("a.parquet")).is_own_staged(&staged));
        assert!(!names(Some("b.parquet")).is_own_staged(&staged));
        assert!(!names(None).is_own_staged(&staged));
    }

    #[test]
    fn slashes_and_dots_cannot_leave_the_folder() {
        assert_eq!(encode("../a b/ü"), "..%2Fa%20b%2F%C3%BC");
    }
}
