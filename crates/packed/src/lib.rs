//! Tables in memory that take little more than what is in them: a million files are
//! listed, by name, by content and in other orders.
//!
//! ```text
//! dense     values without gaps between them, each with a number
//! ordered   such numbers, in an order that only their owner knows
//! ```
//!
//! A row of a table is held once, in a [`Dense`]; each order in which rows are found is
//! an [`Ordered`] of their numbers. A standard map would hold the row's keys once for
//! each order, and a third of it is spare room.
//!
//! Never compares values: what comes before what is said by those who ask.

mod dense;
mod ordered;

pub use dense::Dense;
pub use ordered::{Between, Ordered, Values};
