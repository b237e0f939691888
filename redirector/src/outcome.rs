//! The outcomes of a request for a short code, and the meaning of each. Pure.
//!
//! The table of [`Kind`] is the one place that owns the status, the header fields, the message, the metric label and
//! the side effect of an outcome. Both ports and the metrics read it.

use tern_common::routing::Chosen;
use tern_common::served_link::ServedLink;

use crate::http::{Answer, Content, Document, FilledUrl, Location, MediaType, StatusCode};

/// A decision about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    pub kind: Kind,
    /// The link of a redirect or of a preview.
    pub link: Option<ServedLink<'a>>,
    /// The answer, if that of the table depends on the target of the link.
    pub answer: Option<Answer<'a>>,
    /// The target that was chosen, if the link has rules or a split.
    pub chosen: Option<Chosen<'a>>,
    /// Whether the redirect needs a click of the link's limit.
    pub is_limited: bool,
    /// Whether the link forwards queries, and that of the request could not be merged into the target.
    pub drops_query: bool,
    /// The short code that the message quotes.
    pub code: Option<&'a str>,
    /// Value of `Retry-After`, where the table does not have it.
    pub retry_after_seconds: Option<u32>,
}

/// The side effect of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// A `GET` is recorded as a click on the link.
    Click,
    /// The request uses up one miss of the client's budget.
    Miss,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct Rule {
    label: &'static str,
    effect: Effect,
    /// The answer, in which the location of a redirect or the quoted code is still missing.
    answer: Answer<'static>,
}

/// Defines the kinds of outcomes, each with its rule.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $label:literal, $effect:ident, $answer:expr;)*) => {
        /// The kind of an outcome.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind),*
        }

        impl Kind {
            /// Every kind, in the order of their discriminants.
            pub const ALL: [Kind; [$($label),*].len()] = [$(Kind::$kind),*];

            const RULES: [Rule; Kind::ALL.len()] =
                [$(Rule { label: $label, effect: Effect::$effect, answer: $answer }),*];
        }
    };
}

/// The JSON of a preview around the code and the target.
const PREVIEW: Document<'static> = Document {
    media_type: MediaType::Json,
    fixed: &["{\"short_code\":\"", "\",\"original_url\":\"", "\"}", ""],
    pieces: [b""; 3],
    filled: None,
};

/// The JSON of a preview of a link with rules or a split.
const VARYING_PREVIEW: &[&str; 4] = &["{\"short_code\":\"", "\",\"original_url\":\"", "\",\"varies\":true}", ""];
/// The JSON in place of a limited link's target.
const WITHHELD: Document<'static> = Document {
    media_type: MediaType::Json,
    fixed: &["{\"short_code\":\"", "\"}", "", ""],
    pieces: [b""; 3],
    filled: None,
};

