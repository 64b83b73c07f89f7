//! The sample guests through the real binary, as a person runs them.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stash_tests::support::Place;
use stash_tests::{COUNTER, JOB_QUEUE, MIRROR, NOTES, PROBE, WORD_COUNT};
use std::time::{Duration, Instant};

#[test]
fn a_counter_counts_on_across_processes_and_each_id_has_its_own() {
    let place = Place::new();
    let increment = |id: &str| place.stash(["run", "--id", id, "--invoke", "increment()", COUNTER]).success();
    assert_eq!(increment("demo/counter/a"), "ok(1)\n");
    assert_eq!(increment("demo/counter/a"), "ok(2)\n");
    assert_eq!(increment("demo/counter/b"), "ok(1)\n");
    assert_eq!(place.stash(["kv", "get", "--id", "demo/counter/a", "count"]).success(), "2\n");
    assert_eq!(place.stash(["kv", "get", "--id", "demo/counter/b", "count"]).success(), "1\n");
}

#[test]
fn a_counter_says_what_is_wrong_with_its_record() {
    let place = Place::new();
    place.stash(["kv", "set", "--id", "app/counter/001", "count", "many"]).success();
    let result = place.stash(["run", "--invoke", "increment()", COUNTER]).success();
    assert!(result.starts_with("err("), "{result}");
    place.stash(["kv", "set", "--id", "app/counter/001", "count", &u64::MAX.to_string()]).success();
    let result = place.stash(["run", "--invoke", "increment()", COUNTER]).success();
    assert!(result.starts_with("err("), "{result}");
    assert_eq!(place.stash(["kv", "get", "--id", "app/counter/001", "count"]).success(), format!("{}\n", u64::MAX));
}

#[test]
fn word_count_adds_to_what_it_has_counted_before() {
    let place = Place::new();
    let text = "The cat and the dog.\nThe dog's cat; \u{442}\u{435}\u{441}\u{442}!";
    let first = place.stash_with_input(["run", WORD_COUNT], text.as_bytes()).success();
    assert!(first.lines().next().unwrap().contains("the"), "{first}");
    assert!(first.lines().next().unwrap().contains('3'), "{first}");
    let second = place.stash_with_input(["run", WORD_COUNT], text.as_bytes()).success();
    assert!(second.lines().next().unwrap().contains('6'), "{second}");
    assert_eq!(
        place.stash(["kv", "get", "--id", "app/word-count/001", "word/\u{442}\u{435}\u{441}\u{442}"]).success(),
        "2\n"
    );
    // Input that is not text loses nothing.
    place.stash_with_input(["run", WORD_COUNT], b"\xff\xfe the \0").success();
    assert_eq!(place.stash(["kv", "get", "--id", "app/word-count/001", "word/the"]).success(), "7\n");
}

