//! Commands that change links: `add`, `edit` and `rm`.

use clap::Args;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::api::{Api, Parameters};
use crate::failure::{Failure, Kind};
use crate::fields::Fields;
use crate::link::Link;
use crate::output::{Output, confirm, grouped, printable};

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Address to which the link leads
    url: String,
    /// Short code of the link; a random one unless given
    #[arg(short, long, value_name = "CODE")]
    code: Option<String>,
    /// Id of the user to whom the link belongs; the token's user, or the only user there is, unless given
    #[arg(short, long, value_name = "ID")]
    user: Option<u64>,
    /// Answer an existing link of the user to the same target, with the same options
    #[arg(long)]
    reuse: bool,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Short code or short URL of the link
    code: String,
    /// Address to which the link leads from now on
    #[arg(short = 'l', long, value_name = "URL")]
    url: Option<String>,
    /// Tag to add to the others, once for each
    #[arg(long, value_name = "TAG", conflicts_with = "tags")]
    add_tag: Vec<String>,
    /// Tag to remove, once for each
    #[arg(long, value_name = "TAG", conflicts_with = "tags")]
    remove_tag: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Short codes or short URLs of the links
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

impl Add {
    pub(crate) fn run(&self, api: &Api<'_>, output: &mut Output) -> Result<(), Failure> {
        let owner = self.user.map_or_else(|| find_owner(api), Ok)?;
        let mut body = Map::new();
        body.insert("user_id".to_owned(), json!(owner));
        body.insert("original_url".to_owned(), json!(self.url));
        body.extend(self.code.as_ref().map(|code| ("short_code".to_owned(), json!(code))));
        self.fields.write(&mut body);
        let mut parameters = Parameters::default();
        if self.reuse {
            parameters.add("reuse", true);
        }
        let answer = api.send(Method::POST, &parameters.path("/urls"), Some(&Value::Object(body)))?;
        Link::of(api, &answer)?.write(output)
    }
}

/// Returns the only user that the token sees.
fn find_owner(api: &Api<'_>) -> Result<u64, Failure> {
    let users = api.read(&api.get("/users?per_page=2")?)?;
    match users.as_array().ok_or_else(|| api.not_tern())?.as_slice() {
        [user] => user["id"].as_u64().ok_or_else(|| api.not_tern()),
        [] => Err(Failure::new(
            Kind::Refused,
            "the server has no user to whom the link could belong; create one first (POST /users, or the dashboard)",
        )),
        _ => Err(Failure::new(
            Kind::Refused,
            "the server has several users; name the one to whom the link belongs with --user ID (GET /users lists them)",
        )),
    }
}

impl Edit {
    pub(crate) fn run(&self, api: &Api<'_>, output: &mut Output) -> Result<(), Failure> {
        let mut body = Map::new();
        body.extend(self.url.as_ref().map(|url| ("original_url".to_owned(), json!(url))));
        for (name, tags) in [("add_tags", &self.add_tag), ("remove_tags", &self.remove_tag)] {
            if !tags.is_empty() {
                body.insert(name.to_owned(), json!(tags));
            }
        }
        self.fields.write(&mut body);
        let link = Link::find(api, &self.code)?;
        let answer = api.send(Method::PATCH, &link.path(), Some(&Value::Object(body)))?;
        Link::of(api, &answer)?.write(output)
    }
}

impl Remove {
    pub(crate) fn run(&self, api: &Api<'_>, output: &mut Output) -> Result<(), Failure> {
        // An unknown code is found before anything is deleted.
        let links = self.codes.iter().map(|code| Link::find(api, code)).collect::<Result<Vec<_>, _>>()?;
        if !self.yes && !confirm(&question(&links))? {
            return Err(Failure::new(Kind::Other, "nothing was deleted"));
        }
        for link in &links {
            api.send(Method::DELETE, &link.path(), None)?;
            if !output.is_json {
                let deleted = if output.width.is_some() { "Deleted " } else { "" };
                output.line(&format!("{deleted}{}", printable(link.short_url())))?;
                output.finish()?;
            }
        }
        if output.is_json {
            let rows: Vec<&Value> = links.iter().map(|link| &link.row).collect();
            output.line(&json!(rows).to_string())?;
        }
        output.finish()
    }
}

fn question(links: &[Link]) -> String {
    let clicks: u64 = links.iter().map(|link| link.number("clicks")).sum();
    let what = match links {
        [link] => format!("{} ({})", link.short_url(), link.text("original_url")),
        links => format!("{} links", grouped(links.len() as u64)),
    };
    let clicks = if clicks == 1 { "1 click".to_owned() } else { format!("{} clicks", grouped(clicks)) };
    format!("Delete {}, with {clicks} of people?", printable(&what))
}
