//! Answers to short codes: the header fields of redirects, other addresses in place of errors, and pages for people.

use tern_common::config::{Reader, Setting};
use tern_common::short_code::RESERVED;
use tern_common::{OwnAddresses, TargetUrl};

use crate::http::{Answer, Content, Method};
use crate::outcome::{Kind, Outcome};
use crate::pages;
use crate::redirect::Visit;

/// The settings of answers to short codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// `NOT_FOUND_URL`: the address to which a request for an unknown code is redirected.
    not_found_url: Option<TargetUrl>,
    /// `ROOT_URL`: the address to which a request for `/` is redirected.
    root_url: Option<TargetUrl>,
    /// Header lines of each redirect, by `INDEXABLE` and `REFERRER_POLICY`.
    redirect_fields: String,
}

/// A value of `Referrer-Policy`.
struct ReferrerPolicy(&'static str);

impl ReferrerPolicy {
    const ALL: [&'static str; 8] = [
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ];
}

impl Setting for ReferrerPolicy {
    const EXPECTED: &'static str = "a value of the header Referrer-Policy, such as strict-origin or no-referrer";

    fn parse(text: &str) -> Option<ReferrerPolicy> {
        ReferrerPolicy::ALL.into_iter().find(|policy| *policy == text).map(ReferrerPolicy)
    }
}

impl Answers {
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Answers {
        let own = reader.get("PUBLIC_URL", OwnAddresses::default());
        let is_own = |url: &TargetUrl| own.parse_target(url.as_given()).is_err();
        let not_found_url: Option<TargetUrl> = reader.find("NOT_FOUND_URL");
        if not_found_url.as_ref().is_some_and(is_own) {
            let reason = "is an address of PUBLIC_URL, where another unknown code would lead back to it";
            reader.reject("NOT_FOUND_URL", reason.to_owned());
        }
        let root_url: Option<TargetUrl> = reader.find("ROOT_URL");
        if root_url.as_ref().is_some_and(|url| is_own(url) && is_root(url.location())) {
            reader.reject("ROOT_URL", "is the start page of PUBLIC_URL, which would lead to itself".to_owned());
        }
        let mut redirect_fields = String::new();
        if !reader.get("INDEXABLE", false) {
            redirect_fields += "X-Robots-Tag: noindex\r\n";
        }
        if let Some(ReferrerPolicy(policy)) = reader.find("REFERRER_POLICY") {
            redirect_fields += &format!("Referrer-Policy: {policy}\r\n");
        }
        Answers { not_found_url, root_url, redirect_fields }
    }

    /// Returns the answer of an outcome. `prefers_html` is called only if it matters, and never for a redirect.
    pub fn answer<'a>(
        &'a self,
        outcome: &Outcome<'a>,
        visit: &Visit<'_>,
        prefers_html: impl FnOnce() -> bool,
    ) -> Answer<'a> {
        let answer = outcome.answer();
        match answer.content {
            Content::Redirect(..) => Answer { further_fields: &self.redirect_fields, ..answer },
            _ => self.answer_without_target(answer, outcome, visit, prefers_html),
        }
    }

    /// Completes an answer that does not lead to the target of a link.
    #[cold]
    fn answer_without_target<'a>(
        &'a self,
        answer: Answer<'a>,
        outcome: &Outcome<'a>,
        visit: &Visit<'_>,
        prefers_html: impl FnOnce() -> bool,
    ) -> Answer<'a> {
        if is_reserved(visit.path) {
            return answer;
        }
        if visit.method != Method::Other
            && let Some(url) = self.url_in_place_of(outcome.kind)
        {
            let redirect = Answer::redirect(url.location().as_bytes());
            return Answer { further_fields: &self.redirect_fields, ..redirect };
        }
        match (answer.content, outcome.link) {
            (Content::Document(_), Some(link)) if outcome.kind == Kind::Withheld => {
                let page = Content::Document(pages::withheld(link.code));
                Answer { further_fields: pages::FIELDS, content: page, ..answer }
            }
            (Content::Document(document), Some(link)) => {
                let is_page = prefers_html();
                let page = is_page.then(|| {
                    Content::Document(match document.filled {
                        Some((url, _)) => pages::filled_preview(link.code, url, link.varies()),
                        None => pages::preview(link.code, link.location(), link.varies()),
                    })
                });
                Answer { further_fields: pages::FIELDS, content: page.unwrap_or(answer.content), ..answer }
            }
            _ if prefers_html() => pages::error(answer),
            _ => answer,
        }
    }

    /// Returns the address to which a request without a link is redirected, if a setting names one.
    fn url_in_place_of(&self, kind: Kind) -> Option<&TargetUrl> {
        match kind {
            Kind::Root => self.root_url.as_ref().or(self.not_found_url.as_ref()),
            Kind::NotFound | Kind::NoCode => self.not_found_url.as_ref(),
            _ => None,
        }
    }
}

