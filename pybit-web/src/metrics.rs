//! What `/metrics` tells, in OpenMetrics text.

use std::fmt;
use std::time::Duration;

use poem::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use pybit_core::base::BaseStatus;
use pybit_core::clock::Timestamp;
use pybit_core::model::{JobStatus, Repository, StatusCounts};
use pybit_core::{Error, Result};

/// What one answered request counts under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepositoryLabel {
    repository: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SuiteLabels {
    dist: String,
    suite: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    end: &'static str,
}

/// The counters of one server. Jobs are counted by the storage when somebody asks.
pub(crate) struct Metrics {
    registry: Registry,
    jobs: Family<StatusLabel, Gauge>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram>,
    claims: Counter,
    reports: Family<EndLabel, Counter>,
    foreign: Gauge,
    outrun: Gauge,
    key_expires: Gauges,
    valid_until: Gauges,
    trouble: Gauges,
    base_ages: Family<SuiteLabels, Gauge>,
}

/// A gauge of each repository.
type Gauges = Family<RepositoryLabel, Gauge>;

fn repositories(registry: &mut Registry) -> (Gauges, Gauges, Gauges) {
    let all = (Gauges::default(), Gauges::default(), Gauges::default());
    let help = "Seconds until the key of a repository expires; negative once it has";
    registry.register("repository_key_expires_seconds", help, Gauges::clone(&all.0));
    let help = "Seconds until readers refuse the index of a repository; negative once they do";
    registry.register("repository_valid_until_seconds", help, Gauges::clone(&all.1));
    let help = "Whether the last publication or renewal of a repository failed";
    registry.register("repository_trouble", help, Gauges::clone(&all.2));
    all
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pybit");
        let jobs = Family::default();
        registry.register("jobs", "Jobs in each status", jobs.clone());
        let requests = Family::default();
        registry.register("http_requests", "Answered requests", requests.clone());
        let histogram = || Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 40.0]);
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register("http_seconds", "Time to an answer's head", durations.clone());
        let claims = Counter::default();
        registry.register("attempts_claimed", "Attempts begun through this server", claims.clone());
        let reports = Family::default();
        registry.register("attempts_reported", "Reports taken by this server", reports.clone());
        let foreign = Gauge::default();
        let help = "Messages on this server's transport that were not pybit's";
        registry.register("transport_foreign", help, foreign.clone());
        let outrun = Gauge::default();
        let help = "Attempts that build clients held and this server's database never gave: it is an older copy";
        registry.register("attempts_never_given", help, outrun.clone());
        let base_ages = Family::default();
        let help = "Age of the index of the base distribution's names";
        registry.register("base_index_age_seconds", help, base_ages.clone());
        let (key_expires, valid_until, trouble) = repositories(&mut registry);
        Self {
            registry,
            jobs,
            requests,
            durations,
            claims,
            reports,
            foreign,
            outrun,
            key_expires,
            valid_until,
            trouble,
            base_ages,
        }
    }
}

impl Metrics {
    /// An answered request; `route` is the pattern, never the address as sent.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: &'static str,
        status: u16,
        took: Duration,
    ) {
        let labels = RequestLabels { method: known(method), route, status };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&RouteLabel { route }).observe(took.as_secs_f64());
    }

    /// An attempt has begun.
    pub(crate) fn claimed(&self) {
        self.claims.inc();
    }

    /// A client's report was taken: `finish`, `fail`, `refuse`, `stopped`.
    pub(crate) fn reported(&self, end: &'static str) {
        self.reports.get_or_create(&EndLabel { end }).inc();
    }

    /// The health of the repositories, as their watchers have reported it.
    pub(crate) fn tell_repositories(&self, repositories: &[Repository], now: Timestamp) {
        for gauges in [&self.key_expires, &self.valid_until, &self.trouble] {
            gauges.clear();
        }
        for Repository { name, health, .. } in repositories {
            let (Some(health), repository) = (health, name.to_string()) else { continue };
            let label = RepositoryLabel { repository };
            let left = |at: Timestamp| (at.as_micros() - now.as_micros()) / 1_000_000;
            for (gauges, value) in [
                (&self.key_expires, health.key_expires_at.map(left)),
                (&self.valid_until, health.valid_until.map(left)),
                (&self.trouble, Some(health.trouble.is_some().into())),
            ] {
                if let Some(value) = value {
                    gauges.get_or_create(&label).set(value);
                }
            }
        }
    }

    /// The age of the index of each base distribution that was fetched.
    pub(crate) fn base(&self, indices: &[BaseStatus], now: Timestamp) {
        self.base_ages.clear();
        for index in indices {
            let Some(at) = index.fetched_at else { continue };
            let labels =
                SuiteLabels { dist: index.dist.to_string(), suite: index.suite.to_string() };
            let age = i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX);
            self.base_ages.get_or_create_owned(&labels).set(age);
        }
    }

    /// The text; `foreign` is the transport's own count, `outrun` the farm's.
    pub(crate) fn text(&self, counts: &StatusCounts, foreign: u64, outrun: u64) -> Result<String> {
        self.foreign.set(i64::try_from(foreign).unwrap_or(i64::MAX));
        self.outrun.set(i64::try_from(outrun).unwrap_or(i64::MAX));
        for status in JobStatus::ALL {
            let gauge = self.jobs.get_or_create_owned(&StatusLabel { status: status.as_str() });
            gauge.set(i64::try_from(counts.of(status)).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)
            .map_err(|e| Error::internal("the metrics cannot be written").with_source(e))?;
        Ok(out)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A method that anybody could invent must not become a label.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
