//! What every [`VersionOrder`] must do.

use std::cmp::Ordering;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Case, Fixture, cases};
use crate::version::VersionOrder;

/// Every bullet of [`VersionOrder`].
pub const VERSION_ORDER: &[Case<VersionSamples>] = cases! {
    promises {
        versions_order_as_their_format_says,
        equal_keys_mean_equal_versions,
        the_order_is_total,
        invalid_versions_are_refused_everywhere,
    }
};

/// An order and versions that show what it is.
#[derive(Debug, Clone)]
pub struct VersionSamples {
    /// The order.
    pub order: Arc<dyn VersionOrder>,
    /// Groups of equal versions, each greater than the one before.
    pub sorted: Vec<Vec<String>>,
    /// What is no version of the format.
    pub invalid: Vec<String>,
}

impl VersionSamples {
    /// Samples from texts: groups of equal versions in ascending order, and what is no version.
    pub fn new(order: Arc<dyn VersionOrder>, sorted: &[&[&str]], invalid: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        Self { order, sorted: sorted.iter().map(|g| owned(g)).collect(), invalid: owned(invalid) }
    }

    /// Every valid version with the place of its group.
    fn placed(&self) -> Vec<(usize, &str)> {
        let groups = self.sorted.iter().enumerate();
        groups.flat_map(|(place, group)| group.iter().map(move |v| (place, v.as_str()))).collect()
    }

    fn compare(&self, a: &str, b: &str) -> Ordering {
        self.order.compare(a, b).unwrap_or_else(|e| panic!("{a} and {b} compare: {e}"))
    }
}

#[async_trait]
impl Fixture<VersionSamples> for VersionSamples {
    async fn fresh(&self) -> Arc<VersionSamples> {
        Arc::new(self.clone())
    }
}

mod promises {
    use super::{Arc, VersionSamples};

    pub(super) async fn versions_order_as_their_format_says(samples: Arc<VersionSamples>) {
        let placed = samples.placed();
        assert!(samples.sorted.len() > 1 && !samples.invalid.is_empty(), "there are samples");
        for (i, a) in &placed {
            samples.order.parse(a).unwrap_or_else(|e| panic!("{a} is valid: {e}"));
            for (j, b) in &placed {
                assert_eq!(samples.compare(a, b), i.cmp(j), "{a} and {b}");
            }
        }
    }

    pub(super) async fn equal_keys_mean_equal_versions(samples: Arc<VersionSamples>) {
        let key = |v| samples.order.key(v).unwrap_or_else(|e| panic!("{v} has a key: {e}"));
        let placed = samples.placed();
        for (_, a) in &placed {
            for (_, b) in &placed {
                assert_eq!(key(a).cmp(&key(b)), samples.compare(a, b), "the keys of {a} and {b}");
            }
        }
    }

    pub(super) async fn the_order_is_total(samples: Arc<VersionSamples>) {
        let versions: Vec<&str> = samples.placed().into_iter().map(|(_, v)| v).collect();
        for a in &versions {
            for b in &versions {
                assert_eq!(samples.compare(a, b), samples.compare(b, a).reverse(), "{a}, {b}");
                // A bound on the work: at most some 60 of the samples as the third.
                for c in versions.iter().step_by(1 + versions.len() / 60) {
                    let (ab, bc) = (samples.compare(a, b), samples.compare(b, c));
                    if ab.is_le() && bc.is_le() {
                        assert!(samples.compare(a, c).is_le(), "{a} <= {b} <= {c}");
                    }
                }
            }
        }
    }

    pub(super) async fn invalid_versions_are_refused_everywhere(samples: Arc<VersionSamples>) {
        let valid = samples.placed().first().map_or("1", |(_, v)| *v).to_owned();
        let order = &samples.order;
        for bad in &samples.invalid {
            assert!(order.parse(bad).is_err(), "{bad:?} is refused by parse");
            assert!(order.key(bad).is_err(), "{bad:?} is refused by key");
            assert!(order.compare(bad, &valid).is_err(), "{bad:?} is refused on the left");
            assert!(order.compare(&valid, bad).is_err(), "{bad:?} is refused on the right");
            assert!(order.compare(bad, bad).is_err(), "{bad:?} is refused beside itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::run;
    use crate::error::{Error, Result};

    /// Versions are decimal numbers; `001` equals `1`. With `careless` set, [`VersionOrder::key`] takes the text as it is.
    #[derive(Debug)]
    struct Numbers {
        careless: bool,
    }

    fn number(version: &str) -> Result<u32> {
        version.parse().map_err(|_| Error::invalid("not a number"))
    }

    impl VersionOrder for Numbers {
        fn parse(&self, version: &str) -> Result<()> {
            number(version).map(drop)
        }

        fn compare(&self, a: &str, b: &str) -> Result<Ordering> {
            Ok(number(a)?.cmp(&number(b)?))
        }

        fn key(&self, version: &str) -> Result<Vec<u8>> {
            let number = number(version)?;
            Ok(if self.careless { version.into() } else { number.to_be_bytes().to_vec() })
        }
    }

    fn samples(careless: bool) -> VersionSamples {
        let sorted: &[&[&str]] = &[&["0"], &["1", "001"], &["9"], &["10", "010"]];
        VersionSamples::new(Arc::new(Numbers { careless }), sorted, &["", "x", "1.0"])
    }

    #[tokio::test]
    async fn an_order_that_keeps_its_promises_passes() {
        assert_eq!(run(VERSION_ORDER, &samples(false)).await, VERSION_ORDER.len());
    }

    #[tokio::test]
    #[should_panic(expected = "1 of 4 cases failed:\n  equal_keys_mean_equal_versions: ")]
    async fn keys_that_order_otherwise_are_named() {
        run(VERSION_ORDER, &samples(true)).await;
    }
}
