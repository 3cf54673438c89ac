//! A Chromium on a host without a way to anywhere else, led by its driver.
//!
//! What a test does is what a user does: it looks, clicks and types. Scripts only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::cdp::Cdp;
use thirtyfour::prelude::*;
use thirtyfour::session::handle::SessionHandle;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel};
use tokio::runtime::Runtime;

use crate::support::process::poll;
use crate::support::{Host, Running, skip};

/// A machine with other work needs longer for a page than people have patience for.
const LOADED: Duration = Duration::from_mins(1);

/// A browser with one window. It ends with this.
pub struct Browser {
    /// A handle of the session: it is ended by ending the driver.
    driver: Arc<SessionHandle>,
    runtime: Runtime,
    downloads: PathBuf,
    _process: Running,
}

/// Whether Chromium and its driver are here; otherwise `test` has been [skipped](skip).
pub fn is_here(test: &str) -> bool {
    let answers = |program: &str| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    };
    let is_here = ["chromium", "chromedriver"].into_iter().all(answers);
    if !is_here {
        skip(test, "chromium and chromedriver");
    }
    is_here
}

impl Browser {
    /// Starts one on this host, on which this thread must be. What it keeps and downloads is in
    /// `dir`.
    pub fn start(host: &Host, dir: &Path) -> Self {
        let downloads = dir.join("downloads");
        fs::create_dir_all(&downloads).unwrap();
        let mut command = host.command("chromedriver");
        command.arg("--port=0").env("HOME", dir);
        // What they leave behind, as both are killed, goes with the directory.
        command.env("TMPDIR", dir);
        let process = Running::start("chromedriver", command);
        let line = process.wait_for_line("its port", |line| line.contains("successfully on port "));
        let (_, port) = line.text.rsplit_once("on port ").unwrap();
        let server = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        // Sockets belong to the host of the thread that opens them: one thread for all.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let driver = WebDriver::new(server, capabilities(dir, &downloads));
        let session = runtime.block_on(driver).unwrap();
        let driver = Arc::clone(session.handle());
        // Otherwise it would wait for a driver's answer when it is dropped, also where that hangs.
        session.leak().unwrap();
        let browser = Self {
            driver,
            runtime,
            downloads,
            _process: process,
        };
        // What a new tab asks of the browser itself is over then.
        browser.go("about:blank");
        browser.requests();
        browser.look(1280, 800, "light");
        browser
    }

    /// Opens an address.
    pub fn go(&self, url: &str) {
        self.runtime.block_on(self.driver.goto(url)).unwrap();
    }

    /// Goes to a place on the page.
    pub fn go_to(&self, place: &str) {
        self.read(&format!("void (location.hash = {})", json!(place)));
    }

    /// Shows a view.
    #[track_caller]
    pub fn show(&self, view: &str) {
        self.go_to(&format!("#/{view}"));
        let is_shown =
            format!("document.querySelector('.tabs [aria-current]')?.dataset.view === '{view}'");
        self.until(view, &is_shown);
    }

    /// Gives the focus to what a selector finds.
    pub fn focus(&self, selector: &str) {
        self.read(&format!(
            "document.querySelector({}).focus()",
            json!(selector)
        ));
    }

    /// Gives the window a size in pixels, and the system a colour scheme.
    pub fn look(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.tell("Emulation.setDeviceMetricsOverride", size);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", media);
    }

    /// Returns what an expression of the page is.
    #[track_caller]
    pub fn read(&self, expression: &str) -> Value {
        self.ask(expression)
            .unwrap_or_else(|why| panic!("{expression}: {why}"))
    }

    /// Runs a script that calls `done` later, and returns with what.
    #[track_caller]
    pub fn read_later(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        let asked = self.driver.execute_async(script, Vec::new());
        self.runtime.block_on(asked).unwrap().json().clone()
    }

