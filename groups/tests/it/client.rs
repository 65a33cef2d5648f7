//! The consumer's side of a group: every scenario of Kafka's client, by number, against the
//! coordinator itself.

mod commits;
mod cooperative;
mod eager;
mod example;
mod lifetime;
mod peers;
