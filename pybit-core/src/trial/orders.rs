//! What this process was told to do wrong, read once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::{Mutation, POINTS};
use crate::error::{Error, Result};
use crate::faults::Faults;

const CRASH: &str = "PYBIT_TRIAL_CRASH";
const MUTATION: &str = "PYBIT_TRIAL_MUTATION";
const HINTS: &str = "PYBIT_TRIAL_HINTS";
const STALL: &str = "PYBIT_TRIAL_STALL";

/// The orders of one process.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Orders {
    pub(super) crash: Option<(&'static str, u32)>,
    pub(super) mutation: Option<Mutation>,
    pub(super) hints: Option<Faults>,
    pub(super) stalls: Vec<Stall>,
}

/// A point at which whoever reaches it stands still for a while, so that what comes in between does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stall {
    pub(super) point: &'static str,
    pub(super) pause: Duration,
    /// Only every so many times.
    pub(super) every: u32,
}

static REACHED: AtomicU32 = AtomicU32::new(0);
/// How often each point was reached at which somebody may stand still.
static STALLED: Mutex<BTreeMap<&str, u32>> = Mutex::new(BTreeMap::new());

/// Orders that cannot be read do nothing; [`said`] refuses them before the process does any work.
fn orders() -> &'static Orders {
    static ORDERS: OnceLock<Orders> = OnceLock::new();
    ORDERS.get_or_init(|| Orders::read(|name| std::env::var(name).ok()).unwrap_or_default())
}

impl Orders {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let given = |name: &str| variable(name).filter(|text| !text.is_empty());
        Ok(Self {
            crash: given(CRASH).map(|text| crash(&text)).transpose()?,
            mutation: given(MUTATION).map(|text| named(&text)).transpose()?,
            hints: given(HINTS).map(|text| faults(&text)).transpose()?,
            stalls: given(STALL)
                .unwrap_or_default()
                .split_terminator(',')
                .map(stall)
                .collect::<Result<_>>()?,
        })
    }
}

pub(super) fn reached(name: &'static str) {
    if let Some(stall) = orders().stalls.iter().find(|stall| stall.point == name)
        && before(name).is_multiple_of(stall.every)
    {
        tracing::error!(point = name, "TRIAL: stands still");
        // The thread, not the task: a process that gets no processor does not get to its timers either.
        std::thread::sleep(stall.pause);
    }
    let Some((wanted, nth)) = orders().crash else { return };
    if wanted == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        tracing::error!(point = name, nth, "TRIAL: the process ends here");
        std::process::abort();
    }
}

/// How often the point was reached before.
fn before(name: &'static str) -> u32 {
    let mut stalled = STALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = stalled.entry(name).or_default();
    *count += 1;
    *count - 1
}

pub(super) fn mutation() -> Option<Mutation> {
    orders().mutation
}

pub(super) fn hints() -> Option<Faults> {
    orders().hints
}

pub(super) fn said() -> Result<Option<String>> {
    let orders = Orders::read(|name| std::env::var(name).ok())?;
    let told = orders != Orders::default();
    Ok(told.then(|| {
        format!("TRIAL BUILD, not for use: it makes faults on request; told to {orders:?}")
    }))
}

fn refuse(variable: &str, text: &str, wanted: &str) -> Error {
    Error::invalid(format!("{variable}={text} is no order: {wanted}"))
        .with_code("invalid_configuration")
}

fn crash(text: &str) -> Result<(&'static str, u32)> {
    let wrong = || refuse(CRASH, text, "NAME:N, with the name of a point and a number from 1 on");
    let (name, nth) = text.split_once(':').ok_or_else(wrong)?;
    let point = POINTS.iter().find(|point| **point == name).ok_or_else(wrong)?;
    let nth = nth.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    Ok((point, nth))
}

/// `NAME:MILLISECONDS` or `NAME:MILLISECONDS:EVERY`, one of several that commas part.
fn stall(text: &str) -> Result<Stall> {
    let wrong = || refuse(STALL, text, "NAME:MILLISECONDS:EVERY, with the name of a point");
    let words: Vec<_> = text.split(':').collect();
    let (name, pause, every) = match words[..] {
        [name, pause] => (name, pause, "1"),
        [name, pause, every] => (name, pause, every),
        _ => return Err(wrong()),
    };
    let point = POINTS.iter().find(|point| **point == name).ok_or_else(wrong)?;
    let pause = Duration::from_millis(pause.parse().map_err(|_| wrong())?);
    let every = every.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    Ok(Stall { point, pause, every })
}

fn named(text: &str) -> Result<Mutation> {
    let known = Mutation::ALL.map(Mutation::name).join(", ");
    let found = Mutation::ALL.into_iter().find(|m| m.name() == text);
    found.ok_or_else(|| refuse(MUTATION, text, &format!("known are {known}")))
}

/// `SEED:dup=PERCENT,reorder=PERCENT,drop=PERCENT,delay=MILLISECONDS`; half of the publications take that long.
fn faults(text: &str) -> Result<Faults> {
    let wrong = || refuse(HINTS, text, "SEED:dup=30,reorder=20,delay=5000,drop=20");
    let (seed, rest) = text.split_once(':').ok_or_else(wrong)?;
    let mut faults = Faults { seed: seed.parse().map_err(|_| wrong())?, ..Faults::default() };
    for pair in rest.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value: u16 = value.parse().map_err(|_| wrong())?;
        let chance = || Some(value).filter(|v| *v <= 100).map(|v| v * 10).ok_or_else(wrong);
        match key {
            "dup" => faults.repeated = chance()?,
            "reorder" => faults.reordered = chance()?,
            "drop" => faults.lost = chance()?,
            "delay" => {
                faults.delayed = 500;
                faults.pause = Duration::from_millis(value.into());
            }
            _ => return Err(wrong()),
        }
    }
    Ok(faults)
}
