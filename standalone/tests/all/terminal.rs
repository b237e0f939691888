//! Output on a terminal, which `script` provides.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::tern;

/// `tern serve` on a terminal of its own, killed on drop.
struct Terminal {
    script: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    fn start(directory: &Path, variables: &[(&str, &str)], command: &str) -> Terminal {
        let ours = tern(directory, &[]);
        let mut script = Command::new("/usr/bin/script");
        let command = command.replace("tern", ours.get_program().to_str().unwrap());
        script.args(["-q", "-e", "-c", &command, "/dev/null"]).current_dir(directory).env_clear();
        script.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("SHELL", "/bin/sh").env("TERM", "xterm").envs(variables.iter().copied());
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (mut output, copy) = (script.stdout.take().unwrap(), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut part) {
                copy.lock().unwrap().extend_from_slice(&part[..len]);
            }
        });
        Terminal { script, shown, reader: Some(reader) }
    }

    fn shown(&self) -> String {
        String::from_utf8(self.shown.lock().unwrap().clone()).unwrap().replace('\r', "")
    }

    async fn wait_for(&self, text: &str) -> String {
        let started = Instant::now();
        while !self.shown().contains(text) {
            assert!(started.elapsed() < Duration::from_secs(30), "no {text:?} in\n{}", self.shown());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.shown()
    }

    /// Returns the address in the announced line of `what`.
    async fn address(&self, what: &str) -> String {
        let shown = self.wait_for("short links ").await;
        let line = shown.lines().find(|line| line.trim_start().starts_with(what)).unwrap_or_else(|| panic!("{shown}"));
        line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
    }

    /// Presses Ctrl-C and returns the whole output.
    fn interrupt(mut self) -> String {
        self.script.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
        assert!(self.script.wait().unwrap().success(), "{}", self.shown());
        self.reader.take().unwrap().join().unwrap();
        self.shown()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Either call fails only if the process has already ended.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[tokio::test]
async fn terminal_shows_addresses_and_one_line_for_each_request() {
    let directory = tempfile::tempdir().unwrap();
    let terminal = Terminal::start(directory.path(), &[("NO_COLOR", "1")], "exec tern serve");
    let api = terminal.address("API").await;
    let client = reqwest::Client::new();
    for path in ["/users", "/users/7", "/a%1b%5b31mb"] {
        client.get(format!("http://{api}{path}")).send().await.unwrap();
    }
    terminal.wait_for("404 GET /a").await;
    let shown = terminal.interrupt();
    for what in ["  API ", "  docs ", "  short links ", "  metrics ", "  store "] {
        assert_eq!(shown.lines().filter(|line| line.starts_with(what)).count(), 1, "{what} in\n{shown}");
    }
    let store = directory.path().canonicalize().unwrap().join("data/tern.db");
    assert!(shown.contains(&format!("{} (new)\n", store.display())), "{shown}");
    for (request, level) in [("200 GET /users ", "INFO"), ("404 GET /users/7 ", "WARNING"), ("404 GET /a", "WARNING")] {
        let lines: Vec<&str> = shown.lines().filter(|line| line.contains(request)).collect();
        assert!(lines.len() == 1 && lines[0].contains(level) && lines[0].ends_with(" ms"), "{lines:?}");
    }
    assert!(!shown.contains(['\x1b', '{']), "{shown:?}");
    assert!(shown.contains("^C\ntern: SIGINT: finishing requests in progress.\n"), "{shown:?}");
    assert_eq!(shown.matches("open to every program on this machine").count(), 1, "{shown}");
    assert_eq!(shown.to_lowercase().matches("drained").count(), 1, "{shown}");
    // The file has both entries of each request, as JSON.
    let log = std::fs::read_to_string(directory.path().join("logs/app.log")).unwrap();
    let entries: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |message: &str| entries.iter().filter(|entry| entry["message"] == message).count();
    assert_eq!([of("request started"), of("request finished"), of("drained")], [3, 3, 1]);
}

#[tokio::test]
async fn log_on_a_terminal_is_coloured_unless_configured_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let shown = async |variables: &[(&str, &str)], command: &str| {
        let terminal = Terminal::start(directory.path(), variables, command);
        let url = format!("http://{}/health", terminal.address("API").await);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
        terminal.interrupt()
    };
    let coloured = shown(&[], "exec tern serve").await;
    assert!(coloured.contains("\x1b[32m200\x1b[0m GET /health"), "{coloured:?}");
    let json = shown(&[("LOG_FORMAT", "json")], "exec tern serve").await;
    assert!(json.contains("\"path\":\"/health\"") && !json.contains('\x1b'), "{json:?}");
    let dumb = shown(&[("TERM", "dumb")], "exec tern serve").await;
    assert!(dumb.contains("200 GET /health") && !dumb.contains('\x1b'), "{dumb:?}");
    // Standard error stays on the terminal.
    let file = directory.path().join("output");
    let rest = shown(&[], "exec tern serve >output").await;
    assert!(!rest.contains("/health"), "{rest:?}");
    let output = std::fs::read_to_string(&file).unwrap();
    assert!(output.contains("/health") && output.lines().all(|line| line.starts_with("{\"timestamp\":")), "{output}");
    shown(&[("LOG_FORMAT", "text")], "exec tern serve >output").await;
    let output = std::fs::read_to_string(&file).unwrap();
    assert!(output.contains("INFO    200 GET /health") && !output.contains('\x1b'), "{output}");
}
