//! Whole histories from any bytes: the bytes are the chances that the simulator's plan draws.

use crate::chance::Chance;
use crate::history;
use crate::plan::{Plan, Weather};

/// Any history, judged as the simulator does.
pub fn run(data: &[u8]) {
    judge(&Plan::from_bytes(data, None));
}

/// Histories in which stored bytes change: detected, or equal.
pub fn run_damaged(data: &[u8]) {
    judge(&Plan::from_bytes(data, Some(Weather::Rot)));
}

fn judge(plan: &Plan) {
    let failure = history::run(plan).err();
    assert!(failure.is_none(), "{failure:#?}\n{plan:#?}");
}

/// Chances of several lengths.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut chance = Chance::new(0x0975);
    let draw = |length: &usize| (0..*length).map(|_| chance.next() as u8).collect();
    [40, 100, 300, 300, 600, 600, 1_200, 1_200].iter().map(draw).collect()
}
