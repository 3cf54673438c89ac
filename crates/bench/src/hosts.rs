//! Hosts on a thin network: namespaces on a bridge, which needs root, `ip` and `tc`.
//!
//! What a host sends and what it receives goes through a token bucket each. The bridge has a
//! namespace as well, so nothing outside is touched.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// As long as this lives.
pub struct Hosts {
    switch: String,
    hosts: BTreeMap<String, Host>,
}

struct Host {
    namespace: String,
    /// Its end on the bridge.
    port: String,
    address: Ipv4Addr,
}

impl Hosts {
    /// Makes hosts of these names. All but the first have lines of this rate, as `tc` reads it.
    pub fn new(names: &[String], rate: &str) -> Result<Self> {
        let prefix = format!("thorp-bench-{}", std::process::id());
        let mut all = Self {
            switch: format!("{prefix}-switch"),
            hosts: BTreeMap::new(),
        };
        ip(&["netns", "add", &all.switch])?;
        ip(&["-n", &all.switch, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &all.switch, "link", "set", "bridge", "up"])?;
        for (number, name) in (1..).zip(names) {
            let host = Host {
                namespace: format!("{prefix}-{number}"),
                port: format!("port{number}"),
                address: Ipv4Addr::new(10, 77, 0, number),
            };
            all.plug_in(&host)?;
            if number > 1 {
                all.narrow(&host, rate)?;
            }
            all.hosts.insert(name.clone(), host);
        }
        Ok(all)
    }

    /// Returns a host's address.
    pub fn address(&self, host: &str) -> Result<Ipv4Addr> {
        Ok(self.host(host)?.address)
    }

    /// Returns a command that runs a program on a host.
    pub fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host)?.namespace]);
        command.arg(program);
        Ok(command)
    }

    /// Returns how many bytes a host has sent so far, headers and all.
    pub fn sent(&self, host: &str) -> Result<u64> {
        let port = &self.host(host)?.port;
        let shown = ip(&["-n", &self.switch, "-s", "-j", "link", "show", port])?;
        let shown: Value = serde_json::from_str(&shown)?;
        // What the host sends is what its end on the bridge receives.
        let sent = shown[0]["stats64"]["rx"]["bytes"].as_u64();
        sent.with_context(|| format!("no count in {shown}"))
    }

    fn host(&self, name: &str) -> Result<&Host> {
        let host = self.hosts.get(name);
        host.with_context(|| format!("there is no host {name}"))
    }

    fn plug_in(&self, host: &Host) -> Result<()> {
        let Host {
            namespace,
            port,
            address,
        } = host;
        ip(&["netns", "add", namespace])?;
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", namespace];
        ip(&[&["-n", &self.switch, "link", "add", port], &peer[..]].concat())?;
        ip(&[
            "-n",
            &self.switch,
            "link",
            "set",
            port,
            "master",
            "bridge",
            "up",
        ])?;
        let address = format!("{address}/24");
        ip(&["-n", namespace, "address", "add", &address, "dev", "eth0"])?;
        ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        Ok(())
    }

    fn narrow(&self, host: &Host, rate: &str) -> Result<()> {
        for (namespace, device) in [(&self.switch, &*host.port), (&host.namespace, "eth0")] {
            let place = ["-n", namespace, "qdisc", "add", "dev", device, "root"];
            let bucket = ["tbf", "rate", rate, "burst", "64kb", "latency", "50ms"];
            run("tc", &[&place[..], &bucket].concat())?;
        }
        Ok(())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let hosts = self.hosts.values().map(|host| &host.namespace);
        for namespace in hosts.chain([&self.switch]) {
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

fn ip(words: &[&str]) -> Result<String> {
    run("ip", words)
}

fn run(program: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {said}",
        words.join(" ")
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
