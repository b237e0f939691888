//! The token in whose name a task changes links, for the audit entries of the changes.

use std::sync::Arc;

tokio::task_local! {
    static AUTHOR: Arc<str>;
}

/// Runs `work`, whose changes of links get audit entries with the name of this token.
/// Work that another task does for it has no author.
pub async fn signed<T>(token: Option<Arc<str>>, work: impl Future<Output = T>) -> T {
    match token {
        Some(token) => AUTHOR.scope(token, work).await,
        None => work.await,
    }
}

/// Returns the name of the token in whose name the current task changes links.
pub(super) fn author() -> Option<Arc<str>> {
    AUTHOR.try_with(Arc::clone).ok()
}
