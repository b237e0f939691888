//! One suite for each seam, run over every implementation of it.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod bus;
mod cache;
mod fixture;
mod store;
mod store_audit;
mod store_books;
mod store_clicks;
mod store_feed;
mod store_filters;
mod store_imports;
mod store_labels;
mod store_limits;
mod store_lists;
mod store_loading;
mod store_loading_ids;
mod store_many;
mod store_misses;
mod store_options;
mod store_pages;
mod store_search;
mod store_series;
mod store_stats;
mod store_streams;
mod store_tags;
mod store_tokens;
mod store_visits;

/// Runs each test of a list over a new instance of each implementation. `fixture::$open` returns the instance and a
/// guard for its server or directory. The single list ensures that every implementation runs every test.
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
    user_is_inserted_found_updated_and_deleted,
    taken_username_and_taken_email_are_distinct_errors,
    user_with_links_is_deleted_only_together_with_them,
    import_returns_a_result_for_each_row,
    url_is_inserted_found_updated_and_deleted,
    reference_to_missing_row_is_refused_with_its_id,
    inserted_event_is_found_with_its_details,
    event_without_user_belongs_to_link_owner,
    list_pages_are_ordered_by_id,
    totals_match_rows_after_every_change,
    total_of_combined_filters_is_bounded,
    filter_with_nul_character_matches_nothing,
    products_are_listed_by_id,
]);

conformance!(store_options over sqlite_options = sqlite, postgres_options = postgres: [
    options_of_link_are_set_changed_and_removed_one_by_one,
    change_that_conflicts_with_the_stored_options_is_refused,
    loaded_links_have_the_options_of_their_rows,
]);

conformance!(store_limits over sqlite_limits = sqlite, postgres_limits = postgres: [
    limit_is_never_exceeded_and_its_end_reaches_the_feed,
    raised_limit_revives_the_link_and_a_lowered_one_ends_it,
    concurrent_takes_of_many_links_share_each_limit,
    returned_clicks_are_taken_again_unless_they_are_stored,
    stored_clicks_count_against_a_limit_that_is_set_later,
    state_exhausted_follows_the_order_of_decisions,
    limit_and_a_permanent_status_exclude_each_other,
    loaded_link_has_its_limit_and_loaded_clicks_count,
]);

conformance!(store_pages over sqlite_pages = sqlite, postgres_pages = postgres: [
    pages_of_users_match_a_sorted_set_after_random_changes,
    pages_of_links_and_events_match_after_user_deletion,
]);

conformance!(store_lists over sqlite_lists = sqlite, postgres_lists = postgres: [
    walk_under_every_order_and_filter_visits_each_link_once,
    walk_beside_changes_visits_each_unchanged_link_once,
    search_with_many_matches_has_a_bounded_total_and_walks_in_order,
]);

conformance!(store_search over sqlite_search = sqlite, postgres_search = postgres: [
    search_agrees_with_the_links_after_many_changes,
    loaded_link_with_the_id_of_a_deleted_one_is_found_by_its_own_text,
]);

conformance!(store_filters over sqlite_filters = sqlite, postgres_filters = postgres: [
    search_finds_substrings_in_any_case,
    search_follows_changes_loads_and_deletions,
    host_filter_matches_exact_name_without_port,
    state_and_creation_filters_match_their_links,
    tag_filters_match_any_all_or_none_of_their_tags,
    search_finds_tags_and_notes_until_they_change,
    links_are_ordered_and_filtered_by_their_clicks,
]);

conformance!(store_clicks over sqlite_clicks = sqlite, postgres_clicks = postgres: [
    shipped_clicks_become_events_and_orphans_are_counted,
    click_on_reused_link_id_is_an_orphan,
    batch_shipped_twice_is_committed_once,
    batch_from_another_position_is_rejected,
    batch_without_clicks_advances_the_journal,
    concurrent_batches_of_one_journal_commit_one,
    batch_with_hostile_texts_is_committed,
    large_batch_is_committed_whole,
    journals_are_returned_in_requested_order,
]);

conformance!(store_imports over sqlite_imports = sqlite, postgres_imports = postgres: [
    imported_clicks_are_a_field_beside_the_clicks,
    imported_click_is_an_event_and_one_imported_click_less,
    urls_are_found_by_their_codes,
    each_url_gets_its_own_change_or_refusal,
]);

conformance!(store_labels over sqlite_labels = sqlite, postgres_labels = postgres: [
    labels_are_stored_changed_and_removed,
    twenty_first_tag_is_refused_and_changes_nothing,
    external_id_is_unique_for_each_owner,
    revision_grows_with_changes_and_not_with_clicks,
    active_link_is_found_by_owner_and_target,
    change_for_another_revision_is_refused,
    click_is_no_change_of_the_served_link,
]);

conformance!(store_many over sqlite_many = sqlite, postgres_many = postgres: [
    inserted_urls_have_an_outcome_each_and_a_refused_one_affects_no_other,
    refused_url_undoes_an_insertion_of_all_or_none,
    new_urls_without_commit_only_have_their_outcomes,
    many_urls_are_inserted_with_events_and_audit_entries,
    selected_urls_are_all_changed,
    change_that_one_url_refuses_changes_none,
    selection_with_another_count_or_owner_is_refused,
    selected_urls_are_deleted_with_their_events,
    urls_with_too_many_events_are_not_deleted_at_once,
    concurrent_reuse_of_a_target_creates_one_url,
    concurrent_puts_under_an_external_id_create_one_url,
    put_url_replaces_all_but_code_creation_and_clicks,
    deletion_for_another_revision_is_refused,
]);

