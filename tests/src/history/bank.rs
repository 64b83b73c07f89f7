//! Strict serializability of transfers between accounts that are lists of what was done to them. The lists tell which
//! transaction wrote what another one read, so every dependency is known; no order explains the history if these, and who
//! had ended when who began, go in a circle. It must never miss a transfer that is in one account and not in the other.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Span, Violation, ensure};

/// What an account was: its balance, and the transfers that made it so, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// What is in it.
    pub balance: i64,
    /// The transfers' ids.
    pub ids: Vec<String>,
}

/// Names of accounts, and what was seen of them.
pub type Accounts = BTreeMap<String, Account>;

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// When.
    pub span: Span,
    /// What it read; nothing where no answer came.
    pub seen: Accounts,
    /// What it was to do.
    pub transfer: Option<Transfer>,
    /// Whether it did: not known where no answer came.
    pub committed: Option<bool>,
}

/// One unit from one account to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Its id, which no other one has.
    pub id: String,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
}

/// Whether some order of the transactions explains what they have seen, with each within its time. `end` is what is there
/// when all are over, `start` what each account began with.
///
/// # Errors
/// The first thing that no order explains.
pub fn check(transactions: &[Transaction], end: &Accounts, start: i64) -> Result<(), Violation> {
    let by_id: HashMap<&str, usize> = transactions
        .iter()
        .enumerate()
        .filter_map(|(n, transaction)| Some((transaction.transfer.as_ref()?.id.as_str(), n)))
        .collect();
    check_end(transactions, end, &by_id)?;
    let mut after = vec![HashSet::new(); transactions.len()];
    for (name, account) in end {
        let writers: Vec<usize> = account.ids.iter().map(|id| by_id[id.as_str()]).collect();
        for pair in writers.windows(2) {
            after[pair[0]].insert(pair[1]);
        }
        for (reader, transaction) in transactions.iter().enumerate() {
            // An account that is not among all of them was not there yet.
            let nothing = Account { balance: start, ids: Vec::new() };
            let seen = match transaction.seen.get(name) {
                Some(seen) => seen,
                None if transaction.transfer.is_none() && transaction.committed == Some(true) => &nothing,
                None => continue,
            };
            check_account(name, seen, transactions, &by_id, start)?;
            ensure!(
                account.ids.starts_with(&seen.ids),
                "{name} was seen with\n{:?}\nand is\n{:?}",
                seen.ids,
                account.ids
            );
            if let Some(last) = seen.ids.len().checked_sub(1) {
                after[writers[last]].insert(reader);
            }
            if let Some(next) = writers.get(seen.ids.len()).filter(|next| **next != reader) {
                after[reader].insert(*next);
            }
        }
    }
    no_circle(transactions, &after)
}

/// All that was answered is there, once, in both accounts; what was refused is not.
fn check_end(transactions: &[Transaction], end: &Accounts, by_id: &HashMap<&str, usize>) -> Result<(), Violation> {
    let mut places: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, account) in end {
        for id in &account.ids {
            ensure!(by_id.contains_key(id.as_str()), "{name} has {id}, which nobody asked for");
            places.entry(id).or_default().push(name);
        }
    }
    for transaction in transactions {
        let Some(transfer) = &transaction.transfer else { continue };
        let mut places = places.get(transfer.id.as_str()).cloned().unwrap_or_default();
        let mut both = [transfer.from.as_str(), transfer.to.as_str()];
        places.sort_unstable();
        both.sort_unstable();
        ensure!(places.is_empty() || places == both, "{transfer:?} is in {places:?}");
        let is_there = !places.is_empty();
        ensure!(
            transaction.committed.is_none_or(|committed| committed == is_there),
            "{transfer:?} was answered with {:?}, and is in {places:?}",
            transaction.committed
        );
    }
    Ok(())
}

/// The balance is what the transfers make it, and never below nothing.
fn check_account(
    name: &str,
    seen: &Account,
    transactions: &[Transaction],
    by_id: &HashMap<&str, usize>,
    start: i64,
) -> Result<(), Violation> {
    let mut balance = start;
    for id in &seen.ids {
        let transfer = by_id.get(id.as_str()).and_then(|n| transactions[*n].transfer.as_ref());
        let Some(transfer) = transfer else {
            return Err(Violation(format!("{name} was seen with {id}, which nobody asked for")));
        };
        balance += if transfer.to == name { 1 } else { -1 };
        ensure!(balance >= 0, "{name} was below nothing after {id}");
    }
    ensure!(balance == seen.balance, "{name} was seen with {}, and its transfers make {balance}", seen.balance);
    Ok(())
}

