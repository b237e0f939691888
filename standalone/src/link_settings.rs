//! The settings of `tern link`: the server, and a token for it.

use tern_admin::AdminConfig;
use tern_client::Server;
use tern_common::config::{InvalidConfig, Reader, Setting, Variables};
use tern_common::probe::reachable;

/// A token as a header can carry it.
struct ApiToken(String);

impl Setting for ApiToken {
    const EXPECTED: &'static str = "a token such as tern_...";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<ApiToken> {
        text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| ApiToken(text.to_owned()))
    }
}

/// Reads the server that `TERN_URL` names; without it, the one that `tern serve` starts with these settings.
pub fn read(variables: &Variables) -> Result<Server, InvalidConfig> {
    let mut reader = Reader::new(variables);
    let token: Option<ApiToken> = reader.find_secret("TERN_TOKEN", "TERN_TOKEN_FILE");
    let local = format!("http://{}", reachable(AdminConfig::read_listen(&mut reader)));
    let url = reader.find::<String>("TERN_URL").unwrap_or(local);
    let server = Server::new(&url, token.map(|ApiToken(token)| token));
    if let Err(problem) = &server {
        reader.reject("TERN_URL", format!("{problem}, got {url:?}"));
    }
    reader.finish_some(server.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_the_local_one_unless_it_is_named() {
        let check = |pairs: &[(&str, &str)], expected: Result<(&str, Option<&str>), &str>| {
            let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let expected = expected.map(|(url, token)| Server::new(url, token.map(str::to_owned)).unwrap());
            match (read(&variables), expected) {
                (Ok(server), Ok(expected)) => assert_eq!(server, expected, "{pairs:?}"),
                (Err(problems), Err(expected)) => assert!(problems.to_string().contains(expected), "{problems}"),
                (got, expected) => panic!("{pairs:?}: {got:?}, expected {expected:?}"),
            }
        };
        check(&[], Ok(("http://127.0.0.1:8000", None)));
        check(&[("APP_PORT", "8001")], Ok(("http://127.0.0.1:8001", None)));
        check(&[("ADMIN_LISTEN", "0.0.0.0:80"), ("TERN_TOKEN", "tern_x")], Ok(("http://127.0.0.1:80", Some("tern_x"))));
        check(&[("ADMIN_LISTEN", "[::]:80")], Ok(("http://[::1]:80", None)));
        check(&[("TERN_URL", "https://go.example/"), ("APP_PORT", "1")], Ok(("https://go.example", None)));
        check(&[("TERN_URL", "go.example")], Err("TERN_URL: expected the address of a server"));
        check(&[("TERN_TOKEN", "tern x")], Err("TERN_TOKEN: expected a token such as tern_..."));
        check(&[("TERN_TOKEN_FILE", "/nowhere")], Err("TERN_TOKEN_FILE: /nowhere cannot be read"));
    }
}
