//! What `stash new` may be told. A name must be one in every language that there is a template for.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::new;

/// Begin a project: a component that answers HTTP requests and keeps its data.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash new rust guest-book
  stash new typescript guest-book

It makes the folder guest-book, with a program that builds, the interfaces that it uses, and a README.md
that says how. Nothing is downloaded before you build it.

Exit codes: 0 made, 2 an error, such as a folder that is there and not empty")]
pub(crate) struct NewArguments {
    /// The language
    #[arg(value_parser = PossibleValuesParser::new(new::languages()))]
    pub(crate) language: String,

    /// The project's name, and its folder's: words of small letters and digits with '-' between them
    #[arg(value_parser = name)]
    pub(crate) name: String,
}

/// What a package is not called: words of the languages' own, and packages that come with them.
const TAKEN: [&str; 62] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "build", "con", "const", "continue", "core",
    "crate", "deps", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "guest", "if",
    "impl", "in", "let", "loop", "macro", "main", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "std", "struct", "super", "test", "trait", "true", "try", "type", "typeof", "unsafe",
    "unsized", "use", "vendor", "virtual", "where", "while", "yield", "wit",
];

/// A project's name.
fn name(text: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if text.len() > 64 || !text.split('-').all(is_word) {
        return Err(
            "write words of small letters and digits with '-' between them, such as guest-book; each begins with a \
                    letter, and 64 characters are enough"
                .to_owned(),
        );
    }
    if TAKEN.contains(&text) {
        return Err(format!("'{text}' means something else to one of the languages; add a word, such as my-{text}"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_name_is_one_in_every_language() {
        for text in ["a", "guest-book", "a1-b2", "guest-fn", &"x".repeat(64)] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in
            ["", "-", "-a", "a-", "a--b", "1a", "a-1", "A", "a_b", "a/b", "..", "a b", "ä", "fn", &"x".repeat(65)]
        {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name("test").is_err_and(|error| error.contains("my-test")));
    }
}
