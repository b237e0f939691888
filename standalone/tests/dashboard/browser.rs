//! A browser for each test: Debian's Chromium, driven by its own chromedriver.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tern_testkit::server::{Process, free_port, program};
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::{DesiredCapabilities, WebDriver};

use crate::support::eventually;

/// Longest wait for anything on a page, for a machine that runs ten other things.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// The checker of accessibility.
static AXE: LazyLock<String> = LazyLock::new(|| {
    let path = target().join("dashboard-tools/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; install it with: make dashboard-tools", path.display()))
});

/// A browser with one page, killed on drop.
pub struct Browser {
    driver: WebDriver,
    _chromedriver: Process,
    /// Chromium itself, whose other processes end with it.
    chromium: Pid,
}

pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target")
}

impl Browser {
    /// Starts a browser and opens an address.
    pub async fn open(address: &str) -> Browser {
        let chromium = program(&["/usr/bin/chromium"], "chromium");
        let chromedriver = program(&["/usr/bin/chromedriver"], "chromium-driver");
        let port = free_port();
        let chromedriver = tern_testkit::child::start(chromedriver.to_str().unwrap(), &[format!("--port={port}")]);
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(chromium.to_str().unwrap()).unwrap();
        // Root may not use the sandbox, and containers have little shared memory.
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-GB"] {
            capabilities.add_arg(argument).unwrap();
        }
        let server = format!("http://127.0.0.1:{port}");
        // A request for a session that arrives while chromedriver starts may never be answered.
        eventually("chromedriver is ready", async || {
            let status = reqwest::get(format!("{server}/status")).await;
            status.is_ok_and(|status| status.status().is_success())
        })
        .await;
        let driver = WebDriver::new(&server, capabilities).await.unwrap();
        let id = driver.handle().capabilities().get("goog:processID").and_then(Value::as_i64).unwrap();
        let chromium = Pid::from_raw(id.try_into().unwrap());
        let browser = Browser { driver, chromium, _chromedriver: chromedriver };
        let origin = address.split('/').take(3).collect::<Vec<_>>().join("/");
        let permissions = json!({"origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
        browser.devtools("Browser.grantPermissions", permissions).await;
        browser.resize(1400, 900).await;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": RECORD_FAULTS})).await;
        browser.driver.goto(address).await.unwrap();
        browser
    }

    pub async fn goto(&self, address: &str) {
        self.driver.goto(address).await.unwrap();
    }

    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap()
    }

    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Chooses the theme of the system.
    pub async fn set_scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Runs a script and returns its value.
    pub async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, []).await.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Waits until an expression of JavaScript is true; returns its value.
    pub async fn wait(&self, expression: &str) -> Value {
        self.wait_for(expression, WAIT_LIMIT).await
    }

    /// Waits for something that takes a while by itself.
    pub async fn wait_long(&self, expression: &str) -> Value {
        self.wait_for(expression, 4 * WAIT_LIMIT).await
    }

    async fn wait_for(&self, expression: &str, limit: Duration) -> Value {
        let started = Instant::now();
        let script = format!("return ({expression}) ?? null");
        loop {
            let value = self.run(&script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!("") && value != json!(0) {
                return value;
            }
            if started.elapsed() > limit {
                self.screenshot("failed").await;
                let page = self.run("return document.body.innerText").await;
                panic!("not in time: {expression}\n{}", page.as_str().unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the page shows a text.
    pub async fn wait_text(&self, text: &str) {
        self.wait(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Clicks the first element of a selector that has a text, as a person does.
    pub async fn click(&self, selector: &str, text: &str) {
        let find = format!(
            "[...document.querySelectorAll({})].find((it) => it.checkVisibility() && (it.innerText.trim() === {text} || it.ariaLabel === {text} || {text} === ''))",
            json!(selector),
            text = json!(text)
        );
        self.wait(&format!("Boolean({find})")).await;
        self.run(&format!("const it = {find}; it.scrollIntoView({{block: 'center'}}); it.click()")).await;
    }

    /// Replaces the text of a field, as typing does.
    pub async fn fill(&self, selector: &str, text: &str) {
        let find = format!("document.querySelector({})", json!(selector));
        self.wait(&format!("Boolean({find})")).await;
        let set = format!(
            "const it = {find}; it.focus(); it.value = {}; it.dispatchEvent(new Event('input', {{bubbles: true}}))",
            json!(text)
        );
        self.run(&set).await;
    }

    /// Presses a key where the focus is.
    pub async fn press(&self, key: &str) {
        let is_text = key.chars().count() == 1;
        let down = if is_text {
            json!({"type": "keyDown", "key": key, "text": key})
        } else {
            json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": virtual_code(key), "text": if key == "Enter" { "\r" } else { "" }})
        };
        self.devtools("Input.dispatchKeyEvent", down).await;
        self.devtools("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key})).await;
    }

    /// Pastes a text where the focus is.
    pub async fn paste(&self, text: &str) {
        let script = format!(
            "const data = new DataTransfer(); data.setData('text/plain', {}); \
             document.activeElement.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: data, bubbles: true, cancelable: true}}))",
            json!(text)
        );
        self.run(&script).await;
    }

    pub async fn clipboard(&self) -> String {
        let script =
            "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)))";
        self.driver.execute_async(script, []).await.unwrap().json().as_str().unwrap().to_owned()
    }

    /// Writes a picture of the page to `target/screenshots`.
    pub async fn screenshot(&self, name: &str) {
        let directory = target().join("screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        self.driver.screenshot(&directory.join(format!("{name}.png"))).await.unwrap();
    }

    /// Writes pictures of the page in both themes and in three widths, and checks each for accessibility and overflow.
    pub async fn inspect(&self, name: &str) {
        for (scheme, width, height) in
            [("light", 1400, 900), ("light", 390, 844), ("light", 320, 640), ("dark", 390, 844), ("dark", 1400, 900)]
        {
            self.set_scheme(scheme).await;
            self.resize(width, height).await;
            self.screenshot(&format!("{name}-{scheme}-{width}")).await;
            let overflow =
                "return Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)";
            assert_eq!(self.run(overflow).await, json!(0), "{name} is wider than {width} px");
            // The other two differ from these in colour or width alone.
            if (scheme, width) == ("light", 390) || (scheme, width) == ("dark", 1400) {
                self.check_accessibility(&format!("{name}-{scheme}-{width}")).await;
            }
        }
        self.set_scheme("light").await;
        self.resize(1400, 900).await;
        self.check_faults().await;
    }

    /// Checks the page with axe, by the rules of WCAG 2.2 AA and its best practices.
    async fn check_accessibility(&self, name: &str) {
        let script = format!(
            "const done = arguments[0]; if (!window.axe) {{ {} }} \
             window.axe.run(document, {{resultTypes: ['violations']}}).then((found) => done(found.violations.map((one) => \
             one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).join('; '))), (error) => done([String(error)]))",
            *AXE
        );
        let found = self.driver.execute_async(script, []).await.unwrap().json().clone();
        assert_eq!(found, json!([]), "{name}");
    }

    /// Checks that no script failed, that the policy refused nothing, and that nothing came from another origin.
    pub async fn check_faults(&self) {
        assert_eq!(self.run("return window.ternFaults").await, json!([]));
        let foreign = "return performance.getEntriesByType('resource').map((it) => it.name).filter((name) => !name.startsWith(location.origin) && !name.startsWith('blob:'))";
        assert_eq!(self.run(foreign).await, json!([]));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without this the driver would end its session, and block until Chromium answers.
        let _ = self.driver.clone().leak();
        // This fails only if Chromium has already ended.
        let _ = kill(self.chromium, Signal::SIGKILL);
    }
}

/// Notes what goes wrong on a page.
const RECORD_FAULTS: &str = "window.ternFaults = []; \
    addEventListener('error', (event) => window.ternFaults.push(String(event.message))); \
    addEventListener('unhandledrejection', (event) => window.ternFaults.push(String(event.reason))); \
    addEventListener('securitypolicyviolation', (event) => window.ternFaults.push(event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));";

fn virtual_code(key: &str) -> u32 {
    match key {
        "Enter" => 13,
        "Escape" => 27,
        "Tab" => 9,
        "Delete" => 46,
        "ArrowUp" => 38,
        "ArrowDown" => 40,
        _ => 0,
    }
}