#[test]
fn notes_are_added_listed_shown_and_deleted() {
    let place = Place::new();
    place.stash(["run", NOTES, "add", "shopping/fruit", "pears", "and", "figs"]).success();
    place.stash_with_input(["run", NOTES, "add", "shopping/bread"], b"two loaves\n").success();
    place.stash(["run", NOTES, "add", "work", "--flags", "-x", "are text"]).success();
    let listed = |prefix: &str| {
        let list = place.stash(["run", NOTES, "list", prefix]).success();
        // Each line begins with when the note was made: 2026-11-21 11:16.
        list.lines()
            .map(|line| {
                let (created, title) = line.split_at(16);
                assert!(
                    created.starts_with("20") && created.chars().filter(char::is_ascii_digit).count() == 12,
                    "{line}"
                );
                title.trim_start().to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("shopping/"), ["shopping/bread", "shopping/fruit"], "the newest comes first");
    place.stash(["run", NOTES, "delete", "shopping/fruit"]).success();
    place.stash(["run", NOTES, "add", "shopping/fruit", "pears", "and", "figs"]).success();
    assert_eq!(listed(""), ["shopping/fruit", "work", "shopping/bread"]);
    let error = place.stash(["run", NOTES, "add", "shopping/fruit", "plums"]).failure(1);
    assert!(error.contains("there is already a note 'shopping/fruit'"), "{error}");
    place.stash(["run", NOTES, "add", "--for", "7d", "soon/gone", "not", "yet"]).success();
    let [soon] = <[String; 1]>::try_from(listed("soon/")).unwrap();
    assert!(soon.starts_with("soon/gone  (until 20") && soon.ends_with(')'), "{soon}");
    let error = place.stash(["run", NOTES, "add", "--for", "ever", "x", "y"]).failure(1);
    assert!(error.contains("'ever' is no time"), "{error}");
    assert_eq!(place.stash(["run", NOTES, "show", "shopping/fruit"]).success(), "pears and figs\n");
    assert_eq!(place.stash(["run", NOTES, "show", "shopping/bread"]).success(), "two loaves\n");
    assert_eq!(place.stash(["run", NOTES, "show", "work"]).success(), "--flags -x are text\n");
    place.stash(["run", NOTES, "delete", "work"]).success();
    let error = place.stash(["run", NOTES, "show", "work"]).failure(1);
    assert!(error.contains("work"), "{error}");
    assert_ne!(place.stash(["run", NOTES, "frobnicate"]).code, Some(0));
}

#[test]
fn word_count_has_more_words_than_a_commit_takes() {
    let place = Place::new();
    let text: Vec<String> = (0..10_001).map(|n| format!("w{n}")).collect();
    for run in 1..=2 {
        let told = place.stash_with_input(["run", WORD_COUNT], text.join(" ").as_bytes()).success();
        let last = told.lines().last().unwrap().to_owned();
        let runs = if run == 1 { "1 run" } else { "2 runs" };
        assert_eq!(last, format!("10001 words read, {} counted in {runs}", 10_001 * run));
    }
    for word in ["w0", "w9999", "w10000"] {
        let count = place.stash(["kv", "get", "--id", "app/word-count/001", &format!("word/{word}")]).success();
        assert_eq!(count, "2\n");
    }
}

#[test]
fn a_job_is_given_to_one_and_comes_back_when_nobody_finishes_it() {
    let place = Place::new();
    let queue = |arguments: &[&str]| place.stash([&["run", JOB_QUEUE], arguments].concat());
    assert!(queue(&["take"]).failure(1).contains("there is nothing to do"));
    assert_eq!(queue(&["add", "water", "the plants"]).success(), "1\n");
    assert_eq!(queue(&["add", "feed the cat"]).success(), "2\n");
    let take = |seconds: &str| {
        let told = queue(&["take", seconds]).success();
        let mut parts = told.trim_end().splitn(3, ' ').map(str::to_owned);
        [(); 3].map(|()| parts.next().expect("number, receipt and text"))
    };
    let [first, receipt, text] = take("3600");
    assert_eq!((first.as_str(), text.as_str()), ("1", "water the plants"));
    let [second, lost, text] = take("1");
    assert_eq!((second.as_str(), text.as_str()), ("2", "feed the cat"));
    let taken = Instant::now();
    assert_eq!(queue(&["done", "1", &receipt]).success(), "");
    assert!(queue(&["done", "1", &receipt]).failure(1).contains("job 1 is not yours"));
    // The second comes back after its second, to whoever asks then; who had it has it no longer.
    let again = loop {
        let ran = queue(&["take", "3600"]);
        if ran.code == Some(0) {
            break ran.out;
        }
        assert!(ran.err.contains("there is nothing to do"), "{ran:?}");
        assert!(taken.elapsed() < Duration::from_mins(1), "the job did not come back");
    };
    let receipt = again.split(' ').nth(1).unwrap();
    assert!(again.starts_with("2 ") && again.ends_with(" feed the cat\n"), "{again}");
    assert!(queue(&["done", "2", &lost]).failure(1).contains("job 2 is not yours"));
    assert_eq!(queue(&["list"]).success(), "2 taken feed the cat\n");
    queue(&["done", "2", receipt]).success();
    assert_eq!(queue(&["list"]).success(), "");
    assert_ne!(queue(&["take", "soon"]).code, Some(0));
}

#[test]
fn arguments_environment_folders_streams_and_exit_code_are_the_guests() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("data")).unwrap();
    std::fs::write(place.path().join("data/file"), "on the host\n").unwrap();
    let arguments =
        ["run", "--dir", "data::/mnt", "--env", "A=1", "--env", "FROM_US", MIRROR, "/mnt", "--id", "x/y/z", "-v"];
    std::fs::write(place.path().join("input"), "typed").unwrap();
    let input = std::fs::File::open(place.path().join("input")).unwrap();
    let output = place.command(arguments).env("FROM_US", "ours").stdin(input).output().unwrap();
    // All that follows the guest is the guest's, also what looks like ours.
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "arguments: [\"mirror.wasm\", \"/mnt\", \"--id\", \"x/y/z\", \"-v\"]\n\
         environment: [(\"A\", \"1\"), (\"FROM_US\", \"ours\")]\n\
         input: \"typed\"\n\
         file: \"on the host\\n\"\n"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "a word on standard error\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(place.path().join("data/copy")).unwrap(), "on the host\n");

    assert_eq!(place.stash(["run", MIRROR, "fail"]).code, Some(1));
    // Nothing is given that was not asked for.
    let ran = place.stash(["run", MIRROR, "/mnt"]);
    assert!(ran.code == Some(1) && ran.out.contains("environment: []"), "{ran:?}");
    let error = place.stash(["run", "--dir", "no-such-folder", MIRROR]).failure(1);
    assert!(error.contains("no-such-folder"), "{error}");
    let error = place.stash(["run", "--env", "NO_SUCH_VARIABLE_HERE", MIRROR]).failure(1);
    assert!(error.contains("NO_SUCH_VARIABLE_HERE"), "{error}");
}

