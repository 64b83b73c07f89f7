//! `stash new`: writes a project that builds. It must never write into a folder in which something is, and never leave a
//! placeholder in what it writes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use include_dir::{Dir, File, include_dir};

use crate::args::NewArguments;

/// A folder for each language. In their text `{{name}}` stands for the project's name, and `{{snake_name}}` for the same with
/// `_` in place of `-`. A name that ends in `.template` loses that: a Cargo.toml would keep its folder out of a published crate.
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
/// The interfaces. Which of them a project gets in its `wit/deps` its template's `deps.txt` says.
static INTERFACES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");

const DEPS: &str = "deps.txt";

/// The languages that there is a template for.
pub(crate) fn languages() -> Vec<&'static str> {
    let mut names: Vec<_> = TEMPLATES.dirs().filter_map(|dir| dir.path().to_str()).collect();
    names.sort_unstable();
    names
}

pub(crate) fn new(arguments: &NewArguments) -> Result<ExitCode> {
    let NewArguments { language, name } = arguments;
    let template = TEMPLATES.get_dir(language).with_context(|| format!("there is no template for {language}"))?;
    let project = Path::new(name);
    match fs::read_dir(project) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "the folder {name} is not empty; choose another name, or go elsewhere");
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot use {name} as a folder")),
    }
    write_dir(template, template.path(), project, name)?;
    for file in interfaces(template)? {
        let target = project.join("wit/deps").join(file.path().file_name().context("a file has a name")?);
        write(&target, file.contents())?;
    }

    let mut text = format!("{name} is made. Next:\n\n  cd {name}\n");
    for command in next(template, name) {
        text.push_str("  ");
        text.push_str(&command);
        text.push('\n');
    }
    text.push_str("\nREADME.md there says more.\n");
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn write_dir(dir: &Dir<'_>, template: &Path, project: &Path, name: &str) -> Result<()> {
    for file in dir.files() {
        let path = file.path().strip_prefix(template)?;
        if path == Path::new(DEPS) {
            continue;
        }
        let path =
            if path.extension().is_some_and(|e| e == "template") { path.with_extension("") } else { path.into() };
        write(&project.join(path), filled(text(file)?, name).as_bytes())?;
    }
    dir.dirs().try_for_each(|inner| write_dir(inner, template, project, name))
}

/// The files of the interfaces that a template asks for.
fn interfaces(template: &Dir<'_>) -> Result<Vec<&'static File<'static>>> {
    let list = template.get_file(template.path().join(DEPS)).context("the template has no deps.txt")?;
    let lines = text(list)?.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| INTERFACES.get_file(line).with_context(|| format!("there is no wit/{line}"))).collect()
}

/// The commands that the project's README.md begins with.
fn next(template: &Dir<'_>, name: &str) -> Vec<String> {
    let readme = template.get_file(template.path().join("README.md")).and_then(File::contents_utf8).unwrap_or_default();
    let readme = filled(readme, name);
    let lines = readme.lines().skip_while(|line| *line != "```sh").skip(1);
    lines.take_while(|line| *line != "```").map(str::to_owned).collect()
}

fn filled(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{snake_name}}", &name.replace('-', "_"))
}

fn text<'a>(file: &'a File<'_>) -> Result<&'a str> {
    file.contents_utf8().with_context(|| format!("{} is no text", file.path().display()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let Some(folder) = path.parent() else { bail!("{} is in no folder", path.display()) };
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let write = || fs::File::create_new(path)?.write_all(content);
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn templates_are_whole() {
        assert!(languages().contains(&"rust"));
        for language in languages() {
            let template = TEMPLATES.get_dir(language).unwrap();
            assert!(!interfaces(template).unwrap().is_empty(), "{language}");
            let commands = next(template, "guest-book");
            assert!(commands.iter().any(|command| command.starts_with("stash serve ")), "{language}: {commands:?}");
        }
    }
}
