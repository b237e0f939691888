//! Marks: parts of user agents, each with its family. Within one table, the first mark that a user agent contains counts.
//!
//! A mark is in lower case. Unless it is in [`BOTS_ANYWHERE`], a mark that begins with a letter or digit counts only at the
//! start of a word.
//!
//! ```text
//! bots        previews, monitors, crawlers, libraries
//! browsers    browsers and apps
//! platforms   systems and devices
//! ```

mod bots;
mod browsers;
mod platforms;

pub(super) use self::bots::{BOTS, BOTS_ANYWHERE, PREVIEWS};
pub(super) use self::browsers::BROWSERS;
pub(super) use self::platforms::{DEVICES, SYSTEMS};
use super::names::{BOT, NO_USER_AGENT, OTHER, PREFETCH, UNKNOWN};

/// The family of programs that request pages through a library and announce nothing else.
pub(super) const HTTP_LIBRARY: &str = "HTTP library";

/// The mark of most bots. Names that contain it by chance are excluded, see [`super::user_agent`].
pub(super) const ANY_BOT: &str = "bot";

/// A browser of Android that names only Safari.
pub(super) const ANDROID_BROWSER: &str = "Android Browser";

/// A page that an app shows by itself.
pub(super) const WEB_VIEW: &str = "WebView";

pub(super) const ANDROID: &str = "Android";
pub(super) const IOS: &str = "iOS";
pub(super) const SAFARI: &str = "Safari";

pub(super) const DESKTOP: &str = "desktop";
pub(super) const MOBILE: &str = "mobile";
pub(super) const TABLET: &str = "tablet";
const TV: &str = "tv";
const CONSOLE: &str = "console";

/// A mark and its family.
pub(super) type Mark = (&'static str, &'static str);

/// Returns the family of bots of this name; [`OTHER`] if there is none.
pub(super) fn bot(name: &str) -> &'static str {
    [PREFETCH, NO_USER_AGENT, HTTP_LIBRARY]
        .into_iter()
        .find(|family| *family == name)
        .unwrap_or_else(|| named(BOTS, name).or_else(|| named(BOTS_ANYWHERE, name)).unwrap_or(OTHER))
}

/// Returns the browser of this name; [`OTHER`] if there is none.
pub(super) fn browser(name: &str) -> &'static str {
    general(name, &[ANDROID_BROWSER]).or_else(|| named(BROWSERS, name)).unwrap_or(OTHER)
}

/// Returns the system of this name; [`OTHER`] if there is none.
pub(super) fn system(name: &str) -> &'static str {
    general(name, &[]).or_else(|| named(SYSTEMS, name)).unwrap_or(OTHER)
}

/// Returns the device of this name; [`OTHER`] if there is none.
pub(super) fn device(name: &str) -> &'static str {
    general(name, &[DESKTOP]).or_else(|| named(DEVICES, name)).unwrap_or(OTHER)
}

fn named(marks: &[Mark], name: &str) -> Option<&'static str> {
    marks.iter().map(|(_, family)| *family).find(|family| *family == name)
}

fn general(name: &str, further: &[&'static str]) -> Option<&'static str> {
    [UNKNOWN, BOT].iter().chain(further).copied().find(|general| *general == name)
}
