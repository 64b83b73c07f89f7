//! What only the inside can be tested for.
