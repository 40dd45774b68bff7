//! What is going to happen, all of it decided by the seed: which packages come when, which fault hits whom when.

use serde::{Deserialize, Serialize};

use crate::directed::Direction;
use crate::trouble;

/// A generator whose numbers stay the same in every version of every library (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, what: &str) -> Self {
        let salt = what.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed ^ salt)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` up to, without, `high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let last = from.len() as u64;
        &from[usize::try_from(self.within(0, last)).unwrap_or(0)]
    }
}

/// Which services a farm stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Backends {
    /// PostgreSQL and RabbitMQ, two web servers.
    PostgresRabbit,
    /// `SQLite` and `ZeroMQ`, one web server.
    SqliteZero,
}

impl std::str::FromStr for Backends {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "postgres+rabbitmq" => Ok(Self::PostgresRabbit),
            "sqlite+zeromq" => Ok(Self::SqliteZero),
            _ => Err("known are postgres+rabbitmq and sqlite+zeromq".to_owned()),
        }
    }
}

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    KillServer,
    KillClient,
    KillWatcher,
    KillTool,
    KillBroker,
    KillDatabase,
    TerminateBackends,
    PauseServer,
    PauseClient,
    PauseBroker,
    PauseDatabase,
    Reset,
    Blackhole,
    HalfOpen,
    Delay,
    Trickle,
    DropReply,
    Duplicate,
    CutUpload,
    FlipByte,
    SocketKill,
    DiskFull,
    FsyncFails,
    SlowDisk,
    ClockJump,
    Garbage,
    Twin,
    // Only where a schedule is directed at them.
    Diverge,
    LyingTool,
    LoseQueues,
}

impl Kind {
    /// The row of the matrix in `docs/chaos.md`.
    pub(crate) fn row(self) -> &'static str {
        match self {
            Self::KillServer => "F1",
            Self::KillClient => "F2",
            Self::KillBroker | Self::LoseQueues => "F3",
            Self::KillDatabase | Self::TerminateBackends => "F4",
            Self::PauseServer | Self::PauseClient | Self::PauseBroker | Self::PauseDatabase => "F5",
            Self::Reset
            | Self::Blackhole
            | Self::HalfOpen
            | Self::Delay
            | Self::Trickle
            | Self::DropReply
            | Self::Duplicate
            | Self::Diverge
            | Self::FlipByte
            | Self::SocketKill => "F6",
            Self::DiskFull => "F7",
            Self::FsyncFails => "F8",
            Self::SlowDisk => "F9",
            Self::ClockJump => "F10",
            Self::Garbage => "F12",
            Self::CutUpload => "F13",
            Self::Twin => "F15",
            Self::KillTool | Self::KillWatcher | Self::LyingTool => "F14",
        }
    }

    /// Whether the farm as a whole may have to wait for its end: not where one connection is hit, or no clock that counts.
    pub(crate) fn stalls(self) -> bool {
        !matches!(
            self,
            Self::ClockJump
                | Self::Garbage
                | Self::DropReply
                | Self::Duplicate
                | Self::FlipByte
                | Self::CutUpload
                | Self::Twin
        )
    }

    /// Whether it is played on the next request that fits.
    pub(crate) fn waits_for_a_request(self) -> bool {
        matches!(
            self,
            Self::DropReply | Self::Duplicate | Self::CutUpload | Self::Diverge | Self::FlipByte
        )
    }

    /// How often it is drawn, beside the others.
    pub(crate) fn weight(self, backends: Backends) -> u64 {
        let cluster = backends == Backends::PostgresRabbit;
        match self {
            Self::KillServer | Self::KillClient => 30,
            Self::CutUpload => 24,
            Self::PauseClient | Self::DropReply | Self::FlipByte => 14,
            Self::KillTool => 10,
            Self::Garbage | Self::PauseServer | Self::Reset | Self::Duplicate => 8,
            Self::KillWatcher => 7,
            Self::SocketKill => 6,
            Self::Blackhole | Self::HalfOpen | Self::Delay => 5,
            Self::Trickle | Self::DiskFull | Self::ClockJump | Self::Twin => 4,
            Self::FsyncFails | Self::SlowDisk => 2,
            Self::TerminateBackends => 12 * u64::from(cluster),
            Self::KillDatabase | Self::PauseBroker | Self::PauseDatabase => 3 * u64::from(cluster),
            Self::KillBroker => 2 * u64::from(cluster),
            Self::Diverge | Self::LyingTool | Self::LoseQueues => 0,
        }
    }

    /// How long it lasts, in milliseconds: from, to.
    pub(crate) fn lasts(self) -> (u64, u64) {
        match self {
            Self::KillServer => (0, 3000),
            Self::KillClient => (0, 5000),
            Self::KillWatcher => (0, 2000),
            Self::KillBroker => (1000, 60_000),
            Self::KillDatabase => (200, 2000),
            Self::PauseServer | Self::PauseClient => (1000, 8000),
            Self::PauseBroker | Self::PauseDatabase => (1000, 4000),
            Self::Blackhole | Self::HalfOpen | Self::Delay | Self::Trickle => (500, 4000),
            Self::DiskFull => (1000, 3000),
            Self::FsyncFails => (500, 2000),
            Self::SlowDisk | Self::Twin => (2000, 6000),
            Self::ClockJump => (3000, 9000),
            Self::LoseQueues => (5000, 8000),
            _ => (0, 1),
        }
    }

    pub(crate) const ALL: [Self; 27] = [
        Self::KillServer,
        Self::KillClient,
        Self::KillWatcher,
        Self::KillTool,
        Self::KillBroker,
        Self::KillDatabase,
        Self::TerminateBackends,
        Self::PauseServer,
        Self::PauseClient,
        Self::PauseBroker,
        Self::PauseDatabase,
        Self::Reset,
        Self::Blackhole,
        Self::HalfOpen,
        Self::Delay,
        Self::Trickle,
        Self::DropReply,
        Self::Duplicate,
        Self::CutUpload,
        Self::FlipByte,
        Self::SocketKill,
        Self::DiskFull,
        Self::FsyncFails,
        Self::SlowDisk,
        Self::ClockJump,
        Self::Garbage,
        Self::Twin,
    ];
}

