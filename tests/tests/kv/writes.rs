//! What changes a record: conditions, numbers, appending, clearing, metadata. Every "no" must be told from an error.

use std::io::Write as _;

use super::*;

#[test]
fn a_condition_that_does_not_hold_is_a_no_and_stores_nothing() {
    let place = Place::new();
    kv(&place, ["set", "k", "first", "--if-absent"]).success();
    for (condition, text) in [
        (&["--if-absent"][..], "there is already a record with the key 'k'; without --if-absent it is replaced"),
        (&["--if-version", "9"], "conflict on 'k': expected version 9, and there is version 1; look again with"),
    ] {
        let told = kv(&place, ["set", "k", "second"].into_iter().chain(condition.iter().copied())).failure(1);
        assert!(told.starts_with(text), "{told}");
    }
    let told = kv(&place, ["set", "missing", "v", "--if-present"]).failure(1);
    assert!(told.starts_with("no record with the key 'missing'; 'stash kv list' shows"), "{told}");
    let told = kv(&place, ["delete", "k", "--if-version", "9"]).failure(1);
    assert!(told.starts_with("conflict on 'k': expected version 9, and there is version 1"), "{told}");
    let told = kv(&place, ["delete", "missing", "--if-version", "9"]).failure(1);
    assert!(told.starts_with("conflict on 'missing': expected version 9, and there is no record"), "{told}");
    assert_eq!(kv(&place, ["get", "k"]).success(), "first\n");
    assert_eq!(kv(&place, ["list"]).success(), "k\n");

    kv(&place, ["set", "k", "second", "--if-version", "1"]).success();
    kv(&place, ["set", "k", "third", "--if-present"]).success();
    kv(&place, ["delete", "k", "--if-version", "3"]).success();
    assert_eq!(kv(&place, ["exists", "k"]).code, Some(1));
}

#[test]
fn a_script_is_told_what_a_condition_met() {
    let place = Place::new();
    kv(&place, ["set", "k", "v"]).success();
    let refused = kv(&place, ["set", "k", "w", "--if-version", "9", "--json"]);
    assert_eq!(refused.code, Some(1));
    let text = "conflict on 'k': expected version 9, and there is version 1";
    assert_eq!(json(&refused.out), json!({ "key": "k", "version": null, "current_version": 1, "error": text }));
    let refused = kv(&place, ["set", "k", "w", "--if-absent", "--json"]);
    let text = "there is already a record with the key 'k'";
    assert_eq!(json(&refused.out), json!({ "key": "k", "version": null, "error": text }));
    let refused = kv(&place, ["delete", "gone", "--if-version", "9", "--json"]);
    let text = "conflict on 'gone': expected version 9, and there is no record";
    assert_eq!(json(&refused.out), json!({ "key": "gone", "deleted": false, "current_version": null, "error": text }));
}

