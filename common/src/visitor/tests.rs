//! Tests of visitors, with a table of user agents.

use proptest::prelude::*;

use super::*;

/// User agents, each after the start of its text form: browser, system, device and bot.
const USER_AGENTS: &str = include_str!("user_agents.tsv");

fn user_agents() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = USER_AGENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('\t').expect("a tab is between the families and the user agent"))
}

#[test]
fn previews_are_prefetches_and_agents_of_chats_mail_and_social_networks() {
    let check = |user_agent: &str, is_prefetch: bool, expected: bool| {
        let signs = Signs { user_agent: user_agent.as_bytes(), is_prefetch, ..Signs::default() };
        assert_eq!(Visitor::of_request(&signs).is_preview(), expected, "{user_agent} {is_prefetch}");
    };
    for agent in [
        "facebookexternalhit/1.1",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "WhatsApp/2.23.20.0",
        "TelegramBot (like TwitterBot)",
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0)",
        "Mozilla/5.0 SkypeUriPreview Preview/0.5",
    ] {
        check(agent, false, true);
    }
    let person = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
    check(person, true, true);
    for other in [person, "", "curl/8.5.0", "python-requests/2.32", "Googlebot/2.1", "UptimeRobot/2.0", "GPTBot/1.2"] {
        check(other, false, false);
    }
    for family in marks::PREVIEWS {
        assert_eq!(marks::bot(family), *family, "a family that no mark has");
    }
}

#[test]
fn user_agent_has_the_families_of_the_table() {
    let families = |agent: &str| {
        let Visitor { bot, browser, system, device, .. } = Visitor::of_user_agent(agent.as_bytes());
        bot.map_or_else(|| format!("{browser}|{system}|{device}"), |bot| format!("bot {bot}"))
    };
    let wrong: Vec<_> = user_agents()
        .filter(|(expected, agent)| families(agent) != *expected)
        .map(|(expected, agent)| format!("{agent}\n    is      {}\n    must be {expected}", families(agent)))
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(user_agents().count() >= 200, "{}", user_agents().count());
}

#[test]
fn prefetch_comes_before_every_other_sign_of_a_bot() {
    let of = |user_agent: &[u8], is_prefetch| {
        Visitor::of_request(&Signs { user_agent, is_prefetch, language: *b"de\0", country: *b"DE" })
    };
    let firefox = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    assert_eq!(of(firefox, false).to_string(), "Firefox|Linux|desktop|de|DE|");
    assert_eq!(of(firefox, true).to_string(), "Firefox|Linux|desktop|de|DE|Prefetch");
    assert_eq!(of(b"curl/8", true).bot, Some(PREFETCH));
    assert_eq!(of(b"", true).bot, Some(PREFETCH));
    assert_eq!(of(b" \t", false).to_string(), "Unknown|Unknown|Unknown|de|DE|No user agent");
    assert_eq!(of(b"curl/8", false).to_string(), "Bot|Bot|Bot|de|DE|curl");
}

#[test]
fn event_from_outside_without_a_user_agent_is_a_persons() {
    assert_eq!(Visitor::of_user_agent(b""), Visitor::UNKNOWN);
    assert_eq!(Visitor::UNKNOWN.as_bot("Slack").bot, Some("Slack"));
    assert_eq!(Visitor::UNKNOWN.as_bot("never heard of").bot, Some(OTHER));
}

#[test]
fn text_of_a_visitor_is_read_unchanged() {
    let signs = |user_agent, is_prefetch| Signs { user_agent, is_prefetch, language: *b"fil", country: *b"PH" };
    for (_, agent) in user_agents() {
        for is_prefetch in [false, true] {
            let visitor = Visitor::of_request(&signs(agent.as_bytes(), is_prefetch));
            assert_eq!(Visitor::parse(&visitor.to_string()), visitor, "{visitor}");
        }
    }
    assert_eq!(Visitor::parse(&Visitor::UNKNOWN.to_string()), Visitor::UNKNOWN);
}

#[test]
fn unknown_names_in_a_text_become_other_and_missing_ones_unknown() {
    let parsed = |text: &str| Visitor::parse(text).to_string();
    assert_eq!(parsed(""), "Unknown|Unknown|Unknown|Unknown|Unknown|");
    assert_eq!(parsed("Firefox"), "Firefox|Unknown|Unknown|Unknown|Unknown|");
    assert_eq!(parsed("a|b|c|d|e|f"), "Other|Other|Other|Other|Unknown|Other");
    assert_eq!(parsed("Firefox|Linux|desktop|en|DE|Slack|more"), "Firefox|Linux|desktop|en|DE|Slack");
    assert_eq!(parsed("Other|Other|Other|Other|Other|Other"), "Other|Other|Other|Other|Other|Other");
}

