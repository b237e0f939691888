//! The part of a request that its click stores, and the settings by which it stores less. Pure: no I/O, no lock, no
//! allocation.

use tern_common::client::Networks;
use tern_common::config::{Reader, Setting};
use tern_common::visitor::{MAX_TEXT, Signs, Visitor, primary_subtag};

use crate::clicks::journal::{Sent, origin};
use crate::fields::Fields;

/// The settings of tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// `TRACKING`: the part of a request that is recorded.
    extent: Extent,
    /// `HONOUR_GPC`: whether a client may ask for [`Extent::Minimal`].
    honours_gpc: bool,
    /// `IGNORE_CLICKS_FROM`: networks of clients whose clicks are not recorded.
    pub(crate) ignored: Networks,
    /// `COUNTRY_HEADER`: the header field in which trusted proxies name the country of the client.
    country_header: Option<FieldName>,
}

/// The part of a request that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Full,
    /// Families of the client and the host of the referrer: no user agent and no path.
    Minimal,
    Off,
}

impl Setting for Extent {
    const EXPECTED: &'static str = "full, minimal or off";

    fn parse(text: &str) -> Option<Extent> {
        match text {
            "full" => Some(Extent::Full),
            "minimal" => Some(Extent::Minimal),
            "off" => Some(Extent::Off),
            _ => None,
        }
    }
}

/// The name of a header field in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldName(String);

impl Setting for FieldName {
    const EXPECTED: &'static str = "the name of a header field, such as CF-IPCountry";

    fn parse(text: &str) -> Option<FieldName> {
        http::HeaderName::try_from(text).ok().map(|name| FieldName(name.as_str().to_owned()))
    }
}

impl Default for Tracking {
    fn default() -> Tracking {
        Tracking { extent: Extent::Full, honours_gpc: true, ignored: Networks::default(), country_header: None }
    }
}

/// The header fields of a request that matter to its click, and to rules and splits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Headers<'a> {
    pub(crate) user_agent: &'a [u8],
    pub(crate) referrer: &'a [u8],
    pub(crate) accept_language: &'a [u8],
    /// The country that a trusted proxy named.
    pub(crate) country: &'a [u8],
    /// Whether a browser loads the page in advance.
    pub(crate) is_prefetch: bool,
    opts_out: bool,
}

impl<'a> Headers<'a> {
    /// Reads each field once. If a field has several lines, the first counts.
    fn read(fields: &impl Fields<'a>, country_header: Option<&FieldName>) -> Headers<'a> {
        let mut headers = Headers::default();
        fields.for_each(|name, value| {
            // Most clients send the usual case, which is compared faster.
            let is = |usual: &str| name == usual.as_bytes() || name.eq_ignore_ascii_case(usual.as_bytes());
            let set = |place: &mut &'a [u8]| {
                if place.is_empty() {
                    *place = value;
                }
            };
            match name.len() {
                3 if is("DNT") => headers.opts_out |= value == b"1",
                5 if is("X-Moz") => headers.is_prefetch |= is_prefetch(value),
                7 if is("Referer") => set(&mut headers.referrer),
                7 if is("Sec-GPC") => headers.opts_out |= value == b"1",
                7 if is("Purpose") => headers.is_prefetch |= is_prefetch(value),
                10 if is("User-Agent") => set(&mut headers.user_agent),
                11 if is("Sec-Purpose") => headers.is_prefetch |= is_prefetch(value),
                15 if is("Accept-Language") => set(&mut headers.accept_language),
                _ => {}
            }
            if country_header.is_some_and(|wanted| is(&wanted.0)) {
                set(&mut headers.country);
            }
        });
        headers
    }
}

/// Returns whether a request is of a preview agent or loads a page in advance, so that no person sees its answer.
pub(crate) fn is_preview_agent<'a>(fields: &impl Fields<'a>) -> bool {
    let Headers { user_agent, is_prefetch, .. } = Headers::read(fields, None);
    Visitor::of_request(&Signs { user_agent, is_prefetch, ..Signs::default() }).is_preview()
}

/// Returns whether a value announces that a page is loaded in advance, such as `prefetch;prerender`.
fn is_prefetch(value: &[u8]) -> bool {
    value.get(..b"prefetch".len()).is_some_and(|start| start.eq_ignore_ascii_case(b"prefetch"))
}

impl Tracking {
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Tracking {
        Tracking {
            extent: reader.get("TRACKING", Extent::Full),
            honours_gpc: reader.get("HONOUR_GPC", true),
            ignored: reader.get("IGNORE_CLICKS_FROM", Networks::default()),
            country_header: reader.find("COUNTRY_HEADER"),
        }
    }

    /// Returns whether redirects are recorded at all.
    pub fn records(&self) -> bool {
        self.extent != Extent::Off
    }