#[test]
fn a_folder_with_the_store_in_it_is_not_given_to_a_guest() {
    let place = Place::new();
    for (folder, store) in [(".", ".stash/store.redb"), (".stash", ".stash/store.redb"), (".", "made/later.redb")] {
        std::fs::create_dir_all(place.path().join(".stash")).unwrap();
        let error = place.stash(["run", "--store", &format!("redb:{store}"), "--dir", folder, MIRROR]).failure(1);
        assert!(error.contains("everybody's data") && error.contains("--store"), "{error}");
    }
    std::fs::create_dir_all(place.path().join("store/inner")).unwrap();
    for folder in [".", "store", "store/inner"] {
        // A store that is a folder: around it, itself, and in it.
        let error = place.stash(["run", "--store", "fjall:store", "--dir", folder, MIRROR]).failure(1);
        assert!(error.contains("everybody's data"), "{error}");
    }
    std::fs::create_dir(place.path().join("data")).unwrap();
    place.stash(["run", "--dir", "data", MIRROR]).success();
    place.stash(["run", "--store", "redb:data/../s.redb", "--dir", "data", MIRROR]).success();
}

#[cfg(unix)]
#[test]
fn nor_one_with_a_way_to_the_store_or_another_name_of_it() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir_all(at("guest")).unwrap();
    std::fs::create_dir_all(at("elsewhere")).unwrap();
    let refused = |store: &str| {
        let error = place.stash(["run", "--store", &format!("redb:{store}"), "--dir", "guest", MIRROR]).failure(1);
        assert!(error.contains("everybody's data"), "{store}: {error}");
    };
    refused("new/../guest/s.redb");
    refused("elsewhere/../guest/../guest/s.redb");
    // The guest could point these links somewhere else.
    symlink("../elsewhere/s.redb", at("guest/link.redb")).unwrap();
    refused("guest/link.redb");
    symlink("../elsewhere", at("guest/folder")).unwrap();
    refused("guest/folder/s.redb");
    symlink("guest", at("outside")).unwrap();
    refused("outside/s.redb");
    symlink("circle", at("circle")).unwrap();
    refused("circle/s.redb");
    // A second name.
    place.stash(["--store", "redb:elsewhere/s.redb", "kv", "--id", "a/b/c", "set", "k", "v"]).success();
    place.stash(["run", "--store", "redb:elsewhere/s.redb", "--dir", "guest", MIRROR]).success();
    std::fs::hard_link(at("elsewhere/s.redb"), at("guest/second")).unwrap();
    refused("elsewhere/s.redb");
}

