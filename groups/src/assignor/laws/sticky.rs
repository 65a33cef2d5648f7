//! What sticky strategies promise beyond the laws: even shares, and no needless move.

use std::collections::BTreeMap;

use log_core::TopicPartition;

use crate::assignor::{Assignments, Assignor};
use crate::ids::MemberId;
use crate::partitions::PartitionSet;

use super::{Broken, Case, Law, assign, settle};

/// Checks one group: the shares are even, if not at once then when it has settled, and with the
/// same topics for all and no racks nobody loses a partition and gains another.
///
/// # Errors
///
/// [`Broken`]: which promise is not kept.
pub fn check_sticky(assignor: &dyn Assignor, case: &Case) -> Result<(), Broken> {
    let result = assign(assignor, case)?;
    if case.is_uniform() && !case.has_racks() {
        keeps(case, &result)?;
    }
    let rounds = settle(assignor, case)?;
    let mut settled = case.clone();
    for _ in 0..rounds {
        settled = settled.after(&assign(assignor, &settled)?);
    }
    let last = assign(assignor, &settled)?;
    if is_balanced(case, &last) {
        Ok(())
    } else {
        Err(Broken::new(Law::Balanced, case, format_args!("{last:?}")))
    }
}

/// Whether no member with two more than another holds something that the other wants.
#[must_use]
pub fn is_balanced(case: &Case, result: &Assignments) -> bool {
    result.iter().all(|(_, from)| {
        result.iter().all(|(to, less)| {
            let (from, less) = (from.partitions(), less.partitions());
            from.len() <= less.len() + 1 || !from.topics().any(|(topic, _)| case.wants(to, topic))
        })
    })
}

fn keeps(case: &Case, result: &Assignments) -> Result<(), Broken> {
    let mut own: BTreeMap<&MemberId, Vec<TopicPartition>> = BTreeMap::new();
    for (partition, newest) in case.claimed() {
        let mut newest = newest.into_iter();
        if let (Some(owner), None) = (newest.next(), newest.next()) {
            own.entry(owner).or_default().push(partition);
        }
    }
    for (id, given) in result {
        let own: PartitionSet = own.remove(id).unwrap_or_default().into_iter().collect();
        let lost = own.difference(given.partitions());
        let gained = given.partitions().difference(&own);
        if !lost.is_empty() && !gained.is_empty() {
            let what = format_args!("{id} lost {lost:?} and gained {gained:?}");
            return Err(Broken::new(Law::Sticky, case, what));
        }
    }
    Ok(())
}
