//! Text from guests, made fit to show: cut, with control characters and line ends escaped.
//!
//! Invariant: no byte of a guest reaches a log, error, report or terminal except through here.

/// Returns the text with everything that moves a cursor, ends a line or changes direction escaped, cut at `bytes_max`.
pub fn shown(text: &str, bytes_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let before = shown.len();
        if unsafe_to_show(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > bytes_max {
            shown.truncate(before);
            break;
        }
    }
    shown
}

fn unsafe_to_show(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_line_ends_never_pass() {
        assert_eq!(shown("a\n\u{1b}[31mb\u{202e}", 100), "a\\n\\u{1b}[31mb\\u{202e}");
    }

    #[test]
    fn text_is_cut_at_a_character_and_never_within_an_escape() {
        assert_eq!(shown("aé", 3), "aé");
        assert_eq!(shown("aé", 2), "a");
        assert_eq!(shown("a\n", 2), "a");
    }
}
