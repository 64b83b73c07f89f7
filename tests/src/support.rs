//! What the tests have in common: a scratch place with a store, the real binary, guests through the library, WAVE text.
//! It must never hide what a program printed or how it ended.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use stash_host::{
    ComponentStore, GuestContext, GuestLimits, Invoked, Program, Runtime, RuntimeConfig, RuntimeError, Stash,
    StashConfig, StoreUrl,
};
use tempfile::TempDir;
use wasmtime_wasi::WasiCtx;

/// The `stash` command, as `cargo xtask test` has built it beside the tests.
///
/// # Panics
/// Where it is not there.
pub fn stash_binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let binary = folder.join("stash").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        binary.exists(),
        "{} is not there; run 'cargo xtask test', or 'cargo build -p stash-cli'",
        binary.display()
    );
    binary
}

/// An empty folder, gone afterwards, in which the command runs, with the default store in it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// A new one.
    ///
    /// # Panics
    /// Where the system has no room for it.
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The store that the command uses here.
    pub fn store_url(&self) -> StoreUrl {
        StoreUrl::Redb(self.path().join(".stash/store.redb"))
    }

    /// The command with these arguments, ready to be started: no input, no settings from outside.
    pub fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(stash_binary());
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("STASH_STORE")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn stash<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Ran {
        Ran::of(self.command(arguments).output().expect("the command starts"))
    }

    /// Runs the command to its end with `input` on its standard input.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn stash_with_input<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>, input: &[u8]) -> Ran {
        let file = self.path().join("standard-input");
        std::fs::write(&file, input).expect("a file for the input");
        let input = std::fs::File::open(&file).expect("the file just written");
        Ran::of(self.command(arguments).stdin(input).output().expect("the command starts"))
    }
}

/// How a run of the command ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a run that ended well.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The error of a run that ended with `code`, where somebody else's words may make it longer.
    ///
    /// # Panics
    /// Where it ended otherwise.
    #[track_caller]
    pub fn first_lines_of_failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }

    /// What clap says of arguments that it does not understand.
    ///
    /// # Panics
    /// Where the run ended otherwise.
    #[track_caller]
    pub fn failure_with_usage(self) -> String {
        self.first_lines_of_failure(2)
    }

    /// The one or two lines of an error that ended the run with `code`.
    ///
    /// # Panics
    /// Where it ended otherwise, or the error is longer.
    #[track_caller]
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines = self.err.lines().count();
        assert!((1..=2).contains(&lines), "an error has one or two lines: {self:?}");
        self.err
    }
}

/// A runtime and a store, in this process.
#[derive(Clone)]
pub struct Host {
    /// What runs guests.
    pub runtime: Runtime,
    /// What they store in.
    pub stash: Stash,
}

impl Host {
    /// A host with the store that `url` names.
    ///
    /// # Panics
    /// Where the store or the engine cannot be had.
    pub async fn new(url: &StoreUrl, config: StashConfig, limits: GuestLimits) -> Self {
        let stash = Stash::open(url, config).await.expect("the store opens");
        let runtime = Runtime::new(RuntimeConfig { limits, ..RuntimeConfig::default() }).expect("the engine starts");
        Self { runtime, stash }
    }

    /// A guest of the tests'.
    ///
    /// # Panics
    /// Where it cannot be loaded.
    pub fn load(&self, guest: &str) -> Program {
        self.runtime.load(guest.as_ref()).expect("the guest loads")
    }

    /// The storage of a component.
    ///
    /// # Panics
    /// Where `id` is not an id.
    pub fn component(&self, id: &str) -> ComponentStore {
        self.stash.component(&id.parse().expect("an id"))
    }

    /// Calls a function of a guest as the component `id`, without streams or folders.
    ///
    /// # Errors
    /// Whatever the runtime says.
    ///
    /// # Panics
    /// Where the guest ends itself instead of answering.
    pub async fn invoke(&self, program: &Program, id: &str, call: &str) -> Result<String, RuntimeError> {
        let context = GuestContext::new(self.component(id), WasiCtx::builder().build());
        match self.runtime.invoke(program, context, call).await? {
            Invoked::Returned(result) => Ok(result),
            Invoked::Exited(code) => panic!("{call} ended the guest with {code:?}"),
        }
    }
}

/// Text as WAVE writes it, whatever it contains.
pub fn wave(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{{{:x}}}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}
