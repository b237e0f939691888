//! Redirects go on over disks that fill, fail or lose a file, and each click that is lost is counted.

use tern_tests::Filesystem;
use tern_tests::disks::{disk_failed, disk_filled, tails_cut};

#[tokio::test(flavor = "multi_thread")]
async fn full_btrfs_costs_clicks_that_are_counted_and_no_redirect() {
    disk_filled(Filesystem::Btrfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_xfs_costs_clicks_that_are_counted_and_no_redirect() {
    disk_filled(Filesystem::Xfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xfs_that_shuts_down_costs_clicks_that_are_counted_and_no_redirect() {
    disk_failed(Filesystem::Xfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_ext4_costs_clicks_that_are_counted_and_no_redirect() {
    disk_failed(Filesystem::Ext4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_tails_cost_clicks_that_are_counted_and_no_redirect() {
    tails_cut().await;
}
