//! How often a password may be wrong.
//!
//! Five times a minute for an account, wherever from; and from an address, after ten, once in a time that doubles up to a
//! minute. An account's name is no secret, so that whoever tries it from elsewhere must not shut out its owner: an address
//! from which the account was proved within a day has five tries of its own. Each server counts by itself.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use pybit_core::model::AccountName;
use tokio::time::Instant;

/// Tries for an account that may fail within [`WINDOW`].
const PER_ACCOUNT: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// Tries from an address that may fail before it has to wait, and the longest that it waits.
const PER_ADDRESS: u32 = 10;
const LONGEST: Duration = Duration::from_mins(1);
/// An address from which nothing failed for so long starts afresh.
const FORGOTTEN: Duration = Duration::from_mins(15);
/// How long an address is known as an account's own.
const OWN: Duration = Duration::from_hours(24);
/// Accounts, addresses, and addresses of accounts that are remembered at most, each.
const MOST: usize = 10_000;

/// Whose password is tried, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Try {
    name: AccountName,
    from: IpAddr,
}

impl Try {
    /// A network of IPv6 is one address: its holder has all of them.
    pub(super) fn new(name: &AccountName, from: IpAddr) -> Self {
        let from = match from.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        };
        Self { name: name.clone(), from }
    }
}

/// The failed tries of an address.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// A try that counts as failed until it is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) struct Begun {
    at: Instant,
    /// The failure before it, from the same address.
    before: Option<Instant>,
}

/// What has failed lately, and where accounts are at home.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// The newest failures of each account: from an address of its own, or from anywhere else.
    accounts: HashMap<(AccountName, Option<IpAddr>), VecDeque<Instant>>,
    addresses: HashMap<IpAddr, Failures>,
    own: HashMap<Try, Instant>,
}

impl Tries {
    /// Whether the password may be tried now; if not, how long to wait.
    pub(super) fn check(&self, tried: &Try, now: Instant) -> Result<(), Duration> {
        let failed = self.accounts.get(&self.line(tried, now));
        let first = failed.filter(|f| f.len() >= PER_ACCOUNT).and_then(VecDeque::front);
        let account = first.map_or(now, |first| *first + WINDOW);
        let address = self.addresses.get(&tried.from).map_or(now, |f| f.last + f.pause(now));
        let wait = account.max(address).saturating_duration_since(now);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// The same, and counts it as failed; when something failed there before.
    pub(super) fn begin(&mut self, tried: &Try, now: Instant) -> Result<Begun, Duration> {
        self.check(tried, now)?;
        let before = self.addresses.get(&tried.from).map(|failures| failures.last);
        make_room(&mut self.accounts, |f| f.back().copied().unwrap_or(now), WINDOW, now);
        make_room(&mut self.addresses, |f| f.last, FORGOTTEN, now);
        let failed = self.accounts.entry(self.line(tried, now)).or_default();
        failed.push_back(now);
        if failed.len() > PER_ACCOUNT {
            failed.pop_front();
        }
        let failures = self.addresses.entry(tried.from).or_insert(Failures { count: 0, last: now });
        *failures = Failures { count: failures.current(now).saturating_add(1), last: now };
        Ok(Begun { at: now, before })
    }

    /// A try that has begun was right: it is as if it had not been.
    pub(super) fn proved(&mut self, tried: &Try, begun: Begun, now: Instant) {
        if let Some(failed) = self.accounts.get_mut(&self.line(tried, now)) {
            failed.pop_back();
        }
        if let Some(failures) = self.addresses.get_mut(&tried.from) {
            failures.count = failures.count.saturating_sub(1);
            if failures.last == begun.at
                && let Some(before) = begun.before
            {
                failures.last = before;
            }
        }
        make_room(&mut self.own, |since| *since, OWN, now);
        self.own.insert(tried.clone(), now);
    }

    fn line(&self, tried: &Try, now: Instant) -> (AccountName, Option<IpAddr>) {
        let own = self.own.get(tried).is_some_and(|since| now.duration_since(*since) < OWN);
        (tried.name.clone(), own.then_some(tried.from))
    }
}

impl Failures {
    fn current(&self, now: Instant) -> u32 {
        if now.duration_since(self.last) < FORGOTTEN { self.count } else { 0 }
    }

