//! What a word is. It must never depend on the store, so that it can be tested anywhere.

use std::collections::BTreeMap;

/// Adds the words of `text` to `counts`, lower-cased: runs of letters and digits of any script, with apostrophes inside
/// (`don't`, also where it was typed as `don’t`).
pub(crate) fn count(text: &str, counts: &mut BTreeMap<String, u64>) {
    let is_apostrophe = |c: char| c == '\'' || c == '’';
    for piece in text.split(|c: char| !c.is_alphanumeric() && !is_apostrophe(c)) {
        let word = piece.trim_matches(is_apostrophe);
        if !word.is_empty() {
            *counts.entry(word.to_lowercase().replace('’', "'")).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::count;
    use std::collections::BTreeMap;

    fn words(text: &str) -> Vec<(String, u64)> {
        let mut counts = BTreeMap::new();
        count(text, &mut counts);
        counts.into_iter().collect()
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        assert_eq!(words("The cat, the CAT; (the)"), [("cat".into(), 2), ("the".into(), 3)]);
    }

    #[test]
    fn an_apostrophe_counts_only_inside_a_word() {
        assert_eq!(words("don't don’t 'quoted' ' ''"), [("don't".into(), 2), ("quoted".into(), 1)]);
    }

    #[test]
    fn any_script_has_words() {
        assert_eq!(words("Élan élan 東京 x2"), [("x2".into(), 1), ("élan".into(), 2), ("東京".into(), 1)]);
    }

    #[test]
    fn no_text_has_no_words() {
        assert_eq!(words(" \n\t--"), []);
    }
}
