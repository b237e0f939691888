//! Trials: the target to which a link would lead a visitor, chosen by the code that redirectors run.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tern_common::location::{Given, locate};
use tern_common::placeholders::Template;
use tern_common::routing::{Choice, Chosen, Facts, Routing, Rules, Split, Variant, hundredth_of};
use tern_common::visitor::{DEVICE_CLASSES, Signs, UNKNOWN, browser_named, country_of};
use tern_common::{ShortCode, TargetUrl, Timestamp, Visitor};
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::error::{Result, bad_request};
use crate::resources::link_options::{check_target, check_targets};
use crate::state::AppState;

/// A link, and a visitor to try it with
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "original_url": "https://example.com/hello",
    "rules": [{"target": "https://apps.example.com/hello", "if": [{"type": "device", "value": "ios"}]}],
    "visit": {"device": "ios"}
}))]
pub(crate) struct Trial {
    original_url: TargetUrl,
    /// The code of the link, by which a split divides the clients.
    #[schema(value_type = Option<ShortCode>)]
    short_code: Option<Option<ShortCode>>,
    #[schema(value_type = Option<Vec<tern_common::routing::Rule>>, max_items = 20, nullable)]
    rules: Option<Option<Rules>>,
    #[schema(value_type = Option<Vec<Variant>>, max_items = 4, nullable)]
    split: Option<Option<Split>>,
    /// Whether the query of the visit is merged into the target.
    #[schema(value_type = Option<bool>, nullable, example = false)]
    forward_query: Option<Option<bool>>,
    #[serde(default)]
    #[schema(required = false)]
    visit: Visit,
}

/// The facts of a request that conditions ask for. A fact that is not given is unknown
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Visit {
    /// The class of the device, as in the condition `device`.
    #[schema(example = "ios")]
    device: Option<String>,
    /// The browser, as in the condition `browser`.
    #[schema(example = "Safari")]
    browser: Option<String>,
    /// Whether the client is a bot or loads a preview. It has neither a device nor a browser then.
    bot: Option<bool>,
    /// The value of `Accept-Language`.
    #[schema(example = "de-AT,de;q=0.9")]
    language: Option<String>,
    /// The code of the country.
    #[schema(example = "AT")]
    country: Option<String>,
    /// The address of the page with the link.
    #[schema(example = "https://news.example/today")]
    referrer: Option<String>,
    /// The path behind the code and its slash, which fills placeholders.
    #[schema(example = "ABC-1")]
    path: Option<String>,
    /// The query without its `?`.
    #[schema(example = "utm_source=mail")]
    query: Option<String>,
    /// The time of the request; now unless given.
    #[schema(value_type = Option<String>, example = "2026-01-31T08:00:00")]
    at: Option<Timestamp>,
    /// The address of the client, whose network belongs to one of the shares of a split.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    client: Option<IpAddr>,
}

/// The choice of a target
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "rule": 1, "variant": null, "target": "https://apps.example.com/hello", "location": "https://apps.example.com/hello"
}))]
pub(crate) struct TrialOutcome {
    /// The number of the rule that matches, from 1
    #[schema(required)]
    rule: Option<u8>,
    /// The number of the variant, from 1
    #[schema(required)]
    variant: Option<u8>,
    /// The chosen target
    target: String,
    /// The `Location` of the redirect. `null` is a 404: the visit does not fill the placeholders, or has a path that the
    /// target does not use
    #[schema(required)]
    location: Option<String>,
}

/// The visit of a trial, with its names from closed lists.
struct TriedVisit<'a> {
    visit: &'a Visit,
    visitor: Visitor,
    country: &'static str,
    code: &'a str,
    at: Timestamp,
}

