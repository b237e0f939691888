//! Redirects continue on disks that fill, fail or lose a file, and each lost click is counted.

use tern_tests::Filesystem;
use tern_tests::disks::{fail_disk, fill_disk, truncate_tails};

#[tokio::test(flavor = "multi_thread")]
async fn full_btrfs_costs_counted_clicks_and_no_redirect() {
    fill_disk(Filesystem::Btrfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_xfs_costs_counted_clicks_and_no_redirect() {
    fill_disk(Filesystem::Xfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shut_down_xfs_costs_counted_clicks_and_no_redirect() {
    fail_disk(Filesystem::Xfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_ext4_costs_counted_clicks_and_no_redirect() {
    fail_disk(Filesystem::Ext4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_tails_cost_counted_clicks_and_no_redirect() {
    truncate_tails().await;
}