kinds! {
    /// The link leads to its target.
    Redirect = "redirect", Click, Answer::redirect(b"");
    /// The link would redirect, and the client asks where to.
    Preview = "preview", Nothing, Answer::new(StatusCode::OK, Content::Document(PREVIEW));
    /// The link is limited, and the request would use up a click without a person behind it.
    Withheld = "withheld", Nothing, Answer::new(StatusCode::OK, Content::Document(WITHHELD));
    /// The path is that of the start page, which is no short code.
    Root = "root", Nothing, Answer::error(StatusCode::NOT_FOUND, "No short code has this form");
    /// The link is deactivated.
    Gone = "gone", Nothing, Answer::error(StatusCode::GONE, "This shortened URL has been deactivated");
    /// The link has not started. Its answer is that for a code that no link has.
    Scheduled = "scheduled", Nothing,
        Answer::error_in_pieces(StatusCode::NOT_FOUND, [b"Short code '", b"", b"' not found"]);
    /// The link would redirect, and the request does not fill the placeholders of its target.
    Unfilled = "unfilled", Nothing, Answer::error_in_pieces(
        StatusCode::NOT_FOUND,
        [b"Short code '", b"", b"' leads nowhere with this path and query: a part is missing, not allowed or one too many"],
    );
    /// The link has expired, and now leads to another address.
    ExpiredElsewhere = "expired", Nothing, Answer::redirect(b"");
    /// The link has expired.
    Expired = "expired", Nothing, Answer::error(StatusCode::GONE, "This shortened URL has expired");
    /// The limit of the link is used up, and it now leads to another address.
    ExhaustedElsewhere = "exhausted", Nothing, Answer::redirect(b"");
    /// The limit of the link is used up.
    Exhausted = "exhausted", Nothing, Answer::error(StatusCode::GONE, "This shortened URL has been used up");
    /// The store did not say in time whether the limit of the link is used up.
    LimitUnavailable = "limit_unavailable", Nothing,
        Answer::error(StatusCode::SERVICE_UNAVAILABLE, "This shortened URL cannot be counted now").retry_after(1);
    /// No link has the code.
    NotFound = "not_found", Miss, Answer::error_in_pieces(StatusCode::NOT_FOUND, [b"Short code '", b"", b"' not found"]);
    /// The path is not that of a short code.
    NoCode = "not_found", Miss, Answer::error(StatusCode::NOT_FOUND, "No short code has this form");
    /// There is a link, and the method is neither `GET` nor `HEAD`.
    OtherMethod = "other_method", Nothing,
        Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served here");
    /// The map is not loaded, so nothing is known about any code.
    NotReady = "not_ready", Nothing,
        Answer::error(StatusCode::SERVICE_UNAVAILABLE, "The links are not loaded yet").retry_after(1);
    /// The client has used up its budget of misses. The budget says when the client may try again.
    Refused = "refused", Nothing,
        Answer::error(StatusCode::TOO_MANY_REQUESTS, "Too many requests for short codes that do not exist");
}

impl Kind {
    /// Returns the value of the metric label `outcome`.
    pub const fn label(self) -> &'static str {
        self.rule().label
    }

    pub const fn effect(self) -> Effect {
        self.rule().effect
    }

    const fn rule(self) -> &'static Rule {
        &Kind::RULES[self as usize]
    }
}

impl From<Kind> for Outcome<'_> {
    fn from(kind: Kind) -> Self {
        Outcome {
            kind,
            link: None,
            answer: None,
            chosen: None,
            is_limited: false,
            drops_query: false,
            code: None,
            retry_after_seconds: None,
        }
    }
}

