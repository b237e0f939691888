//! Classes of devices and names of browsers, by which the rules of a link choose its target.

use super::Visitor;
use super::marks::{ANDROID, ANDROID_BROWSER, BROWSERS, DESKTOP, IOS, MOBILE, TABLET};
use super::names::OTHER;

/// The classes of devices. A device may be in several.
pub const DEVICE_CLASSES: [&str; 7] = ["ios", "android", "mobile", "desktop", "windows", "macos", "linux"];

impl Visitor {
    /// Returns whether the device is in a class of [`DEVICE_CLASSES`]. A tablet is mobile; a bot is in no class.
    pub fn is_on(&self, class: &[u8]) -> bool {
        match class {
            b"ios" => self.system == IOS,
            b"android" => self.system == ANDROID,
            b"mobile" => [MOBILE, TABLET].contains(&self.device),
            b"desktop" => self.device == DESKTOP,
            b"windows" => self.system == "Windows",
            b"macos" => self.system == "macOS",
            b"linux" => self.system == "Linux",
            _ => false,
        }
    }
}

impl Visitor {
    /// Returns a person of whom only the class of the device is known. `None` for a class that is not in [`DEVICE_CLASSES`].
    pub fn on(class: &str) -> Option<Visitor> {
        let (system, device) = match class {
            "ios" => (IOS, MOBILE),
            "android" => (ANDROID, MOBILE),
            "mobile" => (OTHER, MOBILE),
            "desktop" => (OTHER, DESKTOP),
            "windows" => ("Windows", DESKTOP),
            "macos" => ("macOS", DESKTOP),
            "linux" => ("Linux", DESKTOP),
            _ => return None,
        };
        Some(Visitor { system, device, ..Visitor::UNKNOWN })
    }
}

/// Returns the names of all browsers in alphabetical order.
pub fn browsers() -> Vec<&'static str> {
    let mut names: Vec<_> = BROWSERS.iter().map(|(_, family)| *family).chain([ANDROID_BROWSER]).collect();
    names.sort_unstable_by_key(|name| name.to_ascii_lowercase());
    names.dedup();
    names
}

/// Returns the browser with a name in any case.
pub fn browser_named(name: &str) -> Option<&'static str> {
    let mut families = BROWSERS.iter().map(|(_, family)| *family).chain([ANDROID_BROWSER]);
    families.find(|family| family.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::marks;

    #[test]
    fn device_is_in_the_classes_of_its_system_and_of_its_form() {
        let classes = |user_agent: &str| {
            let visitor = Visitor::of_user_agent(user_agent.as_bytes());
            DEVICE_CLASSES.into_iter().filter(|class| visitor.is_on(class.as_bytes())).collect::<Vec<_>>()
        };
        let mozilla = |system: &str, rest: &str| format!("Mozilla/5.0 ({system}) {rest}");
        let safari = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
        let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0";
        assert_eq!(classes(&mozilla("iPhone; CPU iPhone OS 17_5 like Mac OS X", safari)), ["ios", "mobile"]);
        assert_eq!(classes(&mozilla("iPad; CPU OS 12_5 like Mac OS X", safari)), ["ios", "mobile"]);
        let (phone, tablet) = (format!("{chrome} Mobile Safari/537.36"), format!("{chrome} Safari/537.36"));
        assert_eq!(classes(&mozilla("Linux; Android 14; Pixel 8", &phone)), ["android", "mobile"]);
        assert_eq!(classes(&mozilla("Linux; Android 14; SM-X710", &tablet)), ["android", "mobile"]);
        assert_eq!(classes(&mozilla("Linux; Android 12; BRAVIA 4K", &tablet)), ["android"]);
        assert_eq!(classes(&mozilla("Windows NT 10.0; Win64; x64", &tablet)), ["desktop", "windows"]);
        assert_eq!(classes(&mozilla("Macintosh; Intel Mac OS X 10_15_7", &tablet)), ["desktop", "macos"]);
        assert_eq!(classes(&mozilla("X11; Linux x86_64", &tablet)), ["desktop", "linux"]);
        assert_eq!(classes(&mozilla("X11; CrOS x86_64 14541.0.0", &tablet)), ["desktop"]);
        for without in ["", "curl/8", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Googlebot/2.1"] {
            assert!(classes(without).is_empty(), "{without}");
        }
    }

    #[test]
    fn visitor_on_a_class_is_in_it() {
        for class in DEVICE_CLASSES {
            assert!(Visitor::on(class).unwrap().is_on(class.as_bytes()), "{class}");
        }
        assert_eq!(Visitor::on("IOS"), None);
    }

    #[test]
    fn browser_is_found_by_its_name_in_any_case() {
        let names = browsers();
        assert!(names.is_sorted_by_key(|name| name.to_ascii_lowercase()) && names.contains(&"Samsung Internet"));
        for name in &names {
            assert_eq!(browser_named(&name.to_ascii_uppercase()), Some(*name));
            assert_eq!(marks::browser(name), *name);
        }
        for unknown in ["", "Netscape", "Bot", "Other", "Unknown", "Firefox "] {
            assert_eq!(browser_named(unknown), None, "{unknown}");
        }
    }
}