/// One fault of the schedule.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Fault {
    /// Milliseconds after the first submission.
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    /// Chooses among those whom the kind can hit.
    pub(crate) whom: u64,
    /// Chooses an amount: bytes before a cut, hours of a jump.
    pub(crate) amount: u64,
    /// Milliseconds until it is healed.
    pub(crate) lasts: u64,
}

/// What becomes of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Story {
    /// It is built and published.
    Plain,
    /// Its build always fails, and it is retried once by a person.
    Fails,
    /// Its first attempt says that a build dependency is missing.
    Waits,
    /// It is cancelled after so many milliseconds.
    Cancelled(u64),
    /// A newer version follows after so many milliseconds.
    Superseded(u64),
}

/// One submission.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Order {
    pub(crate) at: u64,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) suite: &'static str,
    pub(crate) upload: bool,
    pub(crate) priority: i32,
    pub(crate) story: Story,
}

/// The suite whose repository reprepro makes, and the one of the light publisher.
pub(crate) const REAL: &str = "bookworm";
pub(crate) const LIGHT: &str = "sid";

/// Everything that a run does.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) backends: Backends,
    /// Milliseconds over which work and faults are spread.
    pub(crate) window: u64,
    pub(crate) orders: Vec<Order>,
    pub(crate) faults: Vec<Fault>,
    /// How many of the faults have nothing else around them, so that the farm's way back can be timed.
    pub(crate) lone: u64,
}

impl Plan {
    /// The same arguments give the same plan.
    #[cfg(test)]
    pub(crate) fn new(seed: u64, backends: Backends, jobs: u64, faults: u64, window: u64) -> Self {
        Self::directed(seed, backends, (jobs, faults, window), &Direction::default())
    }

    /// The same with some kinds of faults alone, or some stories.
    pub(crate) fn directed(
        seed: u64,
        backends: Backends,
        (jobs, faults, window): (u64, u64, u64),
        direction: &Direction,
    ) -> Self {
        let mut dice = Dice::new(seed, "orders");
        let (mut orders, mut planned) = (Vec::new(), 0);
        while planned < jobs {
            let order = Self::order(&mut dice, orders.len(), direction);
            // An uploaded source package is one job; everything else is a source job and a binary job.
            planned += if order.upload { 1 } else { 2 };
            if let Story::Superseded(after) = order.story {
                planned += if order.upload { 1 } else { 2 };
                orders.push(Order {
                    at: after,
                    version: "2.0".to_owned(),
                    story: Story::Plain,
                    ..order.clone()
                });
            }
            orders.push(order);
        }
        let first = orders.len() as u64;
        for (n, order) in orders.iter_mut().enumerate() {
            order.at += n as u64 * window / first;
        }
        orders.sort_by_key(|o| o.at);
        let (faults, lone) = trouble::draw(seed, backends, (faults, window), direction);
        Self { seed, backends, window, orders, faults, lone }
    }

    fn order(dice: &mut Dice, n: usize, direction: &Direction) -> Order {
        let drawn = dice.within(0, 100);
        let story = match direction.story.unwrap_or(drawn) {
            0..8 => Story::Fails,
            8..14 => Story::Waits,
            14..24 => Story::Cancelled(dice.within(0, 1500)),
            24..32 => Story::Superseded(dice.within(0, 1500)),
            _ => Story::Plain,
        };
        let letter = match story {
            Story::Fails => 'f',
            Story::Waits => 'w',
            Story::Cancelled(_) => 'c',
            Story::Superseded(_) => 's',
            Story::Plain => 'p',
        };
        Order {
            at: 0,
            package: format!("chaos-{letter}{n:04}"),
            version: "1.0".to_owned(),
            suite: if dice.within(0, 5) == 0 || direction.real { REAL } else { LIGHT },
            upload: dice.within(0, 4) == 0,
            priority: *dice.pick(&[0, 0, 0, 5, 50]),
            story,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_everything() {
        let plan = |seed| {
            let plan = Plan::new(seed, Backends::PostgresRabbit, 1000, 200, 400_000);
            serde_json::to_string(&plan).unwrap()
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn a_long_plan_has_every_fault_and_a_farm_without_services_has_none_of_theirs() {
        let kinds = |backends| {
            let plan = Plan::new(7, backends, 100, 2000, 1000);
            plan.faults.iter().map(|f| f.kind).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(kinds(Backends::PostgresRabbit).len(), Kind::ALL.len());
        assert!(!kinds(Backends::SqliteZero).contains(&Kind::KillDatabase));
    }
}