impl<'a> TriedVisit<'a> {
    /// # Errors
    /// When a name is in none of the lists.
    fn new(visit: &'a Visit, code: &'a str) -> Result<TriedVisit<'a>> {
        let device = match visit.device.as_deref().filter(|name| !name.is_empty()) {
            None => Visitor::UNKNOWN,
            Some(class) => Visitor::on(class)
                .ok_or_else(|| bad_request(format!("visit.device must be one of {}", DEVICE_CLASSES.join(", "))))?,
        };
        let browser = match visit.browser.as_deref().filter(|name| !name.is_empty()) {
            None => UNKNOWN,
            Some(name) => browser_named(name)
                .ok_or_else(|| bad_request("visit.browser must be a browser that a condition may name"))?,
        };
        let country = country_of(visit.country.as_deref().unwrap_or_default().as_bytes());
        if country == UNKNOWN && visit.country.as_deref().is_some_and(|code| !code.is_empty()) {
            return Err(bad_request("visit.country must be the code of a country in ISO 3166 such as AT"));
        }
        // A request without a user agent is a bot's.
        let visitor = if visit.bot == Some(true) {
            Visitor::of_request(&Signs::default())
        } else {
            Visitor { browser, ..device }
        };
        Ok(TriedVisit { visit, visitor, country, code, at: visit.at.unwrap_or_else(Timestamp::now) })
    }
}

impl Facts for TriedVisit<'_> {
    fn visitor(&mut self) -> Visitor {
        self.visitor
    }

    fn accept_language(&mut self) -> &[u8] {
        self.visit.language.as_deref().unwrap_or_default().as_bytes()
    }

    fn referrer(&mut self) -> &[u8] {
        self.visit.referrer.as_deref().unwrap_or_default().as_bytes()
    }

    fn country(&mut self) -> &'static str {
        self.country
    }

    fn query(&self) -> &[u8] {
        self.visit.query.as_deref().unwrap_or_default().as_bytes()
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn hundredth(&mut self) -> u8 {
        hundredth_of(self.code, self.visit.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), b"")
    }
}

/// Try a link with a visitor
///
/// Chooses the target as a redirector does, without a link, a redirect or a click: for editors of rules, before they save.
#[utoipa::path(
    post,
    path = "/urls/try",
    tag = "links",
    request_body = Trial,
    responses((status = 200, body = TrialOutcome, description = "The choice"))
)]
pub(crate) async fn try_link(
    State(state): State<Arc<AppState>>,
    Body(trial): Body<Trial>,
) -> Result<Json<TrialOutcome>> {
    let own = &state.config.own_addresses;
    let plain = check_target(own, "original_url", trial.original_url)?;
    let given = (trial.rules.flatten().unwrap_or_default(), trial.split.flatten().unwrap_or_default());
    check_targets(own, Some(&given.0), Some(&given.1))?;
    let (mut rules, mut split) = (Vec::new(), Vec::new());
    given.0.encode(&mut rules);
    given.1.encode(&mut split);
    let code = trial.short_code.flatten();
    let code = code.as_ref().map(ShortCode::as_str).unwrap_or_default();
    let mut visit = TriedVisit::new(&trial.visit, code)?;
    let chosen = Routing::of(&rules, &split).and_then(|routing| routing.choose(&mut visit));
    let template = Template::encode(plain.location());
    let chosen = chosen.unwrap_or(Chosen {
        given: plain.as_given(),
        location: plain.location(),
        template: template.as_deref().and_then(Template::decode),
        choice: Choice::Plain,
    });
    Ok(Json(TrialOutcome {
        rule: chosen.choice.rule(),
        variant: chosen.choice.variant(),
        target: chosen.given.to_owned(),
        location: location(chosen, &trial.visit, trial.forward_query == Some(Some(true))),
    }))
}

/// Returns the `Location` of a redirect to a chosen target.
fn location(chosen: Chosen<'_>, visit: &Visit, forwards_query: bool) -> Option<String> {
    let rest = visit.path.as_deref().filter(|path| !path.is_empty()).map(str::as_bytes);
    let query = visit.query.as_deref().unwrap_or_default().as_bytes();
    let given = Given { rest, query, forwards_query };
    let located = locate(chosen.location, chosen.template, given)?;
    let mut written = Vec::new();
    located.location.write(|part| written.extend_from_slice(part));
    String::from_utf8(written).ok()
}
