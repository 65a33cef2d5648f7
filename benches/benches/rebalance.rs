//! How long it takes to share out partitions: a first assignment, and one member more.
//!
//! Topics of 1,000 partitions, all wanted by all. Beside the times it prints how many partitions
//! changed hands when the member joined.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should say where")]

use core::hint::black_box;
use core::time::Duration;
use std::collections::BTreeMap;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use groups::Subscription;
use groups::assignor::{
    Assignments, Assignor, CooperativeSticky, Member, Members, Range, RoundRobin, Sticky, Topics,
};
use groups::ids::{Generation, MemberId};
use log_core::{TopicName, TopicPartition};

const PARTITIONS_PER_TOPIC: u32 = 1_000;
/// Members and partitions.
const SIZES: [(u32, u32); 5] =
    [(100, 10_000), (100, 1_000_000), (1_000, 100_000), (10_000, 100_000), (1_000, 1_000_000)];

fn names(partitions: u32) -> Vec<TopicName> {
    let name = |number| TopicName::new(&format!("topic-{number:05}")).unwrap();
    (0..partitions / PARTITIONS_PER_TOPIC).map(name).collect()
}

fn topics(names: &[TopicName]) -> Topics {
    let all = names.iter().cloned();
    all.fold(Topics::new(), |topics, name| topics.with(name, PARTITIONS_PER_TOPIC))
}

/// `count` members as they ask to join when they have what `owned` says.
fn members(
    assignor: &dyn Assignor,
    names: &[TopicName],
    count: u32,
    owned: &Assignments,
) -> Members {
    let member = |number| {
        let id = MemberId::new(&format!("consumer-{number:06}")).unwrap();
        let owned = owned.get(&id).map(|given| given.partitions().clone());
        let generation = owned.as_ref().and_then(|_| Generation::new(1));
        let owned = owned.unwrap_or_default();
        let user_data = assignor.user_data(&owned, generation);
        let subscription = Subscription::new(names.iter().cloned())
            .with_owned(owned, generation)
            .with_user_data(user_data);
        (id, Member { instance_id: None, subscription })
    };
    (0..count).map(member).collect()
}

/// Partitions that had an owner and have another, or none, now.
fn moved(before: &Assignments, after: &Assignments) -> usize {
    let mut owners: BTreeMap<TopicPartition, &MemberId> = BTreeMap::new();
    for (id, given) in after {
        owners.extend(given.partitions().iter().map(|partition| (partition, id)));
    }
    let lost = |(id, given): (&MemberId, &groups::Assignment)| {
        given.partitions().iter().filter(|p| owners.get(p) != Some(&id)).count()
    };
    before.iter().map(lost).sum()
}

fn rebalance(criterion: &mut Criterion) {
    let assignors: [&dyn Assignor; 4] =
        [&Range::new(), &RoundRobin::new(), &Sticky::new(), &CooperativeSticky::new()];
    let mut group = criterion.benchmark_group("rebalance");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(600));
    for (count, partitions) in SIZES {
        let names = names(partitions);
        let topics = topics(&names);
        for assignor in assignors {
            let size = format!("{} {count} x {partitions}", assignor.name());
            let fresh = members(assignor, &names, count, &Assignments::new());
            let first = assignor.assign(&topics, &fresh).unwrap();
            let grown = members(assignor, &names, count + 1, &first);
            let second = assignor.assign(&topics, &grown).unwrap();
            println!("{size}: {} partitions moved", moved(&first, &second));
            group.bench_function(BenchmarkId::new("first", &size), |bencher| {
                bencher.iter(|| assignor.assign(black_box(&topics), black_box(&fresh)).unwrap());
            });
            group.bench_function(BenchmarkId::new("one joins", &size), |bencher| {
                bencher.iter(|| assignor.assign(black_box(&topics), black_box(&grown)).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = rebalance
}
criterion_main!(benches);