conformance!(store_stats over sqlite_stats = sqlite, postgres_stats = postgres: [
    click_counts_whichever_way_it_was_inserted,
    deleted_clicks_are_subtracted_from_stats,
    link_with_many_events_is_deleted_with_all_of_them,
    stats_contain_the_hours_of_their_range,
    stats_list_most_frequent_referrers_first,
    referrers_beyond_daily_limit_are_counted_as_other,
    forget_events_deletes_only_old_events,
    forget_events_deletes_many_events_in_parts,
    forget_events_that_would_delete_all_is_refused,
    clicks_without_event_are_counted_until_retention_ends,
]);

conformance!(store_series over sqlite_series = sqlite, postgres_series = postgres: [
    series_of_links_are_in_the_order_of_the_query,
]);

conformance!(store_streams over sqlite_streams = sqlite, postgres_streams = postgres: [
    tail_returns_clicks_since_it_began_once_and_in_order,
    tail_beside_concurrent_writers_loses_and_repeats_no_click,
    walk_visits_the_rows_of_the_list_under_every_filter,
]);

conformance!(store_tags over sqlite_tags = sqlite, postgres_tags = postgres: [
    tags_are_counted_by_their_links_and_owners,
    pages_of_tags_are_walked_in_both_directions,
]);

conformance!(store_visits over sqlite_visits = sqlite, postgres_visits = postgres: [
    visits_are_listed_newest_first_within_scope_and_range,
    clicks_of_tags_are_those_of_their_links,
]);

conformance!(store_books over sqlite_books = sqlite, postgres_books = postgres: [
    books_close_after_random_changes,
]);

conformance!(store_misses over sqlite_misses = sqlite, postgres_misses = postgres: [
    misses_add_up_and_those_with_a_link_are_omitted,
    misses_beyond_their_bound_are_forgotten_least_asked_first,
    concurrent_reports_of_misses_all_count,
]);

conformance!(store_tokens over sqlite_tokens = sqlite, postgres_tokens = postgres: [
    token_is_stored_with_its_hash_and_revoked_by_name,
    token_names_the_tokens_that_created_and_revoked_it,
    concurrent_first_tokens_create_one,
    token_last_use_only_moves_forwards,
    token_of_a_user_is_revoked_with_the_user,
]);

conformance!(store_audit over sqlite_audit = sqlite, postgres_audit = postgres: [
    each_change_of_a_link_has_an_audit_entry,
    audit_entry_has_the_token_of_its_task,
    deleted_user_leaves_no_audit_entry,
    audit_is_filtered_by_link_user_and_token,
    loaded_link_has_no_audit_entry_until_it_changes,
    old_audit_entries_are_deleted_unless_all_are_old,
    link_with_every_field_is_audited_with_each_of_them,
]);

conformance!(store_feed over sqlite_feed = sqlite, postgres_feed = postgres: [
    snapshot_contains_every_link_and_its_cursor_starts_deltas,
    each_kind_of_change_is_delivered_once,
    delivered_change_has_its_age,
    code_inserted_and_deleted_is_delivered_as_removed,
    rolled_back_change_is_not_delivered,
    mark_is_covered_once_its_change_was_delivered,
    long_delta_is_delivered_in_parts,
    user_with_many_links_is_deleted_in_parts,
    cursor_of_another_database_is_too_old,
    replica_beside_concurrent_writers_matches_the_table,
]);

// An open transaction of another database, at the time a cursor is taken, makes that cursor older.
conformance!(store_feed over sqlite_pruning = sqlite, postgres_pruning = postgres_alone: [
    cursor_before_pruned_changes_is_too_old,
]);

conformance!(store_loading over sqlite_loading = sqlite, postgres_loading = postgres: [
    loaded_rows_keep_their_ids_and_advance_the_sequence,
    second_load_of_a_file_changes_nothing,
    file_with_faulty_row_is_loaded_not_at_all,
    file_with_repeated_row_is_refused,
    loaded_rows_without_ids_get_ids,
    loaded_links_have_the_labels_and_revision_of_their_rows,
]);

conformance!(store_loading_ids over sqlite_loading_ids = sqlite, postgres_loading_ids = postgres: [
    row_with_id_of_another_row_is_refused,
    reloaded_user_with_edited_email_is_already_there,
    reloaded_events_without_ids_are_already_there,
    id_far_beyond_largest_is_refused,
    skipped_import_row_does_not_advance_the_sequence,
    load_from_slow_source_blocks_no_writer,
    concurrent_loads_of_one_file_insert_it_once,
]);

conformance!(bus over local_bus = local_bus, redis_bus = redis_bus: [
    subscriber_receives_messages_published_after_it_subscribed,
    message_is_received_on_its_own_topic_only,
    message_is_received_by_every_subscriber,
    lagging_subscriber_is_notified_of_lost_messages,
    burst_of_invalidations_delivers_at_least_one,
    cancelled_wait_for_a_message_loses_none,
    publish_without_subscribers_succeeds,
    live_replicas_are_listed_with_their_latest_cursor,
    silent_replica_is_not_live_after_its_timeout,
]);

conformance!(cache over local_cache = local_cache, redis_cache = redis_cache: [
    cached_value_is_returned_until_it_expires,
    second_put_replaces_value_and_lifetime,
    cache_keys_are_independent,
]);