/// That everything can be put into an order, the times included. Those are not in `after`, which would be too many.
fn no_circle(transactions: &[Transaction], after: &[HashSet<usize>]) -> Result<(), Violation> {
    let mut before = vec![0_usize; transactions.len()];
    for later in after.iter().flatten() {
        before[*later] += 1;
    }
    let mut left: HashSet<usize> = (0..transactions.len()).collect();
    while !left.is_empty() {
        // What must come next is in no one's time but its own: nothing that is left had ended when it began.
        let Some(first_end) = left.iter().map(|n| transactions[*n].span.end).min() else { break };
        let next = left.iter().copied().find(|n| before[*n] == 0 && transactions[*n].span.start <= first_end);
        let Some(next) = next else {
            let mut some: Vec<_> = left.iter().copied().filter(|n| before[*n] > 0).collect();
            some.sort_by_key(|n| transactions[*n].span.start);
            let some: Vec<_> = some.iter().take(4).map(|n| &transactions[*n]).collect();
            return Err(Violation(format!("{} transactions are in no order, among them {some:#?}", left.len())));
        };
        left.remove(&next);
        for later in &after[next] {
            before[*later] -= 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::span;
    use super::*;

    const START: i64 = 10;

    fn accounts(of: &[(&str, i64, &[&str])]) -> Accounts {
        let account = |balance, ids: &[&str]| Account { balance, ids: ids.iter().map(|id| (*id).to_owned()).collect() };
        of.iter().map(|(name, balance, ids)| ((*name).to_owned(), account(*balance, ids))).collect()
    }

    fn transfer(span: Span, id: &str, from: &str, to: &str, seen: &[(&str, i64, &[&str])]) -> Transaction {
        let transfer = Transfer { id: id.to_owned(), from: from.to_owned(), to: to.to_owned() };
        Transaction { span, seen: accounts(seen), transfer: Some(transfer), committed: Some(true) }
    }

    fn look(span: Span, seen: &[(&str, i64, &[&str])]) -> Transaction {
        Transaction { span, seen: accounts(seen), transfer: None, committed: Some(true) }
    }

    const NEW: (&str, i64, &[&str]) = ("a", START, &[]);
    const END: &[(&str, i64, &[&str])] = &[("a", 8, &["1", "2"]), ("b", 11, &["1"]), ("c", 11, &["2"])];

    fn good() -> Vec<Transaction> {
        vec![
            transfer(span(0, 50), "1", "a", "b", &[NEW, ("b", START, &[])]),
            transfer(span(0, 40), "2", "a", "c", &[("a", 9, &["1"]), ("c", START, &[])]),
            look(span(20, 60), &[("a", 9, &["1"]), ("b", 11, &["1"])]),
        ]
    }

    fn found(transactions: &[Transaction]) -> String {
        check(transactions, &accounts(END), START).expect_err("a violation").0
    }

    #[test]
    fn an_order_that_is_there_is_found() {
        assert_eq!(check(&good(), &accounts(END), START), Ok(()));
        let mut lost = good();
        lost[1] = Transaction {
            seen: Accounts::new(),
            committed: None,
            span: Span::open(lost[1].span.start),
            ..lost[1].clone()
        };
        assert_eq!(check(&lost, &accounts(END), START), Ok(()));
    }

    #[test]
    fn what_was_seen_too_late_is_found_out() {
        let mut late = good();
        late[2].span = span(51, 60);
        assert!(found(&late).contains("in no order"));
    }

    #[test]
    fn half_a_transfer_is_found_out() {
        let end = accounts(&[("a", 8, &["1", "2"]), ("b", 11, &["1"])]);
        assert!(check(&good(), &end, START).is_err());
        let mut torn = good();
        torn[2].seen = accounts(&[("a", 9, &["1"])]);
        assert!(found(&torn).contains("in no order"));
    }

    #[test]
    fn a_lost_or_refused_transfer_that_was_answered_is_found_out() {
        assert!(check(&good(), &accounts(&[("a", 9, &["1"]), ("b", 11, &["1"])]), START).is_err());
        let mut refused = good();
        refused[1].committed = Some(false);
        assert!(found(&refused).contains("was answered with"));
    }

    #[test]
    fn a_doubled_transfer_is_found_out() {
        let end = accounts(&[("a", 7, &["1", "2", "2"]), ("b", 11, &["1"]), ("c", 12, &["2", "2"])]);
        assert!(check(&good(), &end, START).is_err());
    }

    #[test]
    fn two_who_read_the_same_and_wrote_are_found_out() {
        let mut lost_update = good();
        lost_update[1].seen = accounts(&[NEW, ("c", START, &[])]);
        assert!(found(&lost_update).contains("in no order"));
    }

    #[test]
    fn write_skew_is_found_out() {
        // Each has seen the other's account as it was before.
        let skew = [
            transfer(span(0, 50), "1", "a", "b", &[NEW, ("b", START, &[])]),
            transfer(span(0, 50), "2", "c", "d", &[("c", START, &[]), ("d", START, &[])]),
            look(span(0, 50), &[("a", 9, &["1"]), ("b", 11, &["1"])]),
            look(span(0, 50), &[("c", 9, &["2"]), ("d", 11, &["2"])]),
        ];
        let end = accounts(&[("a", 9, &["1"]), ("b", 11, &["1"]), ("c", 9, &["2"]), ("d", 11, &["2"])]);
        assert!(check(&skew, &end, START).is_err());
        assert_eq!(check(&skew[..3], &end, START), Ok(()));
    }

    #[test]
    fn a_wrong_balance_is_found_out() {
        let mut wrong = good();
        wrong[2].seen = accounts(&[("a", 8, &["1"]), ("b", 11, &["1"])]);
        assert!(found(&wrong).contains("its transfers make 9"));
    }
}
