//! What this library promises, checked from outside: one binary, a module for each subject.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

#[macro_use]
mod forward;

mod callbacks;
mod checkpoint;
mod codecs;
mod conformance;
mod damage;
mod directories;
mod ends;
mod engines;
mod events;
mod foreign;
mod io_errors;
mod log;
mod made_by_others;
mod many_producers;
mod open_files;
mod other_reader;
mod power;
mod process;
mod producers;
mod races;
mod read_only;
mod refused;
mod scenarios;
mod snapshots;
mod space;
mod takeover;
mod times;
mod topics;
mod transactions;
mod world;
