//! Marks: parts of user agents, each with its family. Within one table, the first mark that a user agent contains counts.
//!
//! A mark is in lower case. Unless it is in [`BOTS_ANYWHERE`], a mark that begins with a letter or digit counts only at the
//! start of a word.

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

/// Bots with a name.
pub(super) const BOTS: &[Mark] = &[
    // Previews in chats. Some of them name several others.
    ("line-poker", "Line"),
    ("kakaotalk-scrap", "KakaoTalk"),
    ("meta-externalagent", "Meta AI"),
    ("meta-externalfetcher", "Meta AI"),
    ("facebookbot", "Meta AI"),
    ("facebookexternalhit", "Facebook"),
    ("facebookcatalog", "Facebook"),
    ("facebot", "Facebook"),
    ("telegrambot", "Telegram"),
    ("twitterbot", "Twitter"),
    ("linkedinbot", "LinkedIn"),
    ("slackbot", "Slack"),
    ("slack-imgproxy", "Slack"),
    ("discordbot", "Discord"),
    ("whatsapp", "WhatsApp"),
    ("skypeuripreview", "Skype"),
    ("microsoftpreview", "Microsoft"),
    ("snap url preview", "Snapchat"),
    ("snapchatads", "Snapchat"),
    ("pinterestbot", "Pinterest"),
    ("pinterest/0.", "Pinterest"),
    ("redditbot", "Reddit"),
    ("vkshare", "VK"),
    ("bluesky cardyb", "Bluesky"),
    ("mastodon", "Mastodon"),
    ("synapse", "Matrix"),
    ("embedly", "Embedly"),
    ("iframely", "Iframely"),
    // Previews in mail.
    ("googleimageproxy", "Gmail"),
    ("yahoomailproxy", "Yahoo Mail"),
    ("ms-office", "Microsoft Office"),
    ("msoffice", "Microsoft Office"),
    ("microsoft office", "Microsoft Office"),
    ("microsoft outlook", "Microsoft Office"),
    // Monitors.
    ("uptimerobot", "UptimeRobot"),
    ("pingdom", "Pingdom"),
    ("statuscake", "StatusCake"),
    ("site24x7", "Site24x7"),
    ("better uptime", "Better Stack"),
    ("better stack", "Better Stack"),
    ("hetrixtools", "HetrixTools"),
    ("datadog", "Datadog"),
    ("newrelic", "New Relic"),
    ("googlestackdrivermonitoring", "Google Cloud"),
    ("check_http", "Nagios"),
    ("zabbix", "Zabbix"),
    ("blackbox exporter", "Prometheus"),
    ("blackbox-exporter", "Prometheus"),
    ("prometheus", "Prometheus"),
    ("updown.io", "updown.io"),
    ("uptime-kuma", "Uptime Kuma"),
    ("checkly", "Checkly"),
    ("kube-probe", "Kubernetes"),
    ("elb-healthchecker", "AWS"),
    ("amazon-route53", "AWS"),
    ("amazon cloudfront", "AWS"),
    ("cloudflare-", "Cloudflare"),
    ("jetmon", "Jetpack"),
    // Crawlers of language models.
    ("gptbot", "OpenAI"),
    ("chatgpt-user", "OpenAI"),
    ("oai-searchbot", "OpenAI"),
    ("claudebot", "Anthropic"),
    ("claude-", "Anthropic"),
    ("anthropic-ai", "Anthropic"),
    ("perplexity", "Perplexity"),
    ("ccbot", "Common Crawl"),
    ("bytespider", "ByteDance"),
    ("amazonbot", "Amazon"),
    ("diffbot", "Diffbot"),
    ("cohere-", "Cohere"),
    ("mistralai-user", "Mistral"),
    ("youbot", "You.com"),
    ("duckassistbot", "DuckDuckGo"),
    ("ai2bot", "Ai2"),
    // Search engines and other crawlers.
    ("googlebot", "Google"),
    ("google-", "Google"),
    ("googleother", "Google"),
    ("adsbot-google", "Google"),
    ("apis-google", "Google"),
    ("feedfetcher-google", "Google"),
    ("mediapartners-google", "Google"),
    ("storebot-google", "Google"),
    ("google page speed", "Google"),
    ("google favicon", "Google"),
    ("google web preview", "Google"),
    ("chrome-lighthouse", "Google"),
    ("bingbot", "Bing"),
    ("bingpreview", "Bing"),
    ("msnbot", "Bing"),
    ("adidxbot", "Bing"),
    ("yahoo! slurp", "Yahoo"),
    ("slurp", "Yahoo"),
    ("yandexbot", "Yandex"),
    ("yandeximages", "Yandex"),
    ("yandexmetrika", "Yandex"),
    ("yandexmobilebot", "Yandex"),
    ("baiduspider", "Baidu"),
    ("duckduckbot", "DuckDuckGo"),
    ("duckduckgo-favicons", "DuckDuckGo"),
    ("applebot", "Apple"),
    ("petalbot", "Petal"),
    ("sogou web spider", "Sogou"),
    ("360spider", "360"),
    ("seznambot", "Seznam"),
    ("qwant", "Qwant"),
    ("yeti/", "Naver"),
    ("mojeekbot", "Mojeek"),
    ("ia_archiver", "Internet Archive"),
    ("archive.org_bot", "Internet Archive"),
    ("ahrefs", "Ahrefs"),
    ("semrushbot", "Semrush"),
    ("mj12bot", "Majestic"),
    ("dotbot", "Moz"),
    ("rogerbot", "Moz"),
    ("screaming frog", "Screaming Frog"),
    ("feedly", "Feedly"),
    ("inoreader", "Inoreader"),
    ("newsblur", "NewsBlur"),
    ("miniflux", "Miniflux"),
    // Browsers without a person.
    ("headlesschrome", "Headless browser"),
    ("phantomjs", "Headless browser"),
    ("slimerjs", "Headless browser"),
    ("puppeteer", "Headless browser"),
    ("playwright", "Headless browser"),
    ("selenium", "Headless browser"),
    ("cypress/", "Headless browser"),
    ("jsdom/", "Headless browser"),
    ("htmlunit", "Headless browser"),
    ("prerender", "Headless browser"),
    // Programs and libraries.
    ("curl/", "curl"),
    ("libcurl", "curl"),
    ("wget", "Wget"),
    ("httpie/", "HTTPie"),
    ("postmanruntime/", "Postman"),
    ("insomnia/", "Insomnia"),
    ("python-", "Python"),
    ("python/", "Python"),
    ("aiohttp/", "Python"),
    ("scrapy", "Scrapy"),
    ("go-http-client", "Go"),
    ("colly", "Go"),
    ("okhttp", "OkHttp"),
    ("dalvik/", "Android app"),
    ("cfnetwork/", "Apple app"),
    ("java/", "Java"),
    ("apache-httpclient", "Java"),
    ("jakarta commons-httpclient", "Java"),
    ("axios/", "Node.js"),
    ("node-fetch", "Node.js"),
    ("undici", "Node.js"),
    ("got (", "Node.js"),
    ("ruby", "Ruby"),
    ("faraday", "Ruby"),
    ("libwww-perl", "Perl"),
    ("lwp::simple", "Perl"),
    ("php/", "PHP"),
    ("guzzlehttp", "PHP"),
    ("symfony httpclient", "PHP"),
    ("wordpress/", "WordPress"),
    ("windowspowershell/", "PowerShell"),
    ("powershell/", "PowerShell"),
    ("apachebench/", "Load generator"),
    ("k6/", "Load generator"),
    ("jmeter", "Load generator"),
    ("zgrab", "Scanner"),
    ("masscan", "Scanner"),
    ("nmap", "Scanner"),
    ("nikto", "Scanner"),
    ("sqlmap", "Scanner"),
    ("nuclei", "Scanner"),
    ("expanse", "Scanner"),
];