    /// How long after the last failure the next try may come.
    fn pause(&self, now: Instant) -> Duration {
        match self.current(now).checked_sub(PER_ADDRESS) {
            Some(more) => Duration::from_secs(1 << more.min(6)).min(LONGEST),
            None => Duration::ZERO,
        }
    }
}

/// Drops what is over where there is much, and then, as long as there is too much, the oldest.
fn make_room<K: Clone + Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    since: impl Fn(&V) -> Instant,
    lasts: Duration,
    now: Instant,
) {
    if map.len() < MOST {
        return;
    }
    map.retain(|_, value| now.duration_since(since(value)) < lasts);
    while map.len() >= MOST {
        let oldest = map.iter().min_by_key(|(_, value)| since(value)).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { return };
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, from: &str) -> Try {
        Try::new(&name.parse().unwrap(), from.parse().unwrap())
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_account_has_five_wrong_passwords_a_minute_wherever_from() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        for n in 0..5 {
            let from = format!("192.0.2.{n}");
            let _ = tries.begin(&tried("ann", &from), start + seconds(n)).unwrap();
        }
        let sixth = tried("ann", "192.0.2.9");
        assert_eq!(tries.begin(&sixth, start + seconds(5)), Err(seconds(55)));
        assert_eq!(tries.check(&tried("bob", "192.0.2.9"), start + seconds(5)), Ok(()));
        let _ = tries.begin(&sixth, start + seconds(60)).unwrap();
        assert_eq!(
            tries.check(&sixth, start + seconds(60)),
            Err(seconds(1)),
            "one for each that is over"
        );
    }

    #[test]
    fn a_right_password_is_no_failure() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        for _ in 0..100 {
            let begun = tries.begin(&tried("ann", "192.0.2.1"), now).unwrap();
            tries.proved(&tried("ann", "192.0.2.1"), begun, now);
        }
    }

    #[test]
    fn a_right_password_after_many_wrong_ones_ends_the_waiting() {
        let (mut tries, mut now) = (Tries::default(), Instant::now());
        for _ in 0..16 {
            while tries.check(&tried("old", "192.0.2.1"), now).is_err() {
                now += seconds(1);
            }
            let _ = tries.begin(&tried("old", "192.0.2.1"), now).unwrap();
        }
        now += LONGEST + seconds(1);
        for _ in 0..20 {
            let begun = tries.begin(&tried("ann", "192.0.2.1"), now).expect("it is right");
            tries.proved(&tried("ann", "192.0.2.1"), begun, now);
            now += seconds(1);
        }
        let _ = tries.begin(&tried("old", "192.0.2.1"), now).unwrap();
        assert!(tries.check(&tried("ann", "192.0.2.1"), now).is_err(), "a wrong one waits again");
    }

    #[test]
    fn whoever_tries_from_elsewhere_does_not_shut_out_the_owner() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        let (home, away) = (tried("ann", "192.0.2.1"), tried("ann", "198.51.100.7"));
        let begun = tries.begin(&home, now).unwrap();
        tries.proved(&home, begun, now);
        for _ in 0..5 {
            let _ = tries.begin(&away, now).unwrap();
        }
        assert!(tries.check(&away, now).is_err());
        for _ in 0..5 {
            let _ = tries.begin(&home, now).unwrap();
        }
        assert!(tries.check(&home, now).is_err(), "it has five tries, too");
    }

    #[test]
    fn an_address_waits_twice_as_long_each_time() {
        let (mut tries, mut now) = (Tries::default(), Instant::now());
        let from = |n: usize| tried(&format!("a{n}"), "2001:db8::1");
        for n in 0..10 {
            let _ = tries.begin(&from(n), now).unwrap();
        }
        for (n, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert_eq!(tries.check(&from(100), now), Err(seconds(wait)));
            let neighbour = tried("ann", "2001:db8::ffff:1");
            assert_eq!(tries.check(&neighbour, now), Err(seconds(wait)), "one network is one");
            assert_eq!(tries.check(&tried("ann", "2001:db8:0:1::1"), now), Ok(()));
            now += seconds(wait);
            let _ = tries.begin(&from(200 + n), now).unwrap();
        }
        now += FORGOTTEN;
        for n in 0..10 {
            let _ = tries.begin(&from(n), now).unwrap();
        }
        assert_eq!(tries.check(&from(100), now), Err(seconds(1)), "it has started afresh");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        for n in 0..u32::try_from(MOST).unwrap() + 50 {
            let from = IpAddr::from(n.to_be_bytes());
            let now = start + Duration::from_micros(u64::from(n));
            let _ = tries.begin(&Try::new(&format!("a{n}").parse().unwrap(), from), now).unwrap();
        }
        assert_eq!((tries.accounts.len(), tries.addresses.len()), (MOST, MOST));
        assert!(!tries.addresses.contains_key(&IpAddr::from([0, 0, 0, 1])));
    }
}
