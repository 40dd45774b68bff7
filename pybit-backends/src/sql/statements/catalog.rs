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
    "SELECT name, dist, suite, format, url, public_key FROM repository ORDER BY name",
);

pub(in crate::sql) static REPOSITORY_PUT: Statement = Statement::shared(
    "repository_put",
    6,
    "INSERT INTO repository (name, dist, suite, format, url, public_key)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (name) DO UPDATE
     SET dist = excluded.dist, suite = excluded.suite, format = excluded.format,
         url = COALESCE(excluded.url, repository.url),
         public_key = COALESCE(excluded.public_key, repository.public_key)",
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