/// Returns whether a URL has no path but `/`.
fn is_root(location: &str) -> bool {
    let before_query = location.split(['?', '#']).next().unwrap_or_default();
    before_query.splitn(4, '/').nth(3).is_none_or(str::is_empty)
}

/// Returns whether the first segment of a path is a reserved word. Programs request such paths, so they get JSON.
fn is_reserved(path: &[u8]) -> bool {
    let first = path.split(|&byte| byte == b'/').nth(1).unwrap_or_default();
    RESERVED.iter().any(|word| word.as_bytes() == first)
}

#[cfg(test)]
mod tests {
    use tern_common::config::Variables;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Answers, String> {
        let variables: Variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut reader = Reader::new(&variables);
        let answers = Answers::read(&mut reader);
        reader.finish(answers).map_err(|error| error.to_string())
    }

    #[test]
    fn redirect_fields_follow_the_settings() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            assert_eq!(read(pairs).unwrap().redirect_fields, expected.replace('|', "\r\n"), "{pairs:?}");
        };
        check(&[], "X-Robots-Tag: noindex|");
        check(&[("INDEXABLE", "true"), ("REFERRER_POLICY", "")], "");
        check(&[("REFERRER_POLICY", "strict-origin")], "X-Robots-Tag: noindex|Referrer-Policy: strict-origin|");
        check(&[("INDEXABLE", "true"), ("REFERRER_POLICY", "no-referrer")], "Referrer-Policy: no-referrer|");
    }

    #[test]
    fn setting_that_leads_back_or_is_no_value_is_refused() {
        let own = ("PUBLIC_URL", "https://go.example");
        let check = |setting: (&str, &str), expected: Option<&str>| {
            let problem = read(&[own, setting]).err();
            let is_expected = match (&problem, expected) {
                (None, None) => true,
                (Some(problem), Some(reason)) => problem.starts_with(&format!("{}: {reason}", setting.0)),
                _ => false,
            };
            assert!(is_expected, "{setting:?}: {problem:?}");
        };
        check(("NOT_FOUND_URL", "https://www.example.com/not-found"), None);
        check(("NOT_FOUND_URL", "http://GO.example/not-found"), Some("is an address of PUBLIC_URL"));
        check(("NOT_FOUND_URL", "/not-found"), Some("expected an http or https address"));
        check(("ROOT_URL", "https://www.example.com"), None);
        check(("ROOT_URL", "https://go.example/welcome"), None);
        for loops in ["https://go.example", "https://go.example/", "https://go.example/?a/b", "https://go.example?a/b"]
        {
            check(("ROOT_URL", loops), Some("is the start page of PUBLIC_URL"));
        }
        check(("ROOT_URL", "javascript:alert(1)"), Some("expected an http or https address"));
        check(("REFERRER_POLICY", "none"), Some("expected a value of the header Referrer-Policy"));
        check(("REFERRER_POLICY", "origin\r\nX: y"), Some("expected a value of the header Referrer-Policy"));
        check(("INDEXABLE", "maybe"), Some("expected true or false"));
    }
}
