//! What the farm serves.

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{
    BlockRule, Catalogue, CatalogueChange, Repository, RuleId, SuiteMove, WeightedTarget,
};

/// Targets, repositories and rules.
#[async_trait]
pub trait CatalogStore: Send + Sync + std::fmt::Debug {
    /// All of it, read at one moment, which may lie a second back. What this handle has changed is in it.
    async fn catalogue(&self) -> Result<Catalogue>;

    /// - `putting_a_target_twice_changes_its_weight`: adds the target, or changes its weight.
    async fn put_target(&self, target: &WeightedTarget) -> Result<()>;

    /// Adds the repository, or changes what it serves.
    ///
    /// - `an_absent_address_and_key_leave_the_stored_ones`: what the watcher has told outlives the next start.
    async fn put_repository(&self, repository: &Repository) -> Result<()>;

    /// Adds a rule and returns it with its number.
    ///
    /// - `a_rule_that_does_not_compile_is_refused`: `Invalid`, code `invalid_pattern`; nothing is added.
    async fn add_rule(&self, rule: &BlockRule) -> Result<BlockRule>;

    /// - `removing_a_rule_says_whether_it_was_there`: the numbers of the others stay.
    async fn remove_rule(&self, id: RuleId) -> Result<bool>;

    /// Allows the move of a name.
    ///
    /// - `putting_a_move_twice_keeps_the_first`: a move that is there for the same reason stays as it is, with its principal and its time;
    ///   one without a reason is `Invalid`, code `invalid_move`.
    async fn put_move(&self, moved: &SuiteMove) -> Result<()>;

    /// Makes this the catalogue, and returns the steps that it took ([`Catalogue::changes_to`]); a dry run takes none of them.
    ///
    /// - `a_catalogue_is_replaced_whole`: all that is wanted is there afterwards and nothing else; the same once more takes no step.
    ///   What watchers have told of a repository stays, and so do the numbers of rules that stay.
    /// - `a_catalogue_that_no_farm_can_serve_is_refused`: as [`Catalogue::check`] has it; nothing changes.
    /// - `what_unfinished_jobs_need_is_not_removed`: `Conflict`, code `in_use` ([`Catalogue::check_uses`]), and nothing changes; when
    ///   the jobs have ended it is removed.
    /// - `moves_stay_where_none_are_spoken_of`: a catalogue without a list of moves leaves them; an empty list removes them.
    /// - `an_overlay_stays_where_it_is_not_spoken_of`: `overlay` of a repository is changed by a word alone; absent leaves it.
    /// - `a_dry_run_changes_nothing`: it says and refuses what the other would.
    async fn replace_catalogue(
        &self,
        wanted: &Catalogue,
        dry_run: bool,
    ) -> Result<Vec<CatalogueChange>>;
}
