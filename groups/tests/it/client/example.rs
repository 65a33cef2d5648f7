//! The mission's example: C1 has P0 and P1, C2 has P2 and P3, C3 joins.
//!
//! ```text
//!                P0    P1    P2    P3
//!   eager        stop  stop  stop  stop     all four are given back, then handed out
//!   cooperative  ────  ────  ────  move     one moves, three are read without a gap
//! ```

use groups::MembershipSettings;

use super::peers::{Peers, cooperative, eager, text, with_instance};

/// For each partition, at each moment, who may read it: a timeline.
struct Timeline(Vec<[Option<usize>; 4]>);

impl Timeline {
    fn look(&mut self, peers: &Peers) {
        let mut moment = [None; 4];
        for (who, peer) in peers.all.iter().enumerate() {
            for partition in peer.membership.readable().iter() {
                let place = usize::try_from(partition.partition()).unwrap();
                let earlier = moment[place].replace(who);
                assert_eq!(earlier, None, "P{place} has two readers");
            }
        }
        self.0.push(moment);
    }

    /// The partitions that nobody read at some moment.
    fn stopped(&self) -> Vec<usize> {
        (0..4).filter(|p| self.0.iter().any(|moment| moment[*p].is_none())).collect()
    }

    fn moved(&self) -> Vec<usize> {
        let (first, last) = (self.0.first().unwrap(), self.0.last().unwrap());
        (0..4).filter(|p| first[*p] != last[*p]).collect()
    }
}

/// C3 joins a settled group of two; every poll of everybody is a moment.
fn third_joins(settings: &MembershipSettings) -> (Timeline, [String; 3], u64) {
    let mut peers = Peers::new(4);
    let (first, second) = (peers.add(settings.clone()), peers.add(settings.clone()));
    peers.settle(&[first, second]);
    assert_eq!((peers.owned(first).len(), peers.owned(second).len()), (3, 3), "two each");
    let before = peers.rebalances();
    let mut timeline = Timeline(Vec::new());
    timeline.look(&peers);
    let third = peers.add(settings.clone());
    for round in 0..12 {
        for who in [third, first, second] {
            if round > 0 {
                peers.beat(who);
            }
            peers.poll(who);
            timeline.look(&peers);
        }
    }
    let owned = [first, second, third].map(|who| text(peers.all[who].membership.owned()));
    (timeline, owned, peers.rebalances() - before)
}

#[test]
fn p_096_eager_stops_all_four_and_cooperative_moves_exactly_one() {
    let (timeline, owned, rebalances) = third_joins(&eager());
    assert_eq!(timeline.stopped(), [0, 1, 2, 3]);
    assert_eq!(rebalances, 1);
    assert_eq!(owned.map(|set| set.split(' ').count()), [2, 1, 1]);
    let (timeline, owned, rebalances) = third_joins(&cooperative());
    assert_eq!(timeline.stopped().len(), 1, "one partition stops");
    assert_eq!(timeline.moved(), timeline.stopped(), "and it is the one that moves");
    assert_eq!(rebalances, 2, "given back in the first round, handed out in the second");
    let mut sizes = owned.map(|set| set.split(' ').count());
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 2]);
}

/// One of three consumers is restarted; how many rebalances that costs, and what it owns then.
fn restart(settings: [MembershipSettings; 3]) -> (u64, String, String) {
    let mut peers = Peers::new(4);
    let all = settings.clone().map(|settings| peers.add(settings));
    peers.settle(&all);
    let before = peers.rebalances();
    let old = peers.owned(all[2]);
    let [.., last] = settings;
    peers.all[all[2]].membership.unsubscribe();
    peers.poll(all[2]);
    peers.settle(&all[..2]);
    peers.pass(5_000);
    let again = peers.add(last);
    peers.settle(&[all[0], all[1], again]);
    (peers.rebalances() - before, old, peers.owned(again))
}

#[test]
fn p_018_a_restart_costs_two_rebalances_and_with_static_membership_none() {
    let (rebalances, ..) = restart([eager(), eager(), eager()]);
    assert_eq!(rebalances, 2);
    let named = ["A", "B", "C"].map(|name| with_instance(eager(), name));
    let (rebalances, old, new) = restart(named);
    assert_eq!(rebalances, 0);
    assert_eq!(old, new, "the same partitions");
    let named = ["A", "B", "C"].map(|name| with_instance(cooperative(), name));
    assert_eq!(restart(named).0, 0);
}
