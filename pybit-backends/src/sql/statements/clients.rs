//! Build clients and the leases that their heartbeats move.

use super::jobs::job_columns;
use crate::sql::statement::Statement;

macro_rules! client_query {
    ($rest:literal) => {
        concat!(
            "SELECT name, boot, version, slots, offers, draining, infra_streak, quarantined_until, seen_at,
                    (SELECT count(*) FROM job
                     WHERE job.client = client.name AND job.status IN ('Building', 'Cancelling')) AS holds
             FROM client ",
            $rest
        )
    };
}

/// Changes nothing for a process that another has replaced. The newest few dozen of these are remembered.
pub(in crate::sql) static CLIENT_BEAT: Statement = Statement::shared(
    "client_beat",
    8,
    "INSERT INTO client (name, boot, version, slots, offers, draining, infra_streak,
                         quarantined_until, seen_at, replaced)
     VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, '')
     ON CONFLICT (name) DO UPDATE
     SET boot = excluded.boot, version = excluded.version, slots = excluded.slots,
         offers = excluded.offers, seen_at = excluded.seen_at,
         replaced = CASE WHEN client.boot = excluded.boot THEN client.replaced
                    ELSE substr(' ' || client.boot || ' ' || client.replaced, 1, 2000) END
     WHERE replace(client.replaced, ' ' || excluded.boot || ' ', '') = client.replaced",
);

pub(in crate::sql) static CLIENTS: Statement =
    Statement::shared("clients", 0, client_query!("ORDER BY name"));

pub(in crate::sql) static CLIENT_BY_NAME: Statement =
    Statement::shared("client_by_name", 1, client_query!("WHERE name = $1"));

pub(in crate::sql) static CLIENT_DRAIN: Statement =
    Statement::shared("client_drain", 2, "UPDATE client SET draining = $2 WHERE name = $1");

pub(in crate::sql) static CLIENT_WELL: Statement = Statement::shared(
    "client_well",
    2,
    "UPDATE client SET infra_streak = 0, quarantined_until = $2
     WHERE name = $1 AND (infra_streak <> 0 OR quarantined_until <> $2)",
);

pub(in crate::sql) static CLIENT_ILL: Statement = Statement::shared(
    "client_ill",
    2,
    "UPDATE client SET infra_streak = infra_streak + 1, quarantined_until = $2 WHERE name = $1",
);

pub(in crate::sql) static LEASE_MOVE: Statement = Statement::shared(
    "lease_move",
    3,
    concat!(
        "UPDATE job SET lease_epoch = lease_epoch + 1
         WHERE id = $1 AND attempt = $2 AND client = $3 AND status IN ('Building', 'Cancelling')
         RETURNING ",
        job_columns!()
    ),
);

/// Without an order: with one, SQLite prefers to walk everything that the client ever built.
pub(in crate::sql) static HELD_BY_CLIENT: Statement = Statement::shared(
    "held_by_client",
    1,
    concat!(
        "SELECT ",
        job_columns!(),
        ", (SELECT boot FROM attempt
            WHERE attempt.job = job.id AND attempt.number = job.attempt) AS boot
         FROM job WHERE client = $1 AND status IN ('Building', 'Cancelling')"
    ),
);
