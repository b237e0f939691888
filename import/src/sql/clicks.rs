//! Clicks in the logs of YOURLS and Polr.

use std::collections::HashMap;

use crate::build::Builder;
use crate::row::{ImportedClick, Row};
use crate::shapes::{normalise, shorten};

/// The codes of links by the numbers of their rows, to which clicks refer.
pub(super) type Codes = HashMap<String, Box<str>>;

/// The places of the columns of a log.
#[derive(Debug)]
pub(super) struct ClickColumns {
    code: Option<usize>,
    link_id: Option<usize>,
    time: Option<usize>,
    referrer: Option<usize>,
    user_agent: Option<usize>,
    country: Option<usize>,
    address: Option<usize>,
}

impl ClickColumns {
    pub(super) fn new(columns: &[String]) -> ClickColumns {
        let normal: Vec<String> = columns.iter().map(|name| normalise(name)).collect();
        let place = |names: &[&str]| normal.iter().position(|column| names.contains(&column.as_str()));
        ClickColumns {
            code: place(&["shorturl"]),
            link_id: place(&["linkid"]),
            time: place(&["clicktime", "createdat"]),
            referrer: place(&["referrer", "referer"]),
            user_agent: place(&["useragent"]),
            country: place(&["countrycode", "country"]),
            address: place(&["ipaddress", "ip"]),
        }
    }

    /// Reads a click. `codes` has the links of a log that refers to them by numbers.
    pub(super) fn row(&self, row: u64, values: &[Option<String>], builder: &Builder, codes: &Codes) -> Row {
        let text = |place: Option<usize>| {
            let text = values.get(place?)?.as_deref()?;
            (!text.trim().is_empty()).then_some(text)
        };
        let invalid = |short_code: Option<&str>, reason: String| Row::Invalid {
            row,
            short_code: short_code.map(str::to_owned),
            reason: format!("the click {reason}"),
        };
        let code = match text(self.link_id) {
            Some(id) => match codes.get(id) {
                Some(code) => &**code,
                None => return invalid(None, format!("is of the link {}, which the file does not have", shorten(id))),
            },
            None => match text(self.code) {
                Some(code) => code,
                None => return invalid(None, "names no link".to_owned()),
            },
        };
        let at = match builder.moment(text(self.time).unwrap_or_default()) {
            Ok(Some(at)) => at,
            Ok(None) => return invalid(Some(code), "has no time".to_owned()),
            Err(reason) => return invalid(Some(code), format!("cannot be dated: {reason}")),
        };
        Row::Click(ImportedClick {
            row,
            short_code: code.to_owned(),
            at,
            referrer: text(self.referrer).filter(|text| *text != "direct").map(str::to_owned),
            user_agent: text(self.user_agent).map(str::to_owned),
            country: text(self.country).map(str::to_owned),
            address: text(self.address).and_then(|text| text.trim().parse().ok()),
        })
    }
}
