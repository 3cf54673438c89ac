//! nginx, and curl that fetches a file from it, in plain text.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Ended, Freight, Way, is_there, text, wait_for_port};
use crate::fleet::free_port;

/// A server of a directory, and the command that asks it.
pub struct Web {
    _server: Ended,
    port: u16,
    target: PathBuf,
}

impl Web {
    /// Starts a server, if nginx and curl are installed.
    pub fn start(scratch: &Path, root: &Path, target: &Path) -> Result<Option<Self>> {
        let nginx = ["nginx", "/usr/sbin/nginx"].map(Path::new);
        let Some(nginx) = nginx.into_iter().find(|path| is_there(path)) else {
            return Ok(None);
        };
        if !is_there(Path::new("curl")) {
            return Ok(None);
        }
        let port = free_port()?;
        // Workers of a server that root starts would become another user.
        let is_root = fs::metadata("/proc/self")?.uid() == 0;
        let user = if is_root { "user root;" } else { "" };
        let settings = scratch.join("nginx.conf");
        let (here, root) = (text(scratch)?, text(root)?);
        let settings_text = format!(
            "{user} daemon off; master_process off; pid {here}/nginx.pid; error_log /dev/null; events {{}}\n\
             http {{ access_log off; client_body_temp_path {here}/nginx; proxy_temp_path {here}/nginx; \
             fastcgi_temp_path {here}/nginx; uwsgi_temp_path {here}/nginx; scgi_temp_path {here}/nginx; \
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        );
        fs::write(&settings, settings_text)?;
        let server = Command::new(nginx)
            .arg("-c")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Ended(server);
        wait_for_port(&mut server, Ipv4Addr::LOCALHOST, port).context("nginx")?;
        Ok(Some(Self {
            _server: server,
            port,
            target: target.to_owned(),
        }))
    }
}

impl Way for Web {
    fn name(&self) -> &'static str {
        "curl from nginx, plain"
    }

    fn prepare(&mut self, _: &Freight) -> Result<()> {
        Ok(fs::create_dir_all(&self.target)?)
    }

    fn fetch(&mut self, freight: &Freight) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/{}", self.port, freight.name);
        let to = self.target.join(&freight.name);
        super::run(
            Command::new("curl")
                .args(["-sS", "--fail", "-o"])
                .arg(to)
                .arg(url),
        )
    }

    fn fetched(&self, freight: &Freight) -> Option<PathBuf> {
        Some(self.target.join(&freight.name))
    }
}