/// Returns the longest name of a column in all tables.
fn longest(tables: &[&[marks::Mark]]) -> usize {
    tables.iter().flat_map(|marks| marks.iter()).map(|(_, family)| family.len()).max().unwrap_or_default()
}

#[test]
fn longest_text_fits_its_buffer() {
    let general = [UNKNOWN, NO_USER_AGENT, marks::ANDROID_BROWSER].map(str::len).into_iter().max().unwrap();
    let columns = [
        longest(&[marks::BROWSERS]).max(general),
        longest(&[marks::SYSTEMS]).max(general),
        longest(&[marks::DEVICES]).max(general),
        general,
        general,
        longest(&[marks::BOTS, marks::BOTS_ANYWHERE]).max(general),
    ];
    assert!(columns.iter().sum::<usize>() + columns.len() <= MAX_TEXT, "{columns:?}");
    let visitor = Visitor::of_user_agent(b"curl/8");
    assert_eq!(visitor.write(&mut [0; MAX_TEXT]), visitor.to_string().as_bytes());
}

#[test]
fn marks_are_in_lower_case_and_names_have_no_separator() {
    let tables = [marks::BOTS, marks::BOTS_ANYWHERE, marks::BROWSERS, marks::SYSTEMS, marks::DEVICES];
    for (mark, family) in tables.into_iter().flatten() {
        assert_eq!(*mark, mark.to_ascii_lowercase());
        assert!(!family.is_empty() && !family.contains(SEPARATOR), "{family}");
    }
}

/// Builds user agents of marks and of what stands between them.
fn user_agents_of_marks() -> impl Strategy<Value = String> {
    let tables = [marks::BOTS, marks::BOTS_ANYWHERE, marks::BROWSERS, marks::SYSTEMS, marks::DEVICES];
    let marks: Vec<&str> = tables.into_iter().flatten().map(|(mark, _)| *mark).collect();
    let part = prop_oneof![
        4 => proptest::sample::select(marks),
        2 => proptest::sample::select(vec![" ", "/", "; ", "(", ")", ".", "1", "x", "cu", "ab", "m ", "s", "Mozilla/5.0 "]),
        1 => Just("\u{e9}"),
    ];
    proptest::collection::vec(part, 1..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn families_of_marks_do_not_depend_on_case_and_a_bot_has_no_browser(agent in user_agents_of_marks()) {
        let visitor = Visitor::of_user_agent(agent.as_bytes());
        prop_assert_eq!(Visitor::of_user_agent(agent.to_ascii_uppercase().as_bytes()), visitor);
        prop_assert_eq!(Visitor::of_user_agent(agent.to_ascii_lowercase().as_bytes()), visitor);
        let Visitor { browser, system, device, .. } = visitor;
        let families = [browser, system, device];
        prop_assert_eq!(visitor.bot.is_some(), families == [BOT; 3], "{}", visitor);
        prop_assert!(visitor.bot.is_some() || !families.contains(&BOT), "{}", visitor);
    }

    #[test]
    fn bytes_behind_the_searched_ones_change_no_family(agent in user_agents_of_marks(), more in user_agents_of_marks()) {
        let long = format!("{agent}{}", "-".repeat(512));
        let longer = format!("{long}{more}");
        prop_assert_eq!(Visitor::of_user_agent(longer.as_bytes()), Visitor::of_user_agent(long.as_bytes()));
    }

    #[test]
    fn visitor_of_any_bytes_has_a_text_that_is_read_unchanged(
        user_agent in proptest::collection::vec(any::<u8>(), 0..700),
        is_prefetch: bool,
        language: [u8; 3],
        country: [u8; 2],
    ) {
        let visitor = Visitor::of_request(&Signs { user_agent: &user_agent, is_prefetch, language, country });
        prop_assert_eq!(Visitor::parse(&visitor.to_string()), visitor);
        prop_assert!(visitor.write(&mut [0; MAX_TEXT]) == visitor.to_string().as_bytes());
    }

    #[test]
    fn any_text_is_read_as_a_visitor(text in "\\PC{0,80}") {
        let visitor = Visitor::parse(&text);
        prop_assert_eq!(Visitor::parse(&visitor.to_string()), visitor);
    }
}