    /// Waits until an expression of the page is true, or another value that counts as that.
    #[track_caller]
    pub fn until(&self, what: &str, expression: &str) -> Value {
        let deadline = Instant::now() + LOADED;
        loop {
            // While a page is being opened there is nothing to ask.
            if let Ok(value) = self.ask(expression)
                && !matches!(value, Value::Null | Value::Bool(false))
                && value != json!(0)
                && value != json!("")
            {
                return value;
            }
            if Instant::now() >= deadline {
                let shown = self.ask("document.body.innerText").unwrap_or_default();
                panic!(
                    "waited for {what}, but time is up.\n{}\nconsole: {:?}",
                    shown.as_str().unwrap_or_default(),
                    self.complaints()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks on what a selector finds first, once it can be clicked.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let deadline = Instant::now() + LOADED;
        let click = || async {
            let found = self.driver.find(By::Css(selector)).await?;
            found.click().await
        };
        while let Err(why) = self.runtime.block_on(click()) {
            assert!(
                Instant::now() < deadline,
                "{selector} is not clicked: {why}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types, into whatever has the focus.
    pub fn press(&self, keys: &str) {
        let typed = async {
            let focused = self.driver.active_element().await?;
            focused.send_keys(keys).await
        };
        self.runtime.block_on(typed).unwrap();
    }

    /// Waits for a file in the browser's downloads that is whole, and returns its bytes.
    #[track_caller]
    pub fn downloaded(&self, name: &str) -> Vec<u8> {
        // Its name is taken at once by an empty file, which another one replaces in the end.
        let path = self.downloads.join(name);
        let is_on_its_way = || {
            let files = fs::read_dir(&self.downloads).unwrap();
            let mut names = files.map(|file| file.unwrap().file_name());
            names.any(|name| name.to_string_lossy().ends_with(".crdownload"))
        };
        poll(&format!("the download of {name}"), LOADED, || {
            let bytes = fs::read(&path).ok()?;
            (!bytes.is_empty() && !is_on_its_way()).then_some(bytes)
        })
    }

    /// Returns what the console says that is an error, since it was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.runtime.block_on(self.driver.browser_log()).unwrap();
        log.into_iter().map(|entry| entry.message).collect()
    }

    /// Returns the addresses that pages have asked for, since it was asked last.
    pub fn requests(&self) -> Vec<String> {
        let log = self.driver.get_log("performance");
        let log = self.runtime.block_on(log).unwrap();
        let url = |message: &str| {
            let message: Value = serde_json::from_str(message).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str()?;
            is_request.then(|| url.to_owned())
        };
        let urls = log.iter().filter_map(|entry| url(&entry.message));
        urls.collect()
    }

    /// Returns what axe finds in the page as it is now that is serious or worse.
    #[track_caller]
    pub fn barriers(&self) -> Vec<String> {
        const RUN: &str = "const done = arguments[0];
            axe.run({ resultTypes: ['violations'] }).then((found) => done(found.violations
                .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html + ' ' + node.failureSummary).join(' | ')}`)),
                (why) => done(['axe: ' + why]))";
        let axe = include_str!("axe.min.js");
        let found = async {
            self.driver.execute(axe, Vec::new()).await?;
            let found = self.driver.execute_async(RUN, Vec::new()).await?;
            found.convert::<Vec<String>>()
        };
        self.runtime.block_on(found).unwrap()
    }

    /// Waits until the page has drawn what it knows, and fonts and animations are done.
    pub fn settle(&self) {
        self.read_later(
            "document.fonts.ready
                .then(() => Promise.all(document.getAnimations().map((one) => one.finished)))
                .then(() => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
        );
    }

    /// Writes a picture of the window, as WebP.
    pub fn picture(&self, path: &Path) {
        self.take(path, 80);
    }

    /// The same without loss, which takes less room where there is only text.
    pub fn exact_picture(&self, path: &Path) {
        self.take(path, 100);
    }

    fn take(&self, path: &Path, quality: u32) {
        let how = json!({"format": "webp", "quality": quality});
        let taken = self.tell("Page.captureScreenshot", how);
        let bytes = taken["data"].as_str().unwrap().as_bytes();
        let bytes = data_encoding::BASE64.decode(bytes).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn ask(&self, expression: &str) -> WebDriverResult<Value> {
        let script = format!("return ({expression})");
        let asked = self.driver.execute(script, Vec::new());
        Ok(self.runtime.block_on(asked)?.json().clone())
    }

    fn tell(&self, method: &str, with: Value) -> Value {
        let tools = Cdp::new(Arc::clone(&self.driver));
        let told = tools.send_raw(method, with);
        self.runtime.block_on(told).unwrap()
    }
}

fn capabilities(dir: &Path, downloads: &Path) -> Capabilities {
    let mut wanted = DesiredCapabilities::chrome();
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let flags = [
        "--headless=new",
        // Root may not have one, and the host is shut off from everything.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        &profile,
    ];
    for flag in flags {
        wanted.add_arg(flag).unwrap();
    }
    let preferences = json!({
        "download.default_directory": downloads,
        "download.prompt_for_download": false,
    });
    wanted
        .add_experimental_option("prefs", preferences)
        .unwrap();
    wanted
        .set_logging_prefs("browser", LoggingPrefsLogLevel::Severe)
        .unwrap();
    wanted
        .set_logging_prefs("performance", LoggingPrefsLogLevel::All)
        .unwrap();
    wanted.into()
}
