//! The check of a row by the rules of the API.
//!
//! A value that is not needed to redirect never costs the link: it is cut or left out, and named.

use std::fmt;

use tern_common::link_labels::{ExternalId, LinkLabels, MAX_NOTES_LEN, Notes, Tag, Tags};
use tern_common::routing::{InvalidRules, Rule, Rules, Split};
use tern_common::short_code::InvalidShortCode;
use tern_common::short_text::MAX_TEXT_LEN;
use tern_common::url::{Title, UrlRow};
use tern_common::{ClickLimit, Id, LinkOptions, OwnAddresses, RedirectStatus, ShortCode, TargetUrl, Timestamp};
use tern_import::ImportedLink;

/// A row that can be a link.
#[derive(Clone, Debug)]
pub(super) struct CheckedLink {
    pub(super) row: u64,
    /// The code of the row, or why it cannot be one.
    pub(super) code: GivenCode,
    pub(super) target: TargetUrl,
    pub(super) title: Option<Title>,
    pub(super) is_active: bool,
    pub(super) options: LinkOptions,
    pub(super) tags: Vec<Tag>,
    pub(super) notes: Option<Notes>,
    pub(super) external_id: Option<ExternalId>,
    pub(super) clicks: i64,
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    /// The values that were cut or left out.
    pub(super) remarks: Vec<String>,
}

/// The code of a row.
#[derive(Clone, Debug)]
pub(super) enum GivenCode {
    Valid(ShortCode),
    Refused { text: String, reason: InvalidShortCode },
    Absent,
}

impl GivenCode {
    pub(super) fn text(&self) -> &str {
        match self {
            GivenCode::Valid(code) => code.as_str(),
            GivenCode::Refused { text, .. } => text,
            GivenCode::Absent => "",
        }
    }
}

impl CheckedLink {
    /// Checks a row.
    ///
    /// # Errors
    /// When the row cannot be a link, with the reason.
    pub(super) fn of(mut link: ImportedLink, own: &OwnAddresses) -> Result<CheckedLink, String> {
        let mut remarks = std::mem::take(&mut link.remarks);
        let target = own.parse_target(&link.target).map_err(|error| format!("the target {error}"))?;
        let code = match link.short_code.take() {
            None => GivenCode::Absent,
            Some(text) => match ShortCode::parse(&text) {
                Ok(code) => GivenCode::Valid(code),
                Err(reason) => GivenCode::Refused { text, reason },
            },
        };
        let title = link.title.as_deref().and_then(|text| cut(text, "title", MAX_TEXT_LEN, Title::parse, &mut remarks));
        let notes =
            link.notes.as_deref().and_then(|text| cut(text, "notes", MAX_NOTES_LEN, Notes::parse, &mut remarks));
        let external_id = link.external_id.as_deref().and_then(|text| {
            ExternalId::parse(text).map_err(|error| remarks.push(format!("the external id was left out: {error}"))).ok()
        });
        let mut tags = Vec::new();
        for text in &link.tags {
            match Tag::parse(text) {
                Ok(tag) if tags.contains(&tag) => {}
                Ok(tag) => tags.push(tag),
                Err(error) => remarks.push(format!("the tag {text:?} was left out: {error}")),
            }
        }
        let options = options(&link, own, &mut remarks)?;
        Ok(CheckedLink {
            row: link.row,
            code,
            target,
            title,
            is_active: link.is_active,
            options,
            tags,
            notes,
            external_id,
            clicks: i64::try_from(link.clicks).unwrap_or(i64::MAX),
            created_at: time(link.created_at),
            updated_at: time(link.updated_at),
            remarks,
        })
    }

    /// Returns the tags together with that of the import, which needs a place among them.
    pub(super) fn tags_with(&mut self, tag: &Tag) -> Tags {
        if self.tags.len() >= Tags::MAX && !self.tags.contains(tag) {
            for left_out in self.tags.drain(Tags::MAX - 1..) {
                let text = left_out.as_str();
                self.remarks.push(format!("the tag {text:?} was left out: a link has at most {} tags", Tags::MAX));
            }
        }
        Tags::new(self.tags.iter().chain([tag]).cloned()).expect("there is a place for the tag of the import")
    }