    /// Returns the header fields of a request. A country is believed only if `is_from_proxy`.
    pub(crate) fn headers<'f>(&self, fields: &impl Fields<'f>, is_from_proxy: bool) -> Headers<'f> {
        Headers::read(fields, self.country_header.as_ref().filter(|_| is_from_proxy))
    }

    /// Returns the part of a request that its click stores. `text` is room for the text form of the visitor.
    ///
    /// A country is believed only if `is_from_proxy`, and must be named by the proxy and not by its client.
    pub(crate) fn sent<'s, 'f: 's>(
        &self,
        fields: &impl Fields<'f>,
        is_from_proxy: bool,
        is_from_qr: bool,
        source: &'s [u8],
        text: &'s mut [u8; MAX_TEXT],
    ) -> Sent<'s> {
        let headers = self.headers(fields, is_from_proxy);
        let Headers { user_agent, referrer, is_prefetch, .. } = headers;
        let language = primary_subtag(headers.accept_language);
        let country = headers.country.trim_ascii().try_into().unwrap_or_default();
        let is_minimal = self.extent == Extent::Minimal || self.honours_gpc && headers.opts_out;
        if is_minimal {
            // The user agent must not be in the journal, so the families of this click are worked out now.
            let visitor = Visitor::of_request(&Signs { user_agent, is_prefetch, language, country });
            let (user_agent, referrer) = (visitor.write(text), origin(referrer));
            return Sent { user_agent, referrer, is_from_qr, is_minimal, ..Sent::default() };
        }
        Sent { user_agent, referrer, source, language, country, is_prefetch, is_from_qr, is_minimal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines<'a>(&'a [(&'a str, &'a str)]);

    impl<'a> Fields<'a> for Lines<'a> {
        fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
            let lines = self.0.iter().filter(move |line| line.0.eq_ignore_ascii_case(name));
            lines.map(|line| line.1.as_bytes())
        }

        fn for_each(&self, mut visit: impl FnMut(&[u8], &'a [u8])) {
            self.0.iter().for_each(|(name, value)| visit(name.as_bytes(), value.as_bytes()));
        }
    }

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    const REQUEST: [(&str, &str); 5] = [
        ("User-Agent", FIREFOX),
        ("Referer", "https://news.example/secret?more"),
        ("Accept-Language", "de-DE,en;q=0.5"),
        ("X-Country", "at"),
        ("User-Agent", "second"),
    ];

    fn tracking(country_header: Option<&str>) -> Tracking {
        Tracking { country_header: country_header.and_then(FieldName::parse), ..Tracking::default() }
    }

    /// Returns the texts, the language and the country that a request stores.
    fn sent(tracking: &Tracking, further: &[(&str, &str)], is_from_proxy: bool) -> [String; 5] {
        let lines = [further, &REQUEST].concat();
        let mut text = [0; MAX_TEXT];
        let sent = tracking.sent(&Lines(&lines), is_from_proxy, false, b"mail", &mut text);
        let texts = [sent.user_agent, sent.referrer, sent.source, &sent.language, &sent.country];
        texts.map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
    }

    #[test]
    fn click_stores_the_first_line_of_each_field() {
        let referrer = "https://news.example/secret?more";
        assert_eq!(sent(&tracking(None), &[], true), [FIREFOX, referrer, "mail", "de", ""]);
    }

    #[test]
    fn country_is_believed_only_from_a_proxy() {
        let country = |header, is_from_proxy| sent(&tracking(header), &[], is_from_proxy)[4].clone();
        assert_eq!(country(Some("x-COUNTRY"), true), "at");
        assert_eq!(country(Some("X-Country"), false), "");
        assert_eq!(country(Some("User-Agent"), true), "", "only a code of two letters is stored");
    }

    #[test]
    fn minimal_click_stores_families_and_a_host() {
        let minimal = ["Firefox|Linux|desktop|de|AT|", "https://news.example", "", "", ""];
        let header = tracking(Some("X-Country"));
        assert_eq!(sent(&Tracking { extent: Extent::Minimal, ..header.clone() }, &[], true), minimal);
        for opt_out in [("DNT", "1"), ("sec-gpc", "1")] {
            assert_eq!(sent(&header, &[opt_out], true), minimal, "{opt_out:?}");
            let deaf = Tracking { honours_gpc: false, ..header.clone() };
            assert_eq!(sent(&deaf, &[opt_out], true)[0], FIREFOX);
        }
        for none in [("DNT", "0"), ("Sec-GPC", "0"), ("DNT", ""), ("X-DNT", "1")] {
            assert_eq!(sent(&header, &[none], true)[0], FIREFOX, "{none:?}");
        }
    }

    #[test]
    fn each_announcement_of_a_prefetch_is_recognised() {
        let is_prefetch = |name, value| {
            let lines = [(name, value)];
            let mut text = [0; MAX_TEXT];
            Tracking::default().sent(&Lines(&lines), false, false, b"", &mut text).is_prefetch
        };
        for name in ["Sec-Purpose", "purpose", "X-Moz", "X-MOZ"] {
            assert!(is_prefetch(name, "prefetch"), "{name}");
            assert!(!is_prefetch(name, "preview"), "{name}");
        }
        assert!(is_prefetch("sec-purpose", "Prefetch;prerender"));
        assert!(!is_prefetch("sec-purpos", "prefetch"));
    }
}
