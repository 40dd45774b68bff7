//! Keys for people.

use pybit_core::model::{OrderState, PackageOrder, SigningKey};

use crate::cli::output;

/// The keys of repositories.
pub(super) fn keys(answers: &[PackageOrder]) {
    let rows = answers.iter().flat_map(|order| {
        let rows = order.keys.iter().map(|key| row(order, key));
        let mut rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            let why = match (&order.message, order.state) {
                (Some(message), _) => output::tame(message),
                (None, OrderState::Done) => "no key".to_owned(),
                (None, _) => "its watcher does not answer".to_owned(),
            };
            rows.push(vec![order.repository.to_string(), String::new(), String::new(), why]);
        }
        rows
    });
    output::table(&["repository", "key", "expires", "state"], rows.collect());
}

fn row(order: &PackageOrder, key: &SigningKey) -> Vec<String> {
    let expires = key.expires_at.map_or_else(|| "never".to_owned(), output::moment);
    let rolls = order.keys.iter().any(|key| key.signs_until.is_some());
    let state = match key.signs_until {
        Some(until) => format!("signs until {}", output::moment(until)),
        None if rolls => "new, signs beside the old one".to_owned(),
        None => "signs".to_owned(),
    };
    vec![order.repository.to_string(), output::tame(&key.fingerprint), expires, state]
}

/// A roll-over.
pub(super) fn roll(order: &PackageOrder) {
    let PackageOrder { id, repository, .. } = order;
    if !order.state.is_final() {
        output::line(format!(
            "order {id} is recorded; the watcher of repository {repository} carries it out (--wait waits for it)"
        ));
        return;
    }
    if order.dry_run {
        output::note(format!("Repository {repository} would get a new key beside this one:"));
    }
    keys(std::slice::from_ref(order));
}