    /// Returns the row for the store.
    pub(super) fn url_row(&self, code: ShortCode, owner: Id, tags: Tags) -> UrlRow {
        UrlRow {
            id: None,
            user_id: owner,
            short_code: code,
            original_url: self.target.clone(),
            title: self.title.clone(),
            is_active: self.is_active,
            options: self.options.clone(),
            labels: LinkLabels { tags, notes: self.notes.clone(), external_id: self.external_id.clone() },
            revision: None,
            imported_clicks: self.clicks,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

fn options(link: &ImportedLink, own: &OwnAddresses, remarks: &mut Vec<String>) -> Result<LinkOptions, String> {
    let mut options = LinkOptions {
        starts_at: time(link.starts_at),
        expires_at: time(link.expires_at),
        expired_url: None,
        redirect_status: None,
        forward_query: link.forward_query,
        max_clicks: link.clicks_left.and_then(|left| ClickLimit::try_from(i64::try_from(left).ok()?).ok()),
        rules: rules(link.rules.as_deref().unwrap_or_default(), own, remarks)?,
        split: Split::parse(link.split.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?,
    };
    for (field, target) in options.split.targets() {
        own.parse_target(target).map_err(|error| format!("{field} {error}"))?;
    }
    if let Some(text) = &link.expired_url {
        match own.parse_expired_url(text) {
            Ok(target) => options.expired_url = Some(target),
            Err(error) => remarks.push(format!("the address after the end was left out: it {error}")),
        }
    }
    options.check().map_err(|error| error.to_string())?;
    if let Some(status) = link.redirect_status {
        let parsed = RedirectStatus::parse(&status.to_string()).map_err(|error| error.to_string());
        let checked = parsed.and_then(|status| {
            let with_status = LinkOptions { redirect_status: Some(status), ..options.clone() };
            with_status.check().map(|()| status).map_err(|error| error.to_string())
        });
        match checked {
            Ok(status) => options.redirect_status = Some(status),
            Err(error) => remarks.push(format!("the status {status} was left out: {error}")),
        }
    }
    Ok(options)
}

/// Reads rules. A rule that cannot be one of Tern's is left out, and named.
fn rules(json: &str, own: &OwnAddresses, remarks: &mut Vec<String>) -> Result<Rules, String> {
    if json.is_empty() {
        return Ok(Rules::default());
    }
    let mut rules: Vec<Rule> = serde_json::from_str(json).map_err(|_| InvalidRules::Unreadable.to_string())?;
    let mut number = 0;
    rules.retain(|rule| {
        number += 1;
        let checked = check_rule(rule, own);
        checked.map_err(|reason| remarks.push(format!("rule {number} was left out: {reason}"))).is_ok()
    });
    if rules.len() > Rules::MAX {
        remarks.push(format!("{} rules were left out: a link has at most {}", rules.len() - Rules::MAX, Rules::MAX));
        rules.truncate(Rules::MAX);
    }
    Rules::new(rules).map_err(|error| error.to_string())
}

fn check_rule(rule: &Rule, own: &OwnAddresses) -> Result<(), String> {
    own.parse_target(&rule.target).map_err(|error| format!("its target {error}"))?;
    match Rules::new(vec![rule.clone()]) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string().trim_start_matches("rules[0].").to_owned()),
    }
}

fn time(at: Option<i64>) -> Option<Timestamp> {
    at.map(Timestamp::from_unix_seconds).filter(|at| at.can_be_written())
}

/// Parses a text, cut to the length that it may have.
fn cut<T, E: fmt::Display>(
    text: &str,
    field: &str,
    most: usize,
    parse: impl Fn(&str) -> Result<T, E>,
    remarks: &mut Vec<String>,
) -> Option<T> {
    let first: String = text.chars().take(most).collect();
    if first.len() < text.len() {
        remarks.push(format!("the {field} was cut to {most} characters"));
    }
    parse(&first).map_err(|error| remarks.push(format!("the {field} was left out: {error}"))).ok()
}
