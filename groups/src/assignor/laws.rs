//! What every [`Assignor`] must keep, and a suite that checks any implementation by random groups.
//!
//! ```text
//!   law            for every input
//!   Members        every member is in the result, and nobody else
//!   Wanted         nobody gets a partition that does not exist or of a topic it did not ask for
//!   Once           no partition has two owners
//!   Covered        every partition of a wanted topic has an owner; a cooperative strategy may
//!                  withhold what somebody claims
//!   Safe           cooperative: what is claimed goes to nobody but the only newest claimant
//!   Repeatable     the same input gives the same result
//!   Names          other names in the same order change names in the result and nothing else
//!   Settles        with the result as what is owned, after a few rounds nothing moves any more
//!                  and everything has an owner
//! ```
//!
//! ```
//! use groups::assignor::{CooperativeSticky, laws};
//! laws::check(&CooperativeSticky::new(), 1, 100)?;
//! # Ok::<(), groups::assignor::laws::Broken>(())
//! ```

mod cases;
mod sticky;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use log_core::TopicPartition;

use crate::ids::MemberId;
use crate::partitions::PartitionSet;

use super::{Assignments, Assignor, RebalanceProtocol};

pub use cases::{Case, Claim};
pub use sticky::{check_sticky, is_balanced};

/// Rounds after which nothing may move any more. The reference of Kafka's own strategies needs up
/// to five, with racks.
pub const ROUNDS_MAX: usize = 8;

/// One of the laws; see the table of this module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Law {
    /// The strategy answered with an error.
    Answers,
    /// Every member is in the result, and nobody else.
    Members,
    /// Nobody gets what does not exist or was not asked for.
    Wanted,
    /// No partition has two owners.
    Once,
    /// Every partition has an owner.
    Covered,
    /// What is claimed goes to nobody but the only newest claimant.
    Safe,
    /// The same input gives the same result.
    Repeatable,
    /// Names do not matter, only their order.
    Names,
    /// After a few rounds nothing moves any more.
    Settles,
    /// Sticky strategies: as even as can be.
    Balanced,
    /// Sticky strategies: nobody loses a partition and gains another.
    Sticky,
}

/// A law that an implementation broke, with the group that shows it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("law {law:?} is broken with seed {seed:#x}: {what}")]
pub struct Broken {
    law: Law,
    seed: u64,
    what: String,
}

impl Broken {
    fn new(law: Law, case: &Case, what: impl fmt::Display) -> Self {
        Self { law, seed: case.seed(), what: what.to_string() }
    }

    /// The law.
    #[must_use]
    pub const fn law(&self) -> Law {
        self.law
    }

    /// The seed of the group that shows it: [`Case::random`] makes it again.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

/// Checks all laws on `cases` random groups that follow from `seed`.
///
/// # Errors
///
/// [`Broken`]: the first law that is broken, and by which group.
pub fn check(assignor: &dyn Assignor, seed: u64, cases: u32) -> Result<(), Broken> {
    for number in 0..cases {
        check_case(assignor, &Case::random(seed.wrapping_add(number.into())))?;
    }
    Ok(())
}

/// Checks all laws on one group.
///
/// # Errors
///
/// [`Broken`]: the first law that is broken.
pub fn check_case(assignor: &dyn Assignor, case: &Case) -> Result<(), Broken> {
    let result = assign(assignor, case)?;
    check_result(assignor, case, &result)?;
    if assign(assignor, case)? != result {
        return Err(Broken::new(Law::Repeatable, case, "the second result differs"));
    }
    let renamed = assign(assignor, &case.renamed())?;
    if !renamed.values().eq(result.values()) {
        return Err(Broken::new(Law::Names, case, format_args!("{result:?} became {renamed:?}")));
    }
    settle(assignor, case).map(|_| ())
}

/// Feeds results back until nothing moves any more, and returns the rounds that moved something.
///
/// # Errors
///
/// [`Broken`]: a law was broken on the way, or [`ROUNDS_MAX`] rounds were not enough.
pub fn settle(assignor: &dyn Assignor, case: &Case) -> Result<usize, Broken> {
    let mut case = case.clone();
    for round in 0..=ROUNDS_MAX {
        let result = assign(assignor, &case)?;
        check_result(assignor, &case, &result)?;
        let done = case.claims().all(|(id, claim)| {
            result.get(id).is_some_and(|given| *given.partitions() == claim.owned)
        });
        if done {
            let given: usize = result.values().map(|given| given.partitions().len()).sum();
            let all = case.universe().len();
            return if given == all {
                Ok(round)
            } else {
                Err(Broken::new(Law::Settles, &case, format_args!("{given} of {all} have owners")))
            };
        }
        case = case.after(&result);
    }
    Err(Broken::new(Law::Settles, &case, format_args!("still moving after {ROUNDS_MAX} rounds")))
}

/// The strategy's answer to a case.
///
/// # Errors
///
/// [`Broken`]: it is an error.
pub fn assign(assignor: &dyn Assignor, case: &Case) -> Result<Assignments, Broken> {
    let result = assignor.assign(case.topics(), &case.members(assignor));
    result.map_err(|error| Broken::new(Law::Answers, case, error))
}

/// The laws about one result.
fn check_result(assignor: &dyn Assignor, case: &Case, result: &Assignments) -> Result<(), Broken> {
    if !case.claims().map(|(id, _)| id).eq(result.keys()) {
        let got: Vec<&MemberId> = result.keys().collect();
        return Err(Broken::new(Law::Members, case, format_args!("{got:?}")));
    }
    let universe = case.universe();
    let mut owners: BTreeMap<TopicPartition, &MemberId> = BTreeMap::new();
    for (id, given) in result {
        for partition in given.partitions().iter() {
            if !universe.contains(&partition) || !case.wants(id, partition.topic()) {
                return Err(Broken::new(Law::Wanted, case, format_args!("{id} got {partition}")));
            }
            if let Some(other) = owners.insert(partition.clone(), id) {
                let what = format_args!("{id} and {other} got {partition}");
                return Err(Broken::new(Law::Once, case, what));
            }
        }
    }
    let cooperative = assignor.protocols().contains(&RebalanceProtocol::Cooperative);
    let claimed = case.claimed();
    for partition in universe.iter() {
        let withheld = cooperative && claimed.contains_key(&partition);
        if !owners.contains_key(&partition) && !withheld {
            return Err(Broken::new(Law::Covered, case, format_args!("nobody got {partition}")));
        }
    }
    if cooperative {
        check_safe(case, &owners, &claimed)?;
    }
    Ok(())
}

fn check_safe(
    case: &Case,
    owners: &BTreeMap<TopicPartition, &MemberId>,
    claimed: &BTreeMap<TopicPartition, BTreeSet<&MemberId>>,
) -> Result<(), Broken> {
    for (partition, owner) in owners {
        let others = claimed.get(partition).filter(|newest| **newest != BTreeSet::from([*owner]));
        if let Some(newest) = others {
            let what = format_args!("{owner} got {partition}, which {newest:?} claim");
            return Err(Broken::new(Law::Safe, case, what));
        }
    }
    Ok(())
}

/// All partitions of the topics that somebody wants.
fn universe_of(case: &Case) -> PartitionSet {
    let wanted: BTreeSet<_> = case.claims().flat_map(|(_, claim)| &claim.topics).collect();
    let numbers = |topic: &&log_core::TopicName| {
        ((**topic).clone(), (0..case.topics().partitions(topic)).collect())
    };
    PartitionSet::from_topics(wanted.iter().map(numbers).collect())
}
