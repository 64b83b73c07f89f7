//! Decisions made of closures, for tests of engines. They must stay pure: an engine may run one again.

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Decision, View, Writes};

type Decide<T> = Box<dyn FnMut(&dyn View, &mut Writes) -> Result<T, StorageError> + Send>;
type Told<T> = Box<dyn FnMut(&T) + Send>;

/// A [`Decision`] made of closures; see [`act`].
#[must_use = "a decision does nothing until an engine runs it"]
pub struct Act<T> {
    decide: Decide<T>,
    told: Option<Told<T>>,
    queue: String,
    cost: usize,
}

/// A decision that does what `decide` does.
pub fn act<T, D>(decide: D) -> Act<T>
where
    D: FnMut(&dyn View, &mut Writes) -> Result<T, StorageError> + Send + 'static,
{
    Act { decide: Box::new(decide), told: None, queue: "suite".to_owned(), cost: 64 }
}

/// A decision that writes `value` to `key`.
pub fn put(key: &[u8], value: &[u8]) -> Act<()> {
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    act(move |_, writes| {
        writes.put(key.clone(), value.clone());
        Ok(())
    })
}

/// A decision that adds one to the number in `key` and gives the new number.
pub fn increment(key: &'static [u8]) -> Act<u64> {
    act(move |view, writes| {
        let next = look_number(view, key)? + 1;
        writes.put(Bytes::from_static(key), number(next));
        Ok(next)
    })
}

impl<T> Act<T> {
    /// What to do when it has taken effect.
    pub fn told(mut self, told: impl FnMut(&T) + Send + 'static) -> Self {
        self.told = Some(Box::new(told));
        self
    }

    /// The line in which it waits.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// About how much it writes.
    pub fn cost(mut self, cost: usize) -> Self {
        self.cost = cost;
        self
    }
}

impl<T: Send + 'static> Decision for Act<T> {
    type Output = T;

    fn queue(&self) -> &str {
        &self.queue
    }

    fn cost(&self) -> usize {
        self.cost
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<T, StorageError> {
        (self.decide)(view, writes)
    }

    fn committed(&mut self, output: &T) {
        if let Some(told) = &mut self.told {
            told(output);
        }
    }
}

/// The value of `key` in a view.
///
/// # Errors
/// The view's own.
pub fn look(view: &dyn View, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    let mut found = None;
    view.look(key, &mut |value| found = value.map(<[u8]>::to_vec))?;
    Ok(found)
}

/// The number in `key`, 0 where there is none.
///
/// # Errors
/// The view's own.
pub fn look_number(view: &dyn View, key: &[u8]) -> Result<u64, StorageError> {
    Ok(look(view, key)?.map_or(0, |value| to_number(&value)))
}

/// A number as a value.
pub fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// A value as a number.
pub fn to_number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().expect("a number has eight bytes"))
}

/// The error with which a test's decision refuses.
pub fn refusal(why: &str) -> StorageError {
    StorageError::NotFound { key: why.to_owned() }
}
