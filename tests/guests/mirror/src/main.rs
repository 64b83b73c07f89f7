//! Prints what the host gave it: arguments, environment, standard input, the files of a folder. Ends well unless its last
//! argument is `fail`. It must never touch the store.

use std::io::Read;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("mirror: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    println!("arguments: {arguments:?}");
    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    println!("environment: {variables:?}");
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    println!("input: {input:?}");
    if let Some(folder) = arguments.get(1).filter(|folder| folder.starts_with('/')) {
        let path = format!("{folder}/file");
        println!("file: {:?}", std::fs::read_to_string(&path)?);
        std::fs::write(format!("{folder}/copy"), std::fs::read(&path)?)?;
    }
    eprintln!("a word on standard error");
    Ok(arguments.last().is_none_or(|last| last != "fail"))
}
