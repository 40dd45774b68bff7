//! Which faults come when: most of them over and beside each other, some alone.

use crate::directed::Direction;
use crate::plan::{Backends, Dice, Fault, Kind};

/// Milliseconds that are kept free for a fault alone: its own time, and that in which the farm must have gone on.
const LONE: u64 = 9000;
/// A lone fault begins so long after those before it have ended, and lasts at most so long.
const PAUSE: u64 = 500;
const SHORT: u64 = 3000;

/// The faults of a schedule, in their order, and how many of them are alone. A directed schedule has none of these.
pub(crate) fn draw(
    seed: u64,
    backends: Backends,
    (count, window): (u64, u64),
    direction: &Direction,
) -> (Vec<Fault>, u64) {
    let lone = if direction.only.is_empty() && count > 1 {
        (count / 30).max(1).min(window / (3 * LONE))
    } else {
        0
    };
    let busy = window - lone * LONE;
    // The moments of the busy time at which time is put in for a fault alone.
    let gaps: Vec<u64> = (1..=lone).map(|n| n * busy / (lone + 1)).collect();
    let mut dice = Dice::new(seed, "faults");
    let kinds = direction.kinds(Kind::ALL.map(|k| (k, k.weight(backends))));
    let crowd = count - lone;
    let mut faults: Vec<Fault> = (0..crowd)
        .map(|n| {
            let jitter = dice.within(0, (busy / crowd.max(1)).max(1));
            let at = n * busy / crowd.max(1) + jitter;
            let fault = fault(&mut dice, &kinds, at, u64::MAX);
            let before = gaps.iter().filter(|gap| **gap <= at).count() as u64;
            let next = gaps.iter().find(|gap| **gap > at).map_or(u64::MAX, |gap| gap - at);
            Fault { at: at + before * LONE, lasts: fault.lasts.min(next), ..fault }
        })
        .collect();
    let stalls: Vec<(Kind, u64)> =
        kinds.iter().copied().filter(|(kind, _)| kind.stalls()).collect();
    for (before, gap) in (0..).zip(&gaps) {
        faults.push(fault(&mut dice, &stalls, gap + before * LONE + PAUSE, SHORT));
    }
    faults.sort_by_key(|f| f.at);
    (faults, lone)
}

fn fault(dice: &mut Dice, kinds: &[(Kind, u64)], at: u64, longest: u64) -> Fault {
    let total: u64 = kinds.iter().map(|(_, weight)| weight).sum();
    let mut left = dice.within(0, total);
    let kind = kinds.iter().find(|(_, weight)| {
        let here = left < *weight;
        left = left.saturating_sub(*weight);
        here
    });
    let kind = kind.map_or(Kind::KillServer, |(kind, _)| *kind);
    let (from, to) = kind.lasts();
    Fault {
        at,
        kind,
        whom: dice.next(),
        amount: dice.next(),
        lasts: dice.within(from, to).min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_begins_or_lasts_while_a_fault_is_alone() {
        let (faults, lone) =
            draw(5, Backends::PostgresRabbit, (200, 350_000), &Direction::default());
        assert_eq!((faults.len(), lone), (200, 6));
        let alone = faults.iter().filter(|fault| {
            let until = fault.at + LONE - PAUSE;
            let others = faults.iter().filter(|f| f.at != fault.at);
            fault.kind.stalls()
                && !others.clone().any(|f| (fault.at..until).contains(&f.at))
                && !others.clone().any(|f| f.at < fault.at && f.at + f.lasts > fault.at)
        });
        assert!(alone.count() >= 6, "{faults:#?}");
        assert!(faults.iter().all(|f| f.at < 350_000));
    }
}
