//! Finds the word that was probably meant.
//!
//! Used wherever a name is not known. Invariant: pure; ties go to the first word.

/// Bytes of a word that is suggested as a part of what was written: `csv` for `file_csv`. Shorter ones are in everything.
const PART_MIN: usize = 3;

/// Returns the word nearest to what was written, if it is near enough to be meant; else one that is a part of it.
pub fn nearest<'w>(written: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if written.chars().count() > 64 {
        return None;
    }
    let lower = written.to_lowercase().replace('-', "_");
    let mut best: Option<(usize, &str)> = None;
    let mut part = None;
    for word in words {
        let plain = word.to_lowercase();
        let is_part = plain.len() >= PART_MIN && format!("_{lower}_").contains(&format!("_{plain}_"));
        part = part.or(Some(word).filter(|_| is_part && word != written));
        if plain.len().abs_diff(lower.len()) > plain.len().max(3) {
            continue;
        }
        let distance = if plain == lower { 0 } else { strsim::damerau_levenshtein(&lower, &plain) };
        let near = distance <= plain.chars().count().max(3) / 3;
        if near && word != written && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, word));
        }
    }
    best.map(|(_, word)| word).or(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let words = ["path", "topics", "null_values", "on_error"];
        assert_eq!(nearest("topic", words), Some("topics"));
        assert_eq!(nearest("Null-Values", words), Some("null_values"));
        assert_eq!(nearest("pahts", words), None);
        assert_eq!(nearest("pth", words), Some("path"));
        assert_eq!(nearest("zebra", words), None);
        assert_eq!(nearest("input-path", words), Some("path"));
        assert_eq!(nearest("csv_null_values", words), Some("null_values"));
        assert_eq!(nearest("footpaths_max", words), None);
        assert_eq!(nearest("user_id", ["id"]), None);
        assert_eq!(nearest("", ["id"]), None);
    }
}
