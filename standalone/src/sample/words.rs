//! The words, hosts and visitors of which a sample is made.

pub(super) const ADJECTIVES: [&str; 20] = [
    "amber", "brisk", "calm", "coastal", "crisp", "distant", "early", "gentle", "grey", "keen", "light", "long",
    "narrow", "northern", "quiet", "rapid", "silver", "steady", "tidal", "wide",
];
pub(super) const NOUNS: [&str; 20] = [
    "bay", "beacon", "breeze", "channel", "cliff", "colony", "current", "dune", "feather", "harbour", "island",
    "lagoon", "marsh", "meadow", "reef", "ridge", "shore", "strait", "tide", "wing",
];
pub(super) const TAGS: [&str; 8] = ["autumn", "docs", "event", "newsletter", "partner", "print", "social", "support"];
pub(super) const TITLES: [&str; 8] =
    ["Campaign", "Changelog", "Guide", "Invitation", "Launch", "Offer", "Report", "Status"];

/// Host names that are reserved for examples (RFC 2606), so that sample links load no real site.
pub(super) const HOSTS: [&str; 5] =
    ["example.com", "example.net", "example.org", "www.example.com", "docs.example.org"];

/// User agents of the sample's clicks, people's first.
pub(super) const USER_AGENTS: [&str; 9] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "curl/8.14.1",
];
pub(super) const REFERRERS: [&str; 5] = [
    "https://news.example/today",
    "https://www.example.org/",
    "https://search.example/?q=tern",
    "https://forum.example.net/thread/7",
    "https://mail.example.com/",
];

pub(super) const LANGUAGES: [&str; 6] = ["en-US", "en-GB", "de", "fr", "es", "nl"];
pub(super) const COUNTRIES: [&str; 8] = ["US", "GB", "DE", "FR", "IN", "ES", "NL", "BR"];
