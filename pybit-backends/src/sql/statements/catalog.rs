//! Targets, repositories and rules.

use crate::sql::statement::Statement;

pub(in crate::sql) static TARGETS: Statement = Statement::shared(
    "targets",
    0,
    "SELECT dist, suite, arch, format, env, weight FROM target
     ORDER BY dist, suite, format, weight DESC, arch, env",
);

pub(in crate::sql) static TARGET_PUT: Statement = Statement::shared(
    "target_put",
    6,
    "INSERT INTO target (dist, suite, arch, format, env, weight) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (dist, suite, arch, format, env) DO UPDATE SET weight = excluded.weight",
);

pub(in crate::sql) static REPOSITORIES: Statement = Statement::shared(
    "repositories",
    0,
    "SELECT name, dist, suite, format, url, public_key, told, key_expires_at, dated_at, valid_until, trouble,
            overlay
     FROM repository ORDER BY name",
);

pub(in crate::sql) static REPOSITORY_PUT: Statement = Statement::shared(
    "repository_put",
    13,
    "INSERT INTO repository (name, dist, suite, format, url, public_key, told, key_expires_at, dated_at, valid_until,
         trouble, overlay)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     ON CONFLICT (name) DO UPDATE
     SET dist = excluded.dist, suite = excluded.suite, format = excluded.format,
         url = COALESCE(excluded.url, repository.url),
         public_key = COALESCE(excluded.public_key, repository.public_key),
         key_expires_at = CASE WHEN excluded.told THEN excluded.key_expires_at ELSE repository.key_expires_at END,
         dated_at = CASE WHEN excluded.told THEN excluded.dated_at ELSE repository.dated_at END,
         valid_until = CASE WHEN excluded.told THEN excluded.valid_until ELSE repository.valid_until END,
         trouble = CASE WHEN excluded.told THEN excluded.trouble ELSE repository.trouble END,
         told = CASE WHEN excluded.told THEN excluded.told ELSE repository.told END,
         overlay = CASE WHEN $13 THEN excluded.overlay ELSE repository.overlay END",
);

pub(in crate::sql) static RULES: Statement = Statement::shared(
    "rules",
    0,
    "SELECT id, subject, pattern, reason FROM block_rule ORDER BY id",
);

pub(in crate::sql) static RULE_ADD: Statement = Statement::shared(
    "rule_add",
    3,
    "INSERT INTO block_rule (subject, pattern, reason) VALUES ($1, $2, $3)
     RETURNING id, subject, pattern, reason",
);

pub(in crate::sql) static RULE_REMOVE: Statement =
    Statement::shared("rule_remove", 1, "DELETE FROM block_rule WHERE id = $1");

pub(in crate::sql) static HOOK_RULES: Statement =
    Statement::shared("hook_rules", 0, "SELECT id, hook, rule FROM hook_rule ORDER BY id");

pub(in crate::sql) static HOOK_RULE_ADD: Statement =
    Statement::shared("hook_rule_add", 2, "INSERT INTO hook_rule (hook, rule) VALUES ($1, $2)");

pub(in crate::sql) static HOOK_RULE_REMOVE: Statement =
    Statement::shared("hook_rule_remove", 1, "DELETE FROM hook_rule WHERE id = $1");

pub(in crate::sql) static NAME_MOVES: Statement = Statement::shared(
    "name_moves",
    0,
    "SELECT id, dist, suite, format, move FROM name_move ORDER BY id",
);

pub(in crate::sql) static NAME_MOVE_ADD: Statement = Statement::shared(
    "name_move_add",
    4,
    "INSERT INTO name_move (dist, suite, format, move) VALUES ($1, $2, $3, $4)",
);

pub(in crate::sql) static NAME_MOVE_REMOVE: Statement =
    Statement::shared("name_move_remove", 1, "DELETE FROM name_move WHERE id = $1");

pub(in crate::sql) static TARGET_REMOVE: Statement = Statement::shared(
    "target_remove",
    5,
    "DELETE FROM target
     WHERE dist = $1 AND suite = $2 AND arch = $3 AND format = $4 AND env = $5",
);

pub(in crate::sql) static REPOSITORY_REMOVE: Statement =
    Statement::shared("repository_remove", 1, "DELETE FROM repository WHERE name = $1");

/// The targets of unfinished jobs, and how many.
pub(in crate::sql) static TARGETS_USED: Statement = Statement::shared(
    "targets_used",
    0,
    "SELECT dist, suite, arch, format, env, count(*) AS jobs FROM job
     WHERE status IN ('Waiting', 'Blocked', 'Building', 'Cancelling', 'Uploaded')
     GROUP BY dist, suite, arch, format, env",
);
