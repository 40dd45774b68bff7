//! Public conformance suites: what every backend of a trait must pass, ours and a third party's alike.