impl<'a> Outcome<'a> {
    /// Returns a redirect to the address of an expired link.
    pub fn expired_elsewhere(location: &'a str) -> Outcome<'a> {
        Outcome { answer: Some(Answer::redirect(location.as_bytes())), ..Kind::ExpiredElsewhere.into() }
    }

    /// Returns the outcome for a link whose limit is used up, with the address to which it then leads.
    pub fn exhausted(location: Option<&'a str>) -> Outcome<'a> {
        match location {
            Some(location) => {
                Outcome { answer: Some(Answer::redirect(location.as_bytes())), ..Kind::ExhaustedElsewhere.into() }
            }
            None => Kind::Exhausted.into(),
        }
    }

    /// Returns an answer that uses up no click of a limited link and does not name its target.
    pub fn withheld(link: ServedLink<'a>) -> Outcome<'a> {
        Outcome { link: Some(link), ..Kind::Withheld.into() }
    }

    /// Returns the outcome for a link that has not started.
    pub fn scheduled(code: &'a str) -> Outcome<'a> {
        Outcome { code: Some(code), ..Kind::Scheduled.into() }
    }

    /// Returns the outcome for a request that does not fill the placeholders of a target.
    pub fn unfilled(code: &'a str) -> Outcome<'a> {
        Outcome { code: Some(code), ..Kind::Unfilled.into() }
    }

    /// Returns an answer that shows the target of `link`, or the target that the request has filled.
    pub fn preview(link: ServedLink<'a>, filled: Option<FilledUrl<'a>>) -> Outcome<'a> {
        let answer = filled.map(|url| {
            let pieces = [link.code.as_bytes(), b"", b""];
            let fixed = if link.varies() { VARYING_PREVIEW } else { PREVIEW.fixed };
            let document = Document { pieces, fixed, filled: Some((url, url.written_len())), ..PREVIEW };
            Answer::new(StatusCode::OK, Content::Document(document))
        });
        Outcome { link: Some(link), answer, ..Kind::Preview.into() }
    }

    /// Returns the outcome for a code that no link has.
    pub fn not_found(code: &'a str) -> Outcome<'a> {
        Outcome { code: Some(code), ..Kind::NotFound.into() }
    }

    /// Returns the outcome for a client that has to wait before it may miss again.
    pub fn refused(retry_after_seconds: u32) -> Outcome<'a> {
        Outcome { retry_after_seconds: Some(retry_after_seconds), ..Kind::Refused.into() }
    }

    /// Returns the encoded `utm_source` that the request gave to the location; empty if there is none.
    pub fn source(&self) -> &'a [u8] {
        const START: &[u8] = b"utm_source=";
        let of_query = |query: &'a [u8]| query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(START));
        let source = match self.answer.map(|answer| answer.content) {
            Some(Content::Redirect(Location::Merged(merged), _)) => of_query(merged.query()),
            Some(Content::Redirect(Location::Filled(filled), _)) => {
                of_query(filled.merged_query()).or_else(|| filled.parameter(START))
            }
            _ => None,
        };
        source.unwrap_or_default()
    }

    /// Returns the answer of the kind, completed with the location, the code or the wait of this request.
    pub fn answer(&self) -> Answer<'a> {
        if let Some(answer) = self.answer {
            return answer;
        }
        let answer = self.kind.rule().answer;
        let content = match answer.content {
            Content::Redirect(..) => answer.content,
            Content::Message([before, _, after]) => {
                Content::Message([before, self.code.unwrap_or_default().as_bytes(), after])
            }
            Content::Document(document) => {
                let is_shown = self.kind != Kind::Withheld;
                let (code, target) = self.link.map_or(("", ""), |link| (link.code, link.original_url()));
                let varies = is_shown && self.link.is_some_and(|link| link.varies());
                let fixed = if varies { VARYING_PREVIEW } else { document.fixed };
                let target = if is_shown { target.as_bytes() } else { b"" };
                Content::Document(Document { pieces: [code.as_bytes(), target, b""], fixed, ..document })
            }
        };
        Answer { content, retry_after_seconds: self.retry_after_seconds.or(answer.retry_after_seconds), ..answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_has_the_wait_of_its_budget_or_of_the_table() {
        let check = |outcome: Outcome<'_>, expected: (u16, Option<u32>, &str)| {
            let answer = outcome.answer();
            let Content::Message(message) = answer.content else { panic!("{answer:?}") };
            let message = String::from_utf8(message.concat()).unwrap();
            assert_eq!((answer.status.as_u16(), answer.retry_after_seconds, message.as_str()), expected);
        };
        check(Kind::Gone.into(), (410, None, "This shortened URL has been deactivated"));
        check(Outcome::not_found("nope"), (404, None, "Short code 'nope' not found"));
        check(Outcome::scheduled("soon"), (404, None, "Short code 'soon' not found"));
        let unfilled =
            "Short code 'jira' leads nowhere with this path and query: a part is missing, not allowed or one too many";
        check(Outcome::unfilled("jira"), (404, None, unfilled));
        check(Kind::Expired.into(), (410, None, "This shortened URL has expired"));
        check(Outcome::exhausted(None), (410, None, "This shortened URL has been used up"));
        check(Kind::LimitUnavailable.into(), (503, Some(1), "This shortened URL cannot be counted now"));
        check(Kind::NoCode.into(), (404, None, "No short code has this form"));
        check(Kind::OtherMethod.into(), (405, None, "Only GET and HEAD are served here"));
        check(Kind::NotReady.into(), (503, Some(1), "The links are not loaded yet"));
        check(Outcome::refused(7), (429, Some(7), "Too many requests for short codes that do not exist"));
    }

    #[test]
    fn only_a_redirect_to_the_target_is_a_click_and_only_a_missing_link_a_miss() {
        for kind in Kind::ALL {
            let expected = match kind {
                Kind::Redirect => Effect::Click,
                Kind::NotFound | Kind::NoCode => Effect::Miss,
                _ => Effect::Nothing,
            };
            assert_eq!(kind.effect(), expected, "{kind:?}");
        }
    }
}