/// Bots without a name of their own here. These marks count within a word, too.
pub(super) const BOTS_ANYWHERE: &[Mark] = &[
    ("headless", "Headless browser"),
    ("preview", "Preview"),
    ("imageproxy", "Preview"),
    ("imgproxy", "Preview"),
    ("monitor", "Monitor"),
    ("uptime", "Monitor"),
    ("healthcheck", "Monitor"),
    ("health-check", "Monitor"),
    ("crawl", "Crawler"),
    ("spider", "Crawler"),
    ("scrap", "Crawler"),
    ("archiver", "Crawler"),
    ("httpclient", HTTP_LIBRARY),
    ("http-client", HTTP_LIBRARY),
    ("http_client", HTTP_LIBRARY),
    ("urllib", HTTP_LIBRARY),
    ("fetcher", BOT),
    ("checker", BOT),
    ("validator", BOT),
    ("scanner", BOT),
    (ANY_BOT, BOT),
    // People's browsers announce no page about themselves.
    ("http://", BOT),
    ("https://", BOT),
];

/// Most browsers also claim to be Chrome, Chrome claims to be Safari, and apps claim to be the browser that they contain.
pub(super) const BROWSERS: &[Mark] = &[
    ("fban/", "Facebook"),
    ("fbav/", "Facebook"),
    ("fb_iab/", "Facebook"),
    ("instagram", "Instagram"),
    ("micromessenger/", "WeChat"),
    ("line/", "Line"),
    ("kakaotalk", "KakaoTalk"),
    ("naver(", "Naver"),
    ("musical_ly", "TikTok"),
    ("bytedancewebview", "TikTok"),
    ("trill_", "TikTok"),
    ("snapchat", "Snapchat"),
    ("[pinterest/", "Pinterest"),
    ("pinterest for", "Pinterest"),
    ("linkedinapp", "LinkedIn"),
    ("twitter for", "Twitter"),
    ("twitterandroid", "Twitter"),
    ("reddit/", "Reddit"),
    ("telegram-android", "Telegram"),
    ("gsa/", "Google App"),
    ("electron/", "Electron"),
    ("duckduckgo/", "DuckDuckGo"),
    ("ddg/", "DuckDuckGo"),
    ("edg/", "Edge"),
    ("edga/", "Edge"),
    ("edgios/", "Edge"),
    ("edge/", "Edge"),
    ("opr/", "Opera"),
    ("opx/", "Opera"),
    ("opt/", "Opera"),
    ("opios/", "Opera"),
    ("opera", "Opera"),
    ("samsungbrowser/", "Samsung Internet"),
    ("yabrowser/", "Yandex Browser"),
    ("vivaldi/", "Vivaldi"),
    ("whale/", "Whale"),
    ("brave/", "Brave"),
    ("ucbrowser/", "UC Browser"),
    ("ubrowser/", "UC Browser"),
    ("ucweb/", "UC Browser"),
    ("mqqbrowser/", "QQ Browser"),
    ("qqbrowser/", "QQ Browser"),
    ("qq/", "QQ"),
    ("miuibrowser/", "Mi Browser"),
    ("huaweibrowser/", "Huawei Browser"),
    ("heytapbrowser/", "HeyTap Browser"),
    ("vivobrowser/", "vivo Browser"),
    ("coc_coc_browser/", "Coc Coc"),
    ("baiduboxapp/", "Baidu"),
    ("baidubrowser", "Baidu"),
    ("sogoumobilebrowser/", "Sogou"),
    ("metasr", "Sogou"),
    ("maxthon", "Maxthon"),
    ("puffin/", "Puffin"),
    ("silk/", "Silk"),
    ("palemoon/", "Pale Moon"),
    ("seamonkey/", "SeaMonkey"),
    ("waterfox/", "Waterfox"),
    ("thunderbird/", "Thunderbird"),
    ("firefox/", "Firefox"),
    ("fxios/", "Firefox"),
    ("focus/", "Firefox"),
    ("klar/", "Firefox"),
    ("konqueror/", "Konqueror"),
    ("epiphany/", "Epiphany"),
    ("msie ", "Internet Explorer"),
    ("trident/", "Internet Explorer"),
    ("iemobile/", "Internet Explorer"),
    ("; wv)", WEB_VIEW),
    ("crios/", "Chrome"),
    ("chrome/", "Chrome"),
    ("chromium/", "Chrome"),
    ("blackberry", "BlackBerry"),
    ("bb10;", "BlackBerry"),
    ("nokia", "Nokia"),
    ("safari/", SAFARI),
    ("lynx/", "Lynx"),
    ("w3m/", "w3m"),
    ("elinks/", "Links"),
    ("links (", "Links"),
    ("midp-", "Feature phone"),
];

