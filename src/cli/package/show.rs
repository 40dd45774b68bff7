//! Orders and history for people.

use pybit_core::model::{OrderState, PackageName, PackageOrder};
use pybit_core::protocol::HistoryEntry;
use pybit_core::publish::Listed;

use crate::cli::output;

/// The packages of a list.
pub(super) fn packages(order: &PackageOrder) {
    if order.packages.is_empty() {
        output::note(format!("Repository {} has no such package.", order.repository));
        return;
    }
    let row = |p: &Listed| {
        [&p.name, &p.version, &p.arch, &p.source].map(|text| output::tame(text)).to_vec()
    };
    output::table(
        &["package", "version", "arch", "source"],
        order.packages.iter().map(row).collect(),
    );
}

/// A removal.
pub(super) fn removal(order: &PackageOrder) {
    let PackageOrder { id, repository, .. } = order;
    if !order.state.is_final() {
        output::line(format!(
            "order {id} is recorded; the watcher of repository {repository} carries it out (--wait waits for it)"
        ));
        return;
    }
    let name = order.package.as_ref().map_or("", PackageName::as_str);
    if order.packages.is_empty() {
        let version = order.version.as_ref().map_or_else(String::new, |v| format!(" {v}"));
        output::note(format!("Repository {repository} has nothing of {name}{version}."));
        return;
    }
    let verb = if order.dry_run { "would go" } else { "is gone" };
    for package in &order.packages {
        output::line(output::tame(&format!(
            "{} {} {} {verb}",
            package.name, package.version, package.arch
        )));
    }
}

/// The history of a package.
pub(super) fn history(package: &PackageName, history: &[HistoryEntry]) {
    if history.is_empty() {
        output::note(format!("No repository of this farm ever had {package}."));
        return;
    }
    let rows = history.iter().map(|entry| {
        let at = output::moment(entry.at());
        match entry {
            HistoryEntry::Published(p) => vec![
                at,
                "published".to_owned(),
                p.repository.to_string(),
                p.version.to_string(),
                output::tame(&p.principal),
                format!("job {}, {}", p.job, p.arch),
            ],
            HistoryEntry::Removal(order) => vec![
                at,
                state(order),
                order.repository.to_string(),
                order
                    .version
                    .as_ref()
                    .map_or_else(|| "every version".to_owned(), ToString::to_string),
                output::tame(&order.principal),
                output::tame(&format!("{}{}", order.reason, gone(order))),
            ],
        }
    });
    output::table(&["at", "what", "repository", "version", "by", "why"], rows.collect());
}

fn state(order: &PackageOrder) -> String {
    let text = match order.state {
        OrderState::Pending => "to be removed",
        OrderState::Started => "being removed",
        OrderState::Done => "removed",
        OrderState::Failed => "not removed",
    };
    text.to_owned()
}

/// The packages that went, or why they did not.
fn gone(order: &PackageOrder) -> String {
    if let Some(message) = &order.message {
        return format!(" ({message})");
    }
    if order.packages.is_empty() {
        return " (nothing was there)".to_owned();
    }
    let each: Vec<_> =
        order.packages.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch)).collect();
    format!(" ({})", each.join(", "))
}
