//! `stash new`: projects that are whole. What is written must build by its own README.md, and be the same program in every
//! language; what the guide for Rust says must build too. A language must never be left out without saying so, and in CI not
//! at all.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use stash_tests::http::Server;
use stash_tests::support::Place;
use wit_parser::Resolve;

/// A test for each language's project, and a list of them.
macro_rules! languages {
    ($($language:ident),*) => {
        const LANGUAGES: &[&str] = &[$(stringify!($language)),*];

        mod a_project_builds_and_counts_its_visitors { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $language() {
                super::counts_its_visitors(stringify!($language)).await;
            }
        )* }
    };
}

languages!(c, go, python, rust, typescript);

#[test]
fn no_template_is_forgotten() {
    let templates = xtask::paths::root().join("crates/stash-cli/templates");
    let folders = std::fs::read_dir(templates).unwrap().map(|folder| folder.unwrap());
    let mut names: Vec<_> = folders.map(|folder| folder.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, LANGUAGES);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The folder with the interfaces that a project's tools are given; `None`, with a line that says so, where it is made by a
/// program that cannot be run here.
fn interfaces(project: &Path) -> Option<PathBuf> {
    // TypeScript's engine has a WASI of its own, which this makes of the one in the project.
    if !project.join("wit.mjs").exists() {
        return Some(project.join("wit"));
    }
    let ran = std::process::Command::new("node").arg("wit.mjs").current_dir(project).status();
    if ran.is_err() && std::env::var("CI").as_deref() != Ok("true") {
        println!("skipped: the interfaces of {}, because there is no node", project.display());
        return None;
    }
    assert!(ran.unwrap().success());
    Some(project.join("build/wit"))
}

#[test]
fn every_languages_project_is_whole() {
    let place = Place::new();
    for language in LANGUAGES {
        let name = format!("my-{language}-guest");
        let said = place.stash(["new", language, &name]).success();
        assert!(said.contains(&format!("cd {name}")) && said.contains("stash serve "), "{said}");
        let project = place.path().join(&name);
        let files = files(&project);
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            let left = ["{{name}}", "{{snake_name}}", "deps.txt"].iter().any(|left| text.contains(left));
            assert!(!left && !text.is_empty(), "{}: {text}", file.display());
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name != "deps.txt" && !name.ends_with(".template"), "{}", file.display());
        }
        assert!(files.contains(&project.join("README.md")) && files.contains(&project.join(".gitignore")), "{files:?}");

        // The interfaces are all there, and the world finds them.
        let Some(wit) = interfaces(&project) else { continue };
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).unwrap_or_else(|error| panic!("{language}: {error:#}"));
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let imports: Vec<_> = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect();
        assert!(imports.contains(&"stash:storage/store@0.1.0".to_owned()), "{language}: {imports:?}");
    }
}

/// Builds a project; where its component is, or `None`, with a line that says so, where a tool is missing.
fn build(language: &str, project: &Path, name: &str) -> Option<PathBuf> {
    if language == "rust" {
        return Some(build_rust(project, &name.replace('-', "_")));
    }
    xtask::languages::build_project(language, project).unwrap_or_else(|error| panic!("{error:#}"))
}

fn build_rust(project: &Path, name: &str) -> PathBuf {
    // The versions that the guests are built with: what is downloaded already is enough.
    let lock = xtask::paths::root().join("guest-examples/rust/Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).unwrap();
    let toolchain = xtask::wasm::toolchain().unwrap();
    let target = xtask::guests::build_dir(&toolchain).unwrap().join("new");
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--quiet", "--target", xtask::wasm::GUESTS, "--target-dir"]);
    let built = cargo.arg(&target).current_dir(project).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert!(built.stderr.is_empty(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join(xtask::wasm::GUESTS).join("release").join(name).with_extension("wasm")
}

async fn counts_its_visitors(language: &str) {
    let place = Place::new();
    place.stash(["new", language, "guest-book"]).success();
    let project = place.path().join("guest-book");
    let Some(component) = build(language, &project, "guest-book") else { return };
    let component = component.to_str().unwrap();
    let greeting = |visitor: u32| format!("Hello from guest-book! You are visitor {visitor}.\n");
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    assert!(readme.contains(&greeting(1)), "{readme}");

    let id = ["--id", "app/guest-book/001"];
    let server = Server::start(&place, component, id);
    assert_eq!(server.ask("GET", "/", "").await.said(), (200, greeting(1).as_str()));
    assert_eq!(server.ask("GET", "/?from=here", "").await.said(), (200, greeting(2).as_str()));
    for target in ["/favicon.ico", "/guest?/"] {
        assert_eq!(server.ask("GET", target, "").await.said(), (404, "there is nothing here\n"));
    }

    // What was counted is there after the server's end, also when nobody asked it to end.
    drop(server);
    let server = Server::start(&place, component, id);
    assert_eq!(server.ask("GET", "/", "").await.said(), (200, greeting(3).as_str()));

    // What the store cannot do it tells in its own words.
    drop(server);
    let preset = ["--id", "app/guest-book/002", "--preset", "default/visits=many"];
    let server = Server::start(&place, component, preset);
    let answer = server.ask("GET", "/", "").await;
    assert!(answer.status == 500 && answer.text.contains("visits") && answer.text.ends_with('\n'), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_rust_leads_to_a_component_that_keeps_its_data() {
    let root = xtask::paths::root();
    let guide = std::fs::read_to_string(root.join("docs/guides/rust.md")).unwrap();
    let block = |language: &str| {
        let (_, rest) = guide.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let place = Place::new();
    let project = place.path().join("visits");
    std::fs::create_dir_all(project.join("src")).unwrap();
    std::fs::create_dir_all(project.join("wit/deps")).unwrap();
    // The folder for tests may be within the repository.
    std::fs::write(project.join("Cargo.toml"), format!("{}\n[workspace]\n", block("toml"))).unwrap();
    std::fs::write(project.join("src/lib.rs"), block("rust")).unwrap();
    std::fs::write(project.join("wit/world.wit"), block("wit")).unwrap();
    std::fs::copy(root.join("wit/storage.wit"), project.join("wit/deps/storage.wit")).unwrap();
    let component = build_rust(&project, "visits");
    let server = Server::start(&place, component.to_str().unwrap(), ["--id", "app/visits/001"]);
    for visit in 1..=2 {
        assert_eq!(server.ask("GET", "/", "").await.said(), (200, format!("Visit number {visit}.\n").as_str()));
    }
}

#[test]
fn what_is_there_is_left_alone_and_names_are_names() {
    let place = Place::new();
    let taken = place.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("mine"), "text").unwrap();
    let error = place.stash(["new", "rust", "taken"]).failure(2);
    assert!(error.contains("the folder taken is not empty"), "{error}");
    assert_eq!(files(&taken), [taken.join("mine")]);
    std::fs::write(place.path().join("file"), "text").unwrap();
    place.stash(["new", "rust", "file"]).failure(2);
    // An empty folder is as good as none.
    std::fs::create_dir(place.path().join("empty")).unwrap();
    place.stash(["new", "rust", "empty"]).success();
    for name in ["", "Guest", "my_guest", "../out", "a/b", "-a", "fn"] {
        let error = place.stash(["new", "rust", "--", name]).failure_with_usage();
        assert!(error.contains("<NAME>"), "{error}");
    }
    let error = place.stash(["new", "cobol", "guest"]).failure_with_usage();
    assert!(error.contains("rust"), "it says which languages there are: {error}");
}