pub(super) const SYSTEMS: &[Mark] = &[
    ("playstation", "PlayStation"),
    ("xbox", "Xbox"),
    ("nintendo", "Nintendo"),
    ("windows phone", "Windows Phone"),
    ("windows", "Windows"),
    ("win98", "Windows"),
    ("iphone", IOS),
    ("ipad", IOS),
    ("ipod", IOS),
    ("kaios", "KaiOS"),
    ("harmonyos", "HarmonyOS"),
    ("openharmony", "HarmonyOS"),
    ("tizen", "Tizen"),
    ("web0s", "webOS"),
    ("webos", "webOS"),
    ("android", ANDROID),
    ("adr ", ANDROID),
    ("cros ", "ChromeOS"),
    ("appletv", "tvOS"),
    ("macintosh", "macOS"),
    ("mac os x", "macOS"),
    ("mac_powerpc", "macOS"),
    ("freebsd", "BSD"),
    ("openbsd", "BSD"),
    ("netbsd", "BSD"),
    ("symbian", "Symbian"),
    ("series60", "Symbian"),
    ("blackberry", "BlackBerry"),
    ("bb10;", "BlackBerry"),
    ("midp-", "Java ME"),
    ("j2me", "Java ME"),
    ("linux", "Linux"),
    ("x11", "Linux"),
];

pub(super) const DEVICES: &[Mark] = &[
    ("smart-tv", TV),
    ("smarttv", TV),
    ("smart tv", TV),
    ("android tv", TV),
    ("googletv", TV),
    ("appletv", TV),
    ("hbbtv", TV),
    ("bravia", TV),
    ("; aft", TV),
    ("crkey/", TV),
    ("roku/", TV),
    ("web0s", TV),
    ("mitv", TV),
    ("playstation", CONSOLE),
    ("xbox", CONSOLE),
    ("nintendo", CONSOLE),
    ("ipad", TABLET),
    ("tablet;", TABLET),
    ("tablet)", TABLET),
    ("opera tablet", TABLET),
    ("playbook", TABLET),
    ("kindle", TABLET),
    ("iphone", MOBILE),
    ("ipod", MOBILE),
    ("mobile", MOBILE),
    ("windows phone", MOBILE),
    ("opera mini", MOBILE),
    ("opera mobi", MOBILE),
    ("ucweb/", MOBILE),
    ("kaios", MOBILE),
    ("midp-", MOBILE),
    ("blackberry", MOBILE),
    ("symbian", MOBILE),
    ("series60", MOBILE),
];

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
