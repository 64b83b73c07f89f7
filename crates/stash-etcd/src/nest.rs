//! More operations than one transaction of etcd may have. Its limit (`--max-txn-ops`, 128) holds for each level of a
//! transaction: one within another has what the outer level leaves, however many there are beside each other. They are one
//! transaction nevertheless. No level may have more than its limit.

use crate::proto::{Op, RequestOp, TxnRequest};

/// Operations that fit below a level which may have `budget`.
pub(crate) fn capacity(budget: usize) -> usize {
    if budget < 4 {
        return budget;
    }
    let inner = budget / 2;
    (budget - inner).saturating_mul(capacity(inner)).max(budget)
}

/// The operations so that they fit beside `used` others into a transaction of at most `max`.
pub(crate) fn nested(ops: Vec<RequestOp>, max: usize, used: usize) -> Vec<RequestOp> {
    if ops.len() + used <= max {
        return ops;
    }
    // The upper half stays below, whatever else this level has.
    let inner = max / 2;
    let groups = (max - inner).saturating_sub(used).max(1);
    let each = ops.len().div_ceil(groups).max(1);
    let mut outer = Vec::with_capacity(groups);
    let mut ops = ops.into_iter();
    loop {
        let group: Vec<_> = ops.by_ref().take(each).collect();
        if group.is_empty() {
            return outer;
        }
        // A transaction that asks for nothing is always a success.
        let success = if inner >= 4 { nested(group, inner, 0) } else { group };
        outer.push(Op::Txn(TxnRequest { success, ..TxnRequest::default() }).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::delete_key;

    /// As etcd checks it: each level against what the one above has left.
    fn check(ops: &[RequestOp], max: usize) -> usize {
        assert!(ops.len() <= max, "{} of {max}", ops.len());
        let inner = |op: &RequestOp| match &op.op {
            Some(Op::Txn(txn)) => check(&txn.success, max - ops.len()),
            _ => 1,
        };
        ops.iter().map(inner).sum()
    }

    #[test]
    fn no_level_has_too_many() {
        for max in [32, 33, 128, 500] {
            for used in [1, max / 8, max / 4] {
                let most = capacity(max / 2) / 4;
                for count in [0, 1, max - used, max - used + 1, 200, 999, 5_000, 20_000] {
                    let count = count.min(2 * most);
                    let ops: Vec<RequestOp> = (0..count).map(|n| delete_key(format!("{n}").into())).collect();
                    let mut all = vec![delete_key("x".into()); used];
                    all.extend(nested(ops, max, used));
                    assert_eq!(check(&all, max), count + used, "{count} beside {used} in {max}");
                }
            }
        }
    }
}