#[test]
fn options_that_contradict_each_other_or_mean_nothing_are_not_understood() {
    let place = Place::new();
    for (arguments, text) in [
        (&["set", "k", "v", "--if-absent", "--if-version", "1"][..], "cannot be used with"),
        (&["set", "k", "v", "--if-absent", "--if-present"], "cannot be used with"),
        (&["set", "k", "v", "--ttl", "1h", "--expires", "2100-01-01"], "cannot be used with"),
        (&["set", "k", "v", "--ttl", "1h", "--keep-expiry"], "cannot be used with"),
        (&["set", "k", "v", "--file", "f"], "cannot be used with"),
        (&["set", "k", "v", "--ttl", "0"], "at least 1ms"),
        (&["set", "k", "v", "--ttl", "soon"], "write a number of seconds"),
        (&["set", "k", "v", "--ttl", "1M"], "minutes or months"),
        (&["set", "k", "v", "--ttl", "-5"], "write a number of seconds"),
        (&["touch", "k", "--ttl", "-1h"], "write a number of seconds"),
        (&["set", "k", "v", "--if-version", "-1"], "write a version's number"),
        (&["get", "k", "--at", "-1"], "write a version's number"),
        (&["list", "-n", "-3"], "write a number from 1 on"),
        (&["history", "k", "--limit", "-3"], "write a number from 1 on"),
        (&["set", "k", "v", "--max-value", "65MiB"], "no store takes larger values"),
        (&["set", "k", "v", "--expires", "1735689600"], "write a moment in UTC such as 2030-12-31T23:59:59Z"),
        (&["set", "k", "v", "--expires", "2100-01-01T00:00:00.5+02:00"], "write a moment in UTC"),
        (&["set", "k", "v", "--attribute", "name"], "write NAME=VALUE"),
        (&["set", "k", "v", "--attribute", "=value"], "an attribute has a name"),
        (&["set", "k", "v", "--if-version", "latest"], "write a version's number"),
        (&["touch", "k"], "--ttl <TIME>|--expires <MOMENT>|--never"),
        (&["touch", "k", "--never", "--ttl", "1h"], "cannot be used with"),
        (&["get", "k", "--raw", "--meta"], "cannot be used with"),
        (&["get", "k", "--raw", "--json"], "cannot be used with"),
        (&["increment", "k", "many"], "write a whole number of 64 bits"),
        (&["increment", "k", "-9223372036854775809"], "write a whole number of 64 bits"),
        (&["list", "--limit", "0"], "write a number from 1 on"),
        (&["list", "--pattern", "a\\"], "ends with a backslash"),
        (&["list", "--collection", "a//b"], "no name of a collection"),
    ] {
        let error = kv(&place, arguments.iter().copied()).failure_with_usage();
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    let error = kv(&place, ["set", "k", "v", "--attribute", "a=1", "--attribute", "a=2"]).failure(2);
    assert!(error.contains("--attribute 'a' is there twice"), "{error}");
    let error = kv(&place, ["set", "k", "v", "--content-type", ""]).failure(2);
    assert!(error.contains("a content type is not empty"), "{error}");
}

#[test]
fn numbers_count_up_and_down() {
    let place = Place::new();
    assert_eq!(kv(&place, ["increment", "n"]).success(), "1\n");
    assert_eq!(kv(&place, ["increment", "n", "41"]).success(), "42\n");
    assert_eq!(kv(&place, ["increment", "n", "-50"]).success(), "-8\n");
    let answer = kv(&place, ["increment", "n", "-1", "--json"]).success();
    assert_eq!(json(&answer), json!({ "key": "n", "number": -9, "version": 4 }));
    kv(&place, ["set", "n", "-5"]).success();
    assert_eq!(kv(&place, ["increment", "n", "0"]).success(), "-5\n");

    kv(&place, ["set", "text", "text"]).success();
    let error = kv(&place, ["increment", "text"]).failure(2);
    assert!(error.contains("the value of 'text' is not a whole number") && error.contains("stash kv set"), "{error}");
    kv(&place, ["set", "n", &i64::MAX.to_string()]).success();
    let error = kv(&place, ["increment", "n"]).failure(2);
    assert!(error.contains("the number in 'n' would be out of range: 9223372036854775807"), "{error}");
}

#[test]
fn bytes_are_appended_as_they_are() {
    let place = Place::new();
    kv(&place, ["append", "log", "a"]).success();
    let answer = kv(&place, ["append", "log", "b", "--json"]).success();
    assert_eq!(json(&answer), json!({ "key": "log", "version": 2 }));
    place.stash_with_input(["kv", "append", ID[0], ID[1], "log"], b"\xff\0").success();
    let raw = place.command(["kv", "get", ID[0], ID[1], "log", "--raw"]).output().unwrap();
    assert_eq!(raw.stdout, b"ab\xff\0");
}

#[test]
fn what_is_known_of_a_record_is_shown_in_utc_and_to_scripts_in_milliseconds() {
    let place = Place::new();
    let set = "set cat meow --content-type text/plain --attribute by=anna --attribute e= --expires 2100-01-01";
    kv(&place, set.split(' ')).success();
    let shown = kv(&place, ["get", "cat", "--meta"]).success();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], "version       1");
    assert_eq!(lines[1], "size          4 bytes");
    assert!(lines[2].starts_with("created       2") && lines[2].ends_with('Z'), "{shown}");
    assert!(lines[3].starts_with("updated       2") && lines[3].ends_with('Z'), "{shown}");
    assert_eq!(lines[4], "expires       2100-01-01T00:00:00.000Z");
    assert_eq!(lines[5..], ["content type  text/plain", "attributes    by=anna", "              e="]);

    let mut row = json(&kv(&place, ["get", "cat", "--meta", "--json"]).success());
    assert!(row["created_ms"].as_u64().unwrap() > 1_700_000_000_000, "{row}");
    assert_eq!(row["created_ms"], row["updated_ms"]);
    for time in ["created_ms", "updated_ms"] {
        row[time] = json!(0);
    }
    let expected = json!({
        "key": "cat", "version": 1, "bytes": 4, "text": "meow", "created_ms": 0, "updated_ms": 0,
        "expires_ms": 4_102_444_800_000_u64, "content_type": "text/plain", "attributes": { "by": "anna", "e": "" },
    });
    assert_eq!(row, expected);

    // A set without them takes them away.
    kv(&place, ["set", "cat", "purr"]).success();
    let shown = kv(&place, ["get", "cat", "--meta"]).success();
    assert!(shown.ends_with("expires       never\n"), "{shown}");
    // Texts of a guest do not drive the terminal.
    kv(&place, ["set", "cat", "x", "--attribute", "a=\u{1b}[31m"]).success();
    assert!(kv(&place, ["get", "cat", "--meta"]).success().contains(r#"a="\u{1b}[31m""#));
}

#[test]
fn clearing_asks_and_without_a_terminal_refuses() {
    let place = Place::new();
    for key in ["a/1", "a/2", "b"] {
        kv(&place, ["set", key, "v"]).success();
    }
    let error = kv(&place, ["clear", "a/"]).failure(2);
    assert!(error.contains("remove 2 records whose keys begin with a/ from app/photos/001"), "{error}");
    assert!(error.contains("nothing was done") && error.contains("--yes"), "{error}");
    // What comes from a pipe is not a person's word.
    let error = place.stash_with_input(["kv", "clear", ID[0], ID[1], "a/"], b"yes\n").failure(2);
    assert!(error.contains("no terminal"), "{error}");
    assert_eq!(kv(&place, ["count"]).success(), "3\n");

    let answer = kv(&place, ["clear", "a/", "--yes", "--json"]).success();
    assert_eq!(json(&answer), json!({ "prefix": "a/", "removed": 2 }));
    let cleared = kv(&place, ["clear", "", "--yes"]);
    assert_eq!((cleared.out.as_str(), cleared.err.as_str()), ("removed 1 record\n", ""));
    assert_eq!(kv(&place, ["clear", "", "--yes"]).success(), "removed 0 records\n");
    kv(&place, ["clear"]).failure_with_usage();
}

#[test]
fn clearing_goes_on_until_nothing_is_left() {
    let place = Place::new();
    // More than one commit removes.
    fill(&place, 12000);
    kv(&place, ["set", "other", "v"]).success();
    assert_eq!(kv(&place, ["clear", "k/", "--yes"]).success(), "removed 12000 records\n");
    assert_eq!(kv(&place, ["list"]).success(), "other\n");
}

#[test]
fn a_key_may_be_anything_and_may_not_be_too_long() {
    let place = Place::new();
    let longest = "\u{e9}".repeat(1024);
    let keys = ["-x", "--json", " ", "a b", "a\nb", "\u{202e}", "*", "\u{1f}", "../..", "\\", "\"", longest.as_str()];
    for key in keys {
        place.stash(["kv", "set", ID[0], ID[1], "--", key, key]).success();
        assert_eq!(place.stash(["kv", "exists", ID[0], ID[1], "--", key]).success(), "true\n", "{key:?}");
        let row = place.stash(["kv", "get", ID[0], ID[1], "--json", "--", key]).success();
        assert_eq!((&json(&row)["key"], &json(&row)["text"]), (&json!(key), &json!(key)));
    }
    let list = json(&kv(&place, ["list", "--json"]).success());
    let mut listed = list.as_array().unwrap().clone();
    listed.sort_by_key(|key| keys.iter().position(|known| key == known));
    assert_eq!(listed, keys.map(Value::from));
    let error = kv(&place, ["set", &"k".repeat(2049), "v"]).failure(2);
    assert!(error.contains("invalid key: it has 2049 bytes; the limit is 2048"), "{error}");
    for key in keys {
        place.stash(["kv", "delete", ID[0], ID[1], "--", key]).success();
    }
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_text_are_not_understood() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let wrong = std::ffi::OsStr::from_bytes(b"\xff");
    for arguments in [["get".as_ref(), wrong].to_vec(), ["set".as_ref(), "k".as_ref(), wrong].to_vec()] {
        let ran = place.stash(["kv", ID[0], ID[1]].map(std::ffi::OsStr::new).into_iter().chain(arguments));
        assert!(ran.failure_with_usage().contains("invalid UTF-8"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    kv(&place, ["set", "k", "v"]).success();
    for arguments in [&["get", "k"][..], &["list"], &["list", "--json"], &["history", "k"], &["history", "k", "--json"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = place.command(["kv", ID[0], ID[1]].iter().chain(arguments));
        let output = command.stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
    }
}

#[test]
fn a_value_may_come_from_a_pipe_that_says_it_in_pieces() {
    let place = Place::new();
    let mut child =
        place.command(["kv", "set", ID[0], ID[1], "k"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for _ in 0..3 {
        input.write_all(&vec![b'x'; 100_000]).unwrap();
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = kv(&place, ["get", "k", "--meta"]).success();
    assert!(shown.contains("293.0 KiB (300000 bytes)"), "{shown}");
}
