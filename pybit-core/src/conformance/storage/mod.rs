//! What every [`Storage`](crate::storage::Storage) must do.

mod accounts;
mod advance;
mod attempts;
mod catalog;
mod claim;
mod clients;
mod fence;
mod lists;
mod orders;
mod packages;
mod queue;
mod streams;
mod submit;
mod versions;
mod whole;

use super::{Case, cases};
use crate::storage::Storage;

/// Every bullet of the storage traits.
pub const STORAGE: &[Case<dyn Storage>] = cases! {
    submit {
        submission_is_recorded_whole,
        a_new_job_is_claimable_whatever_the_clock,
        same_key_returns_the_first_result,
        same_key_other_request_is_refused,
    }
    versions {
        newer_version_supersedes_older_unfinished,
        older_version_is_refused,
        equal_version_is_refused_with_a_pointer,
        forced_version_supersedes_its_equal,
        jobs_of_one_submission_do_not_compete,
        following_jobs_obey_the_version_rules,
    }
    lists {
        absent_rows_are_none,
        jobs_come_newest_first_and_page_without_gaps,
        every_filter_field_narrows,
        counts_agree_with_jobs,
        events_are_numbered_without_gaps,
        attempts_show_the_length_of_their_log,
        leases_are_those_of_held_jobs,
        blocked_jobs_come_oldest_first,
        uploaded_jobs_are_those_of_the_suite,
        what_nobody_publishes_is_found,
    }
    queue {
        due_routes_come_once_each,
        ahead_of_counts_what_a_claim_takes_first,
        outbox_rows_stay_until_marked,
        change_to_waiting_enters_the_outbox,
        changes_move_when_they_took_effect,
    }
    claim {
        claim_takes_the_best,
        a_clients_own_weights_are_added,
        claim_needs_an_exact_offer,
        claim_waits_for_not_before,
        a_pause_begun_by_a_clock_that_was_ahead_is_over,
        claim_prefers_another_client,
        claim_passes_over_any_number_of_jobs,
        concurrent_claims_take_each_job_once,
        claim_begins_an_attempt_with_an_empty_log,
        same_claim_id_returns_the_same_job,
        a_claim_asked_many_times_at_once_takes_one_job,
    }
    advance {
        change_on_an_old_row_is_stale,
        concurrent_changes_take_effect_once,
        change_writes_job_event_and_attempt_together,
        every_change_moves_the_lease,
        change_needs_complete_files_when_asked,
        a_resting_job_moves_past_an_attempt_never_given,
        other_jobs_keep_their_attempt,
        illegal_transition_is_refused,
        texts_may_hold_any_character,
    }
    attempts {
        a_reopened_attempt_goes_on,
        one_attempt_succeeds_at_most,
        health_counts_failures_in_a_row,
    }
    packages {
        packages_show_newest_done_and_newest_job,
        packages_page_by_name_and_are_searched_literally,
        newest_is_the_greatest_version_that_counts,
        a_repositorys_packages_are_replaced_whole,
        published_names_are_found_by_name,
    }
    orders {
        an_order_is_kept_as_it_was_asked_for,
        an_order_with_the_same_key_is_recorded_once,
        open_orders_are_those_that_have_not_ended,
        removals_of_a_package_come_newest_first,
        an_order_changes_by_compare_and_set,
        removed_versions_do_not_count,
        a_removal_that_is_not_done_takes_nothing_away,
        withdrawn_jobs_are_those_that_a_removal_took_away,
    }
    fence {
        writes_of_an_older_attempt_are_refused,
        writes_of_a_future_attempt_are_refused,
        writes_to_an_ended_job_are_refused,
    }
    streams {
        an_upload_keeps_its_owner_and_files,
        absent_streams_are_none,
        declaring_twice_returns_the_same_streams,
        a_part_is_appended_at_the_end_only,
        a_file_never_outgrows_its_declared_size,
        parts_start_with_the_one_that_holds_the_offset,
        merged_parts_are_exactly_covered,
    }
    whole {
        a_sealed_stream_does_not_grow,
        sealing_needs_the_whole_stream,
        a_sealed_stream_is_one_object,
        a_reset_file_starts_again_from_0,
        unsealed_logs_are_those_of_ended_attempts,
        complete_files_are_found_by_their_digest,
        files_that_never_became_whole_are_given_up,
    }
    catalog {
        putting_a_target_twice_changes_its_weight,
        an_absent_address_and_key_leave_the_stored_ones,
        a_rule_that_does_not_compile_is_refused,
        removing_a_rule_says_whether_it_was_there,
        putting_a_move_twice_keeps_the_first,
        moves_stay_where_none_are_spoken_of,
        an_overlay_stays_where_it_is_not_spoken_of,
        a_catalogue_is_replaced_whole,
        a_catalogue_that_no_farm_can_serve_is_refused,
        what_unfinished_jobs_need_is_not_removed,
        a_dry_run_changes_nothing,
    }
    clients {
        beat_moves_only_the_callers_leases,
        beat_remembers_the_client,
        a_replaced_process_is_refused,
        beat_answers_with_asked_and_held_jobs,
        clients_come_by_name_with_what_they_hold,
        draining_says_whether_there_is_such_a_client,
    }
    accounts {
        a_digest_is_kept_once,
        a_token_is_found_by_its_digest_alone,
        revoking_twice_keeps_the_first_time,
        an_account_is_kept_once,
        accounts_come_by_name,
        an_account_is_found_by_its_exact_name,
        a_new_password_replaces_the_old_one,
        a_rehash_needs_the_hash_that_it_replaces,
        disabling_twice_keeps_the_first_time,
        a_removed_account_is_gone,
        the_first_farm_id_stays,
        an_open_storage_is_healthy,
    }
};
