//! User agents and languages of clients: each has a visitor from closed lists, whose text is read unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tern_common::Visitor;
use tern_common::visitor::{BOT, MAX_TEXT, Signs, primary_subtag};

fuzz_target!(|bytes: &[u8]| {
    // A byte of flags, the languages, a line end, the user agent.
    let Some((flags, rest)) = bytes.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (languages, user_agent) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let language = primary_subtag(languages);
    let visitor =
        Visitor::of_request(&Signs { user_agent, is_prefetch: flags & 1 == 1, language, country: [*flags, b'E'] });
    assert_eq!(Visitor::parse(&visitor.to_string()), visitor);
    assert_eq!(visitor.write(&mut [0; MAX_TEXT]), visitor.to_string().as_bytes());

    let outside = Visitor::of_user_agent(user_agent);
    assert_eq!(Visitor::of_user_agent(&user_agent.to_ascii_uppercase()), outside);
    assert_eq!(outside.bot.is_some(), [outside.browser, outside.system, outside.device] == [BOT; 3], "{outside}");
    if let Ok(text) = std::str::from_utf8(user_agent) {
        let read = Visitor::parse(text);
        assert_eq!(Visitor::parse(&read.to_string()), read);
    }
});