#[test]
fn limits_on_a_run_are_the_command_lines() {
    let place = Place::new();
    let refused = place.stash(["run", "--quota", "20", "--invoke", "set-many(\"k\", 2, 10)", PROBE]).success();
    assert!(refused.contains("quota-exceeded: quota exceeded: 19 of 20 bytes"), "{refused}");
    let refused = place.stash(["run", "--max-value", "9", "--invoke", "set-many(\"v\", 1, 10)", PROBE]).success();
    assert!(refused.contains("the size of a value in bytes is 10; the limit is 9"), "{refused}");
    place.stash(["run", "--max-value", "1KiB", "--transaction-timeout", "5s", "--invoke", "usage()", PROBE]).success();
    let got = place.stash(["run", "--max-memory", "20MiB", "--invoke", "grow(100)", PROBE]).success();
    assert!((5..20).contains(&got.trim().parse::<u32>().unwrap()), "{got}");
    let error = place.stash(["run", "--max-memory", "100KiB", MIRROR]).failure(1);
    assert!(error.contains("cannot be started") && error.contains("memory"), "{error}");
    for (option, value, text) in [
        ("--quota", "3xx", "write a number of"),
        ("--timeout", "soon", "write a number of"),
        ("--max-value", "large", "write a number of"),
        ("--max-value", "65MiB", "no store takes larger values than 67108864 bytes"),
        ("--transaction-timeout", "soon", "write a number of"),
        ("--transaction-timeout", "0", "write at least 1ms"),
    ] {
        let error = place.stash(["run", option, value, MIRROR]).failure_with_usage();
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(place.stash(["run", "--timeout", "60", "--no-code-cache", MIRROR, "fail"]).code, Some(1));
}

#[test]
fn a_guest_that_ends_itself_has_its_own_exit_code_also_when_invoked() {
    let place = Place::new();
    assert_eq!(place.stash(["run", "--invoke", "run()", MIRROR]).code, Some(0));
    let ran = place.stash(["run", "--invoke", "leave(false)", PROBE]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    let ran = place.stash(["run", "--invoke", "leave(true)", PROBE]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""), "{ran:?}");
}

#[test]
fn what_is_logged_is_chosen_and_goes_to_standard_error() {
    let place = Place::new();
    let log = |filter: &str, colour: &str| {
        let mut command = place.command(["run", "--invoke", "increment()", COUNTER]);
        let output = command.env("RUST_LOG", filter).env("NO_COLOR", colour).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("ok("), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(log("stash_group_commit=debug", "").contains("committed"));
    assert_eq!(log("error", ""), "");
    assert!(log("=[", "1").contains("RUST_LOG is not understood"));
    assert!(!log("trace", "").contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn the_derived_id_is_told_where_v_asks() {
    let place = Place::new();
    let ran = place.stash(["-v", "run", "--invoke", "increment()", COUNTER]);
    assert!(ran.err.contains("as app/counter/001"), "{ran:?}");
    let quiet = place.stash(["run", "--invoke", "increment()", COUNTER]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("ok(2)\n", ""));
}

#[test]
fn the_store_is_where_the_url_or_the_variable_says() {
    let place = Place::new();
    place.stash(["run", "--store", "redb:deep/er/s.redb", "--invoke", "increment()", COUNTER]).success();
    assert!(place.path().join("deep/er/s.redb").exists());
    assert!(!place.path().join(".stash").exists());
    let mut command = place.command(["run", "--invoke", "increment()", COUNTER]);
    let output = command.env("STASH_STORE", "redb:deep/er/s.redb").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok(2)\n");
    for _ in 0..2 {
        let gone = place.stash(["run", "--store", "memory:", "--invoke", "increment()", COUNTER]).success();
        assert_eq!(gone, "ok(1)\n");
    }
    let error = place.stash(["ids", "--store", "mysql:x"]).failure_with_usage();
    assert!(error.contains("redb:"), "{error}");
    let output = place.command(["ids"]).env("STASH_STORE", "mysql:x").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("STASH_STORE"), "{output:?}");
    // Set to nothing is not set.
    let output = place.command(["run", "--invoke", "increment()", COUNTER]).env("STASH_STORE", "").output().unwrap();
    assert!(output.status.success() && place.path().join(".stash/store.redb").exists(), "{output:?}");
}
