//! One suite for each seam, run over every implementation of it.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

mod bus;
mod cache;
mod fixture;
mod store;
mod store_clicks;
mod store_feed;
mod store_loading;
mod store_loading_ids;
mod store_pages;
mod store_stats;
mod store_tokens;

/// Runs each test of a list over a fresh instance of each implementation. An instance is made by `fixture::$open`,
/// which gives it and what keeps it alive. The list is written once, so that no implementation is let off a test.
macro_rules! conformance {
    ($suite:ident over $($name:ident = $open:ident),+: $tests:tt) => {
        $(conformance!(@one $suite $name $open $tests);)+
    };
    (@one $suite:ident $name:ident $open:ident [$($test:ident,)+]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let (instance, _alive) = crate::fixture::$open().await;
                    crate::$suite::$test(&instance).await;
                }
            )+
        }
    };
}

conformance!(store over sqlite_rows = sqlite, postgres_rows = postgres: [
    users_are_inserted_found_changed_and_deleted,
    taken_names_are_told_apart,
    a_user_with_links_is_deleted_only_with_them,
    an_import_answers_for_each_row,
    urls_are_inserted_found_changed_and_deleted,
    end_of_a_link_is_set_moved_and_taken_away,
    references_to_nothing_are_told,
    events_are_kept_with_their_details,
    event_without_user_belongs_to_the_owner_of_its_link,
    pages_are_cut_from_the_list_by_id,
    totals_follow_every_change,
    combined_filters_are_counted_up_to_a_bound,
    filters_that_hold_nul_match_nothing,
    products_are_listed_by_id,
]);

conformance!(store_pages over sqlite_pages = sqlite, postgres_pages = postgres: [
    pages_are_those_of_a_sorted_set_whatever_came_and_went,
    pages_of_links_and_events_follow_what_goes_with_a_user,
]);

conformance!(store_clicks over sqlite_clicks = sqlite, postgres_clicks = postgres: [
    clicks_become_events_and_orphans_are_counted,
    click_whose_id_was_given_to_another_link_is_an_orphan,
    a_batch_is_taken_once,
    a_journal_moves_only_from_where_it_stands,
    a_batch_without_clicks_moves_the_journal,
    of_many_shippers_of_one_journal_one_is_taken,
    no_text_poisons_a_batch,
    a_large_batch_is_taken_whole,
    journals_are_found_in_the_order_asked_for_and_forgotten,
]);

conformance!(store_stats over sqlite_stats = sqlite, postgres_stats = postgres: [
    every_click_counts_however_it_came,
    clicks_that_go_are_counted_out,
    a_popular_link_goes_with_all_of_its_events,
    a_series_has_the_hours_or_days_of_its_range,
    the_most_frequent_are_told_first,
    beyond_many_hosts_in_a_day_referrers_are_counted_as_one,
    old_events_are_forgotten_and_nothing_else,
    many_old_events_are_forgotten_in_parts,
    retention_that_would_leave_no_event_is_refused,
    clicks_without_event_are_counted_and_forgotten_with_the_others,
]);

conformance!(store_tokens over sqlite_tokens = sqlite, postgres_tokens = postgres: [
    tokens_are_kept_with_their_hash_and_revoked_by_name,
    of_many_first_tokens_one_is_made,
    the_last_use_of_a_token_moves_forwards,
]);

conformance!(store_feed over sqlite_feed = sqlite, postgres_feed = postgres: [
    a_snapshot_holds_every_link_and_its_cursor_begins_the_deltas,
    each_kind_of_change_is_seen_once,
    a_change_tells_its_age,
    a_code_that_came_and_went_is_a_tombstone,
    a_rolled_back_change_is_not_seen,
    a_mark_is_covered_once_its_change_was_seen,
    a_long_delta_comes_in_parts,
    user_with_many_links_is_deleted_in_parts,
    a_cursor_of_another_history_is_too_old,
    a_replica_that_follows_the_feed_equals_the_table,
]);

// A transaction of another database that is open when a cursor is taken makes that cursor older.
conformance!(store_feed over sqlite_pruning = sqlite, postgres_pruning = postgres_alone: [
    pruning_makes_old_cursors_too_old,
]);

conformance!(store_loading over sqlite_loading = sqlite, postgres_loading = postgres: [
    files_are_loaded_with_their_ids_and_the_sequence_moves_past_them,
    a_second_load_changes_nothing,
    a_file_is_loaded_whole_or_not_at_all,
    a_file_that_repeats_itself_is_refused,
    rows_without_ids_get_them,
]);

conformance!(store_loading_ids over sqlite_loading_ids = sqlite, postgres_loading_ids = postgres: [
    row_whose_id_belongs_to_another_is_refused,
    user_edited_since_it_was_loaded_is_there_already,
    events_without_ids_and_times_are_found_again,
    id_far_beyond_the_largest_is_refused,
    skipped_row_of_an_import_moves_no_id,
    load_whose_source_is_slow_holds_up_no_writer,
    loads_of_one_file_at_once_insert_it_once,
]);

conformance!(bus over local_bus = local_bus, redis_bus = redis_bus: [
    a_subscriber_hears_what_is_published_after_it_subscribed,
    topics_are_apart,
    every_subscriber_hears_everything,
    a_subscriber_that_lags_is_told_so,
    of_many_invalidations_at_least_one_is_heard,
    waiting_for_a_message_can_be_given_up,
    nobody_listening_is_no_failure,
    live_replicas_are_known_to_those_who_come_later,
    a_silent_replica_is_not_live,
]);

conformance!(cache over local_cache = local_cache, redis_cache = redis_cache: [
    what_is_put_is_got_until_its_time_is_over,
    a_later_put_replaces_value_and_lifetime,
    keys_are_apart,
]);
