//! Many links to create with one request, with an outcome for each.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use tern_common::json::{JsonText, Kind};
use tern_common::store::{Commit, Mark};
use tern_common::url::Url;
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::{discard_body, is_ndjson, parse_json, read_json, read_shared, refuse_other_types};
use crate::http::error::{Envelope, Error, Result, bad_request, internal};
use crate::http::ignored::IgnoredNames;
use crate::http::query::Query;
use crate::http::upload_quota::UploadQuota;
use crate::resources::new_link::{ATTEMPTS, NewLink, generate_code, no_free_code};
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
use crate::resources::url_requests::CreateUrl;
use crate::resources::urls::forgive_read_only;
use crate::state::AppState;

/// The most bytes of a body.
const LIMIT: ByteSize = ByteSize::mib(10);

/// The most items of a body.
const MOST_ITEMS: usize = 10_000;

/// The links of one transaction. Other clients can write between two transactions.
const LINKS_AT_ONCE: usize = 500;

/// The bodies that are accepted, as the end of a sentence.
const FORMS: &str = "application/json with an array of links, or application/x-ndjson with a link in each line";

/// The options of creating many links
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BulkOptions {
    /// Whether one refused link prevents all others; the answer is then the error of the first one
    atomic: Option<bool>,
}

/// Links to create
#[derive(ToSchema)]
#[schema(
    description = "Links in the form of `POST /urls`, at most 10,000; an item of another form has an error as its outcome",
    max_items = 10_000,
    example = json!([{ "user_id": 7, "original_url": "https://example.com/hello" }])
)]
#[expect(dead_code, reason = "the array is read item by item, so that each bad item has an outcome of its own")]
pub(crate) struct BulkArray(Vec<CreateUrl>);

/// The outcome of one item: a link or an error
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkOutcome {
    /// The position of the item, from 0.
    #[schema(example = 0)]
    index: usize,
    /// The status that `POST /urls` would have.
    #[schema(example = 201)]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<ShownUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Envelope>,
}

/// Links to insert, each with the position of its item.
type Links = Vec<(usize, NewLink)>;

/// Create many links
///
/// The body is a JSON array, or NDJSON with a link in each line; it has at most 10 MiB.
/// The outcomes are in the order of the items.
#[utoipa::path(
    post,
    path = "/urls/bulk",
    tag = "links",
    params(BulkOptions),
    request_body(content((BulkArray = "application/json"))),
    responses(
        (status = 200, body = [BulkOutcome], description = "An outcome for each item", headers(("Tern-Visible"))),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn create_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    origin: ShortOrigin,
    Extension(quota): Extension<UploadQuota>,
    Query(BulkOptions { atomic }): Query<BulkOptions>,
    request: Request,
) -> Result<Response> {
    let is_lines = is_ndjson(request.headers());
    if !is_lines && let Err(refusal) = refuse_other_types(request.headers(), FORMS) {
        discard_body(request);
        return Err(refusal);
    }
    let ignored = request.extensions().get::<IgnoredNames>().cloned();
    let mut share = quota.begin(LIMIT);
    let body = read_shared(request, LIMIT, &mut share).await?;
    let items = {
        let (state, ignored) = (Arc::clone(&state), ignored.clone());
        spawn_blocking(move || read_items(&body, is_lines, &state, &caller, ignored.as_ref()))
            .await
            .map_err(internal)??
    };
    forgive_read_only(ignored.map(Extension), &[]);
    let mut bulk = Bulk { state: &state, origin, outcomes: Vec::with_capacity(items.len()), mark: None };
    if atomic == Some(true) {
        bulk.insert_all(items).await?;
    } else {
        bulk.insert_each(items).await?;
    }
    bulk.outcomes.sort_by_key(|outcome| outcome.index);
    let visible = match &bulk.mark {
        Some(mark) => Some(state.announce(mark).await),
        None => None,
    };
    Ok((visible, Json(bulk.outcomes)).into_response())
}

/// Reads the items of a body. A body that begins with an object has an item in each line.
fn read_items(
    body: &[u8],
    is_lines: bool,
    state: &AppState,
    caller: &Caller,
    ignored: Option<&IgnoredNames>,
) -> Result<Vec<Result<NewLink>>> {
    let item = |text: JsonText<'_>| {
        if text.kind() != Kind::Object {
            return Err(bad_request("An item must be a JSON object"));
        }
        let link = read_json::<CreateUrl>(text, ignored).map_err(bad_request)?;
        NewLink::of(link, state, caller).map(|(link, _)| link)
    };
    let body = body.trim_ascii();
    match body.first() {
        None => Err(bad_request(format!("The body is missing; send {FORMS}"))),
        Some(first) if is_lines || *first == b'{' => {
            let lines = || body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            check_number(lines().count())?;
            Ok(lines().map(|line| item(parse_json("The line", line)?)).collect())
        }
        Some(_) => {
            let array = parse_json("The body", body)?;
            if array.kind() != Kind::Array {
                return Err(bad_request(format!("The body must be {FORMS}; POST /urls takes a single link")));
            }
            check_number(array.items().count())?;
            Ok(array.items().map(item).collect())
        }
    }
}

