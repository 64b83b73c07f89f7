//! Which error it is, and what it says.

use crate::expect::{Case, fails, holds, ok, same};
use crate::runner::{Check, Place};
use crate::shape::{Bucket, Error, Paged};

/// The checks of a shape with a case for arguments that make no sense.
pub fn named_errors<B: Paged>() -> Vec<Check<B>> {
    vec![
        Check::host_specific("a key that cannot be is invalid-argument", invalid_key),
        Check::host_specific("a cursor that the host has not made is invalid-argument", invalid_cursor),
    ]
}

/// The checks of a shape whose errors are texts.
pub fn told_errors<B: Bucket>() -> Vec<Check<B>> {
    vec![Check::host_specific("the error of a key that cannot be says that it is the key", told)]
}

async fn invalid_key<B: Paged>(at: &Place<B>) -> Case {
    for key in [String::new(), at.key(&"k".repeat(3000))] {
        same("set", &fails("set", at.bucket.set(&key, b"1").await)?, &Error::InvalidArgument)?;
        same("get", &fails("get", at.bucket.get(&key).await)?, &Error::InvalidArgument)?;
        same("delete", &fails("delete", at.bucket.delete(&key).await)?, &Error::InvalidArgument)?;
        same("exists", &fails("exists", at.bucket.exists(&key).await)?, &Error::InvalidArgument)?;
    }
    Ok(())
}

async fn invalid_cursor<B: Paged>(at: &Place<B>) -> Case {
    ok("set", at.bucket.set(&at.key("k"), b"1").await)?;
    for cursor in B::forged() {
        same("list-keys", &fails("list-keys", at.bucket.page(Some(cursor)).await)?, &Error::InvalidArgument)?;
    }
    Ok(())
}

async fn told<B: Bucket>(at: &Place<B>) -> Case {
    for key in [String::new(), at.key(&"k".repeat(3000))] {
        match fails("set", at.bucket.set(&key, b"1").await)? {
            Error::Other(text) => holds("its text has the word key", text.contains("key"))?,
            other => return Err(format!("set: expected other, got {other}")),
        }
    }
    Ok(())
}
