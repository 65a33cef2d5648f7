//! The group machine: every scenario of Kafka's coordinator, by number, and every pair of state
//! and event.

mod dynamic;
mod empty;
mod groups;
mod limits;
mod pairs;
mod phases;
mod restart;
mod stage;
mod statics;
mod storms;