fn check_number(items: usize) -> Result<()> {
    if items > MOST_ITEMS {
        let message = format!("There are {items} items, and at most {MOST_ITEMS} are accepted at once");
        return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(())
}

/// The work on one request, and its outcomes so far.
struct Bulk<'a> {
    state: &'a AppState,
    origin: ShortOrigin,
    outcomes: Vec<BulkOutcome>,
    /// The mark of the last transaction that inserted links.
    mark: Option<Mark>,
}

impl Bulk<'_> {
    fn accept(&mut self, index: usize, url: Url) {
        let url = Some(self.origin.show(url));
        self.outcomes.push(BulkOutcome { index, status: 201, url, error: None });
    }

    fn refuse(&mut self, index: usize, error: &Error) {
        let (status, envelope) = error.envelope();
        self.outcomes.push(BulkOutcome { index, status: status.as_u16(), url: None, error: Some(envelope) });
    }

    /// Inserts links in several transactions. If one fails as a whole, its links and the later ones have its error.
    ///
    /// # Errors
    /// When the first transaction fails, so that nothing was inserted.
    async fn insert_each(&mut self, items: Vec<Result<NewLink>>) -> Result<()> {
        let mut links = Links::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Ok(link) => links.push((index, link)),
                Err(refusal) => self.refuse(index, &refusal),
            }
        }
        let mut links = links.into_iter();
        loop {
            let part: Links = links.by_ref().take(LINKS_AT_ONCE).collect();
            if part.is_empty() {
                return Ok(());
            }
            let rest: Vec<usize> = part.iter().map(|(index, _)| *index).collect();
            if let Err(error) = self.insert_part(part).await {
                if self.mark.is_none() {
                    return Err(error);
                }
                let done: HashSet<usize> = self.outcomes.iter().map(|outcome| outcome.index).collect();
                let rest = rest.into_iter().chain(links.map(|(index, _)| index));
                tracing::warn!(?error, "creating many links failed half-way; the links so far remain");
                rest.filter(|index| !done.contains(index)).for_each(|index| self.refuse(index, &error));
                return Ok(());
            }
        }
    }

    /// Inserts links in one transaction, and in further ones those whose generated code was taken.
    async fn insert_part(&mut self, mut links: Links) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let urls = links.iter().map(|(_, link)| link.url.clone()).collect();
            let inserted = self.state.store.insert_urls(urls, Commit::Accepted).await?;
            let mut again = Vec::new();
            for ((index, mut link), outcome) in links.into_iter().zip(inserted.value) {
                match outcome {
                    Ok(url) => {
                        self.accept(index, url);
                        self.mark = Some(inserted.mark);
                    }
                    Err(error) if link.is_retried_after(&error) => {
                        link.url.short_code = generate_code(self.state);
                        again.push((index, link));
                    }
                    Err(error) => self.refuse(index, &error.into()),
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            links = again;
        }
        let error = no_free_code(self.state);
        links.iter().for_each(|(index, _)| self.refuse(*index, &error));
        Ok(())
    }

    /// Inserts all links in one transaction.
    ///
    /// # Errors
    /// With the error of the first item that is refused. Nothing was inserted then.
    async fn insert_all(&mut self, items: Vec<Result<NewLink>>) -> Result<()> {
        let (mut links, mut unread) = (Links::new(), None);
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Ok(link) => links.push((index, link)),
                Err(refusal) => {
                    // The store may refuse an earlier item.
                    unread = Some(refusal.of_item(index));
                    break;
                }
            }
        }
        for _ in 0..ATTEMPTS {
            let commit = if unread.is_none() { Commit::AllOrNone } else { Commit::Nothing };
            let urls = links.iter().map(|(_, link)| link.url.clone()).collect();
            let inserted = self.state.store.insert_urls(urls, commit).await?;
            let mut urls = Vec::new();
            for ((index, link), outcome) in links.iter_mut().zip(inserted.value) {
                match outcome {
                    Ok(url) => urls.push((*index, url)),
                    Err(error) if link.is_retried_after(&error) => link.url.short_code = generate_code(self.state),
                    Err(error) => return Err(Error::from(error).of_item(*index)),
                }
            }
            if let Some(refusal) = unread {
                return Err(refusal);
            }
            if urls.len() == links.len() {
                self.mark = (!urls.is_empty()).then_some(inserted.mark);
                urls.into_iter().for_each(|(index, url)| self.accept(index, url));
                return Ok(());
            }
        }
        Err(no_free_code(self.state))
    }
}
