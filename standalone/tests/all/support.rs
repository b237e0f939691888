//! A Tern process for each test: the real binary, in a directory and on ports of its own.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, Method, Response, redirect};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for any condition, for a machine that runs ten other things.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// Running `tern serve`, killed on drop.
pub struct Tern {
    pub directory: TempDir,
    /// Address from each announced line.
    pub api: String,
    pub fast: String,
    pub ops: String,
    /// Short code of the announced sample link, if there is one.
    pub announced_code: Option<String>,
    process: Child,
    client: Client,
}

/// Returns a `tern` command in `directory`, with an empty environment and ports of its own.
pub fn tern(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tern"));
    command.args(arguments).current_dir(directory).env_clear();
    command.env("APP_PORT", "0").env("REDIRECTOR_LISTEN", "127.0.0.1:0").env("REDIRECTOR_OPS_LISTEN", "127.0.0.1:0");
    command
}

/// Runs a command to its end; the returned standard error lacks the line that names the store.
pub fn run(command: &mut Command) -> Output {
    let mut output = run_whole(command);
    let error_output = text(&output.stderr);
    output.stderr =
        error_output.split_inclusive('\n').filter(|line| !line.starts_with("tern: store: ")).collect::<String>().into();
    output
}

/// Runs a command to its end.
pub fn run_whole(command: &mut Command) -> Output {
    command.output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Tern {
    pub fn start(arguments: &[&str]) -> Tern {
        Tern::start_in(tempfile::tempdir().unwrap(), arguments, &[])
    }

    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Tern {
        Tern::start_in(tempfile::tempdir().unwrap(), arguments, variables)
    }

    pub fn start_in(directory: TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Tern {
        let (tern, lines) = Tern::launch(directory, arguments, variables);
        // The rest is discarded; the pipe is read to its end, so that the process can go on logging.
        std::thread::spawn(move || lines.for_each(drop));
        tern
    }

    /// Starts a process whose standard error is closed once it is up.
    pub fn start_with_closed_stderr(arguments: &[&str]) -> Tern {
        Tern::launch(tempfile::tempdir().unwrap(), arguments, &[]).0
    }

    /// Starts a process that may open at most `descriptors` files.
    pub fn start_with_descriptors(descriptors: u32, arguments: &[&str]) -> Tern {
        let directory = tempfile::tempdir().unwrap();
        let program = tern(directory.path(), &[]);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" serve \"$@\"")).arg(program.get_program());
        command.args(arguments).current_dir(directory.path()).env_clear();
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let (tern, lines) = Tern::launch_command(directory, command, arguments);
        std::thread::spawn(move || lines.for_each(drop));
        tern
    }

    fn launch(
        directory: TempDir,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> (Tern, Lines<BufReader<ChildStderr>>) {
        let mut command = tern(directory.path(), &[&["serve"], arguments].concat());
        command.envs(variables.iter().copied());
        Tern::launch_command(directory, command, arguments)
    }

    fn launch_command(
        directory: TempDir,
        mut command: Command,
        arguments: &[&str],
    ) -> (Tern, Lines<BufReader<ChildStderr>>) {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut announced = |what: &str| {
            let line = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(&format!("tern: {what} ")));
            let line = line.unwrap_or_else(|| panic!("tern ended before it announced {what:?}"));
            let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
            (address, line)
        };
        let (ops, _) = announced("metrics");
        let (api, _) = announced("API");
        let (fast, _) = announced("short links");
        let announced_code = arguments.contains(&"--sample").then(|| {
            let (_, line) = announced("try a link");
            line.rsplit('/').next().unwrap().to_owned()
        });
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        (Tern { directory, api, fast, ops, announced_code, process, client }, lines)
    }

    pub async fn send(&self, method: Method, address: &str, path: &str) -> Response {
        self.client.request(method, format!("http://{address}{path}")).send().await.unwrap()
    }

    pub async fn get(&self, address: &str, path: &str) -> Response {
        self.send(Method::GET, address, path).await
    }

    pub async fn get_json(&self, path: &str) -> Value {
        self.get(&self.api, path).await.json().await.unwrap()
    }

    pub async fn get_as(&self, client: &str, address: &str, path: &str) -> Response {
        self.get_with(&[("x-forwarded-for", client)], address, path).await
    }

    pub async fn get_with(&self, fields: &[(&str, &str)], address: &str, path: &str) -> Response {
        self.send_with(Method::GET, fields, address, path).await
    }

    pub async fn send_with(&self, method: Method, fields: &[(&str, &str)], address: &str, path: &str) -> Response {
        let request = self.client.request(method, format!("http://{address}{path}"));
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    /// Follows a short code on one of the ports; returns the status and the location.
    pub async fn follow(&self, address: &str, code: &str) -> (u16, Option<String>) {
        let response = self.get(address, &format!("/{code}")).await;
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    }

    pub async fn create_user(&self, name: &str) -> i64 {
        let body = json!({"username": name, "email": format!("{name}@mail.example")});
        let response = self.client.post(format!("http://{}/users", self.api)).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response.json::<Value>().await.unwrap()["id"].as_i64().unwrap()
    }

    /// Creates a link and returns its row.
    pub async fn create_link(&self, owner: i64, target: &str) -> Value {
        let body = json!({"user_id": owner, "original_url": target});
        let response = self.client.post(format!("http://{}/urls", self.api)).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["tern-visible"], "1/1");
        response.json().await.unwrap()
    }

    pub async fn change_link(&self, id: &Value, change: Value) -> Response {
        self.client.put(format!("http://{}/urls/{id}", self.api)).json(&change).send().await.unwrap()
    }

    pub async fn delete_link(&self, id: &Value) -> Response {
        self.send(Method::DELETE, &self.api, &format!("/urls/{id}")).await
    }

    /// Returns the number of events of a type, from the list's total.
    pub async fn count_events(&self, event_type: &str) -> u64 {
        let response = self.get(&self.api, &format!("/events?event_type={event_type}&per_page=1")).await;
        response.headers()["x-total-count"].to_str().unwrap().parse().unwrap()
    }

    /// Counts the clicks of one link.
    pub async fn count_clicks(&self, link: u64) -> u64 {
        let path = format!("/events?event_type=clicked&url_id={link}&per_page=1");
        let response = self.get(&self.api, &path).await;
        response.headers()["x-total-count"].to_str().unwrap().parse().unwrap()
    }

    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.get(&self.ops, "/metrics").await.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
    }

    /// Returns the memory of the process that is in RAM and belongs to no file.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    /// Ends the process with `signal`; returns its status and its directory.
    pub fn end(mut self, signal: Signal) -> (ExitStatus, TempDir) {
        self.signal(signal);
        let status = self.process.wait().unwrap();
        (status, std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap()))
    }
}

impl Drop for Tern {
    fn drop(&mut self) {
        // Either call fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until `holds` returns true, for [`WAIT_LIMIT`] at most.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WAIT_LIMIT, "condition not met in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
