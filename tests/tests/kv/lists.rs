//! Which keys there are: ranges, directions, pages, patterns.

use super::*;

fn filled() -> Place {
    let place = Place::new();
    for key in ["a", "order:1:open", "order:2:paid", "order:3:paid", "z"] {
        kv(&place, ["set", key, "v"]).success();
    }
    place
}

#[test]
fn a_list_is_cut_from_any_side_and_read_in_either_direction() {
    let place = filled();
    for (arguments, keys) in [
        (&[][..], "a order:1:open order:2:paid order:3:paid z"),
        (&["order:"], "order:1:open order:2:paid order:3:paid"),
        (&["order:", "--reverse"], "order:3:paid order:2:paid order:1:open"),
        (&["--limit", "2"], "a order:1:open"),
        (&["-r", "-n", "2"], "z order:3:paid"),
        (&["--after", "order:1:open", "-n", "1"], "order:2:paid"),
        (&["--after", "order:1:open", "--reverse"], "a"),
        // Whether or not it is there.
        (&["--after", "order:2", "-n", "1"], "order:2:paid"),
        (&["--start", "order:2", "--end", "z"], "order:2:paid order:3:paid"),
        (&["--start", "z", "--end", "a"], ""),
        (&["--pattern", "*:paid"], "order:2:paid order:3:paid"),
        (&["order:", "--pattern", "order:?:o*"], "order:1:open"),
        (&["order:", "--pattern", "*:paid", "--reverse", "--limit", "1"], "order:3:paid"),
        (&["none"], ""),
    ] {
        let list = kv(&place, ["list"].into_iter().chain(arguments.iter().copied())).success();
        assert_eq!(list.split_whitespace().collect::<Vec<_>>().join(" "), keys, "{arguments:?}");
        let rows = json(&kv(&place, ["list", "--json"].into_iter().chain(arguments.iter().copied())).success());
        assert_eq!(rows, Value::from(keys.split_whitespace().collect::<Vec<_>>()), "{arguments:?}");
    }
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let place = Place::new();
    // More than the command reads at once, with a pattern that passes over most.
    fill(&place, 2500);
    let matching = kv(&place, ["list", "--pattern", "*9"]).success();
    assert_eq!(matching.lines().count(), 250);
    assert_eq!(kv(&place, ["list", "--limit", "1001"]).success().lines().count(), 1001);
    let reverse = kv(&place, ["list", "--reverse"]).success();
    assert!(reverse.lines().eq((0..2500).rev().map(|n| format!("k/{n:08}"))), "{reverse}");
    let mut after = String::new();
    let mut seen = 0;
    loop {
        let page = kv(&place, ["list", "--limit", "600", "--after", &after]).success();
        let Some(last) = page.lines().last() else { break };
        seen += page.lines().count();
        last.clone_into(&mut after);
    }
    assert_eq!(seen, 2500);
}

#[test]
fn counts_are_numbers() {
    let place = filled();
    assert_eq!(kv(&place, ["count"]).success(), "5\n");
    assert_eq!(kv(&place, ["count", "order:"]).success(), "3\n");
    assert_eq!(kv(&place, ["count", "order:", "--pattern", "*:paid"]).success(), "2\n");
    let answer = kv(&place, ["count", "none", "--json"]).success();
    assert_eq!(json(&answer), json!({ "key_count": 0 }));
}

#[test]
fn a_long_list_for_scripts_has_all_but_the_values() {
    let place = Place::new();
    kv(&place, ["set", "k", "value", "--content-type", "text/plain", "--expires", "2100-01-01"]).success();
    let rows = json(&kv(&place, ["list", "--long", "--json"]).success());
    let row = &rows[0];
    assert_eq!((&row["key"], &row["version"], &row["bytes"]), (&json!("k"), &json!(1), &json!(5)), "{row}");
    assert_eq!(row["expires_ms"], json!(4_102_444_800_000_u64));
    assert_eq!((&row["content_type"], &row["attributes"]), (&json!("text/plain"), &json!({})));
    assert!(row["created_ms"].is_u64() && row["updated_ms"].is_u64() && row.get("text").is_none(), "{row}");
    assert_eq!(kv(&place, ["list", "none", "--long", "--json"]).success(), "[]\n");
    assert_eq!(kv(&place, ["list", "none", "--long"]).success(), "");
}
