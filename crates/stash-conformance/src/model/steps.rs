//! Which calls are tried, and how often: few keys and small sizes, so that calls meet.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use stash_core::Isolation;
use stash_core::limits::MAX_KEY_BYTES;

use super::IDS;
use super::state::PLACES;

/// A content type, and attributes.
type Texts = (Option<&'static str>, &'static [(&'static str, &'static str)]);

/// Content types and attributes: short, because they count in the quota.
pub(super) const TEXTS: [Texts; 4] =
    [(None, &[]), (Some("a/b"), &[]), (None, &[("n", "1")]), (Some("c"), &[("n", ""), ("é", "2")])];

/// One call by one component, seen from one of its collections.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) component: usize,
    pub(super) place: usize,
    pub(super) call: Call,
}

/// What is called.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Get(String),
    Exists(String),
    /// As it was so many versions ago.
    GetAt(String, u64),
    Read(Vec<String>),
    List(String),
    Page {
        prefix: String,
        after: Option<String>,
        limit: usize,
        reverse: bool,
    },
    Count(String),
    /// Checks and changes; a number besides says whether the place is another one.
    Commit(Vec<(Guess, String)>, Vec<(u8, String, What)>),
    Make,
    Unmake(bool),
    Begin(Isolation),
    TxRead(String),
    TxList {
        prefix: String,
        limit: usize,
        reverse: bool,
    },
    TxChange(String, What),
    TxCommit,
    TxDrop,
    Audit,
    Sweep,
    Wait(u64),
}

/// A condition; whether a version is the right one is left to chance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Guess {
    Absent,
    Present,
    Version(bool),
}

/// What a change does.
#[derive(Debug, Clone)]
pub(super) enum What {
    Set(usize),
    /// A length, seconds, and which content type and attributes.
    SetWith(usize, Option<u64>, usize),
    Keep(usize),
    Delete,
    Add(i64),
    Max(i64),
    Append(usize),
    Expire(Option<u64>),
    /// Other content type and attributes; `true` leaves those that are not named.
    Describe(usize, bool),
    Clear,
}

fn what() -> impl Strategy<Value = What> {
    let seconds = || proptest::option::of(0..4_u64);
    let texts = || 0..TEXTS.len();
    prop_oneof![
        4 => (0..27_usize).prop_map(What::Set),
        2 => (0..20_usize, seconds(), texts()).prop_map(|(length, expiry, texts)| What::SetWith(length, expiry, texts)),
        1 => (0..20_usize).prop_map(What::Keep),
        3 => Just(What::Delete),
        3 => select(vec![1, -7, 500, i64::MAX]).prop_map(What::Add),
        1 => (-3..30_i64).prop_map(What::Max),
        2 => (0..15_usize).prop_map(What::Append),
        2 => seconds().prop_map(What::Expire),
        2 => (texts(), any::<bool>()).prop_map(|(texts, merge)| What::Describe(texts, merge)),
    ]
}

/// Any step.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let guess = || prop_oneof![Just(Guess::Absent), Just(Guess::Present), any::<bool>().prop_map(Guess::Version)];
    let clear = prefix().prop_map(|prefix| (Vec::new(), vec![(0, prefix, What::Clear)]));
    let one = (key(), what()).prop_map(|(key, what)| (Vec::new(), vec![(0, key, what)]));
    let several = (vec((guess(), key()), 0..2), vec((0..4_u8, key(), what()), 0..5));
    let commit = prop_oneof![5 => one, 1 => clear, 4 => several];
    let isolation =
        select(vec![Isolation::Serializable, Isolation::Serializable, Isolation::Snapshot, Isolation::ReadCommitted]);
    let call = prop_oneof![
        4 => key().prop_map(Call::Get),
        1 => key().prop_map(Call::Exists),
        2 => (key(), 0..4_u64).prop_map(|(key, back)| Call::GetAt(key, back)),
        2 => vec(key(), 0..5).prop_map(Call::Read),
        1 => prefix().prop_map(Call::List),
        5 => (prefix(), proptest::option::of(prefix()), 1..4_usize, any::<bool>())
            .prop_map(|(prefix, after, limit, reverse)| Call::Page { prefix, after, limit, reverse }),
        1 => prefix().prop_map(Call::Count),
        12 => commit.prop_map(|(checks, changes)| Call::Commit(checks, changes)),
        1 => Just(Call::Make),
        1 => any::<bool>().prop_map(Call::Unmake),
        2 => isolation.prop_map(Call::Begin),
        2 => key().prop_map(Call::TxRead),
        2 => (prefix(), 1..4_usize, any::<bool>())
            .prop_map(|(prefix, limit, reverse)| Call::TxList { prefix, limit, reverse }),
        3 => (key(), what()).prop_map(|(key, what)| Call::TxChange(key, what)),
        2 => Just(Call::TxCommit),
        1 => Just(Call::TxDrop),
        1 => Just(Call::Audit),
        1 => Just(Call::Sweep),
        2 => (1..3_u64).prop_map(Call::Wait),
    ];
    // Mostly one component and its default collection, or calls would seldom meet.
    let place = prop_oneof![3 => Just(0), 1 => 1..PLACES.len()];
    let component = prop_oneof![2 => Just(0), 1 => 1..IDS.len()];
    (component, place, call).prop_map(|(component, place, call)| Step { component, place, call })
}

/// Few keys, so that they are met again; each there for a reason.
pub(super) fn keys() -> Vec<String> {
    let mut keys =
        ["k", "k", "k", "k\0", "c", "c/k", "/", "../k", "a/b/c/k", "a/b/cc/", "é", "\u{1f}c/k", "\u{10ffff}", ""]
            .map(str::to_owned)
            .to_vec();
    keys.push("x".repeat(MAX_KEY_BYTES + 1));
    keys
}

fn key() -> impl Strategy<Value = String> {
    // The invalid ones are at the end, and rarer.
    let (keys, all) = (keys(), keys().len());
    (any::<Index>(), 0..16_u8)
        .prop_map(move |(index, luck)| keys[index.index(if luck == 0 { all } else { all - 2 })].clone())
}

fn prefix() -> impl Strategy<Value = String> {
    select(
        ["", "", "k", "c", "c/", "a/", "a/b/c/", "/", "..", "\0", "é", "\u{10ffff}", "zz"].map(str::to_owned).to_vec(),
    )
}
