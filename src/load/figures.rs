//! What a measurement says.

use std::time::Duration;

use serde::Serialize;

/// One measured number, with what it must reach, where the farm was promised to reach something.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// The measurement.
    pub(crate) measure: &'static str,
    /// The farm: storage and transport.
    pub(crate) farm: String,
    /// What was measured.
    #[serde(rename = "figure")]
    pub(crate) what: String,
    /// The number.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it must reach, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wanted: Option<&'static str>,
}

impl Figure {
    /// A row of the table.
    pub(crate) fn row(&self) -> Vec<String> {
        let value = match self.unit {
            "" => format!("{:.2}", self.value),
            unit if self.value < 10.0 => format!("{:.2} {unit}", self.value),
            unit => format!("{:.0} {unit}", self.value),
        };
        let wanted = self.wanted.unwrap_or_default().to_owned();
        vec![self.measure.to_owned(), self.farm.clone(), self.what.clone(), value, wanted]
    }
}

/// Collects the figures of one measurement on one farm.
#[derive(Debug)]
pub(super) struct Figures {
    measure: &'static str,
    farm: String,
    all: Vec<Figure>,
}

impl Figures {
    pub(super) fn new(measure: &'static str, farm: String) -> Self {
        Self { measure, farm, all: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        wanted: Option<&'static str>,
    ) {
        let (measure, farm) = (self.measure, self.farm.clone());
        self.all.push(Figure { measure, farm, what: what.into(), value, unit, wanted });
    }

    /// The middle one and the slowest but one in a hundred, in milliseconds.
    pub(super) fn add_times(
        &mut self,
        what: &str,
        times: &mut [Duration],
        wanted: [Option<&'static str>; 2],
    ) {
        for (share, wanted) in [50, 99].into_iter().zip(wanted) {
            self.add(format!("{what}, p{share}"), percentile(times, share), "ms", wanted);
        }
    }

    pub(super) fn done(self) -> Vec<Figure> {
        self.all
    }
}

/// The time that `share` of a hundred do not exceed, in milliseconds; 0 where there is none.
pub(super) fn percentile(times: &mut [Duration], share: usize) -> f64 {
    times.sort_unstable();
    let place = (times.len() * share).div_ceil(100).saturating_sub(1);
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// How many a second.
#[expect(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let at = |times: &mut [Duration], share| percentile(times, share).round();
        assert_eq!(
            [50, 99, 100].map(|share| format!("{}", at(&mut times, share))),
            ["100", "198", "200"]
        );
        assert!(percentile(&mut [], 99).abs() < f64::EPSILON);
    }
}
