//! The tests' own ground: hosts in network namespaces reach one another, and
//! do not when their link is down; processes tell their lines and their end.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::support::{Host, Net, PATIENCE, Running};

const ONE: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 138);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 139);

#[test]
fn hosts_reach_one_another_until_a_link_is_down() {
    let test = "hosts_reach_one_another_until_a_link_is_down";
    let Some(net) = Net::new(test, &[ONE, OTHER]) else {
        return;
    };
    let server = echo_server(net.host(ONE));
    assert_eq!(ask(net.host(OTHER)), "hello\n");
    net.host(OTHER).link("down");
    assert_ne!(ask(net.host(OTHER)), "hello\n");
    net.host(OTHER).link("up");
    crate::support::process::poll("the link to be up again", PATIENCE, || {
        (ask(net.host(OTHER)) == "hello\n").then_some(())
    });
    drop(server);
}

#[test]
fn networks_do_not_meet() {
    let test = "networks_do_not_meet";
    let Some(one) = Net::new(test, &[ONE, OTHER]) else {
        return;
    };
    let Some(other) = Net::new(test, &[ONE, OTHER]) else {
        return;
    };
    let server = echo_server(one.host(ONE));
    assert_eq!(ask(one.host(OTHER)), "hello\n");
    assert_ne!(ask(other.host(OTHER)), "hello\n");
    drop(server);
}

#[test]
fn lines_and_the_end_of_a_process_are_seen() {
    // A job in the background of a shell ignores this signal, and so would a script.
    let mut command = Command::new("env");
    command.args([
        "--default-signal=INT",
        "sh",
        "-c",
        "echo one; echo two >&2; read line; echo three; exit 4",
    ]);
    let running = Running::start("sh", command);
    running.wait_for_line("two", |line| line == "two");
    let end = running.finish(PATIENCE).exits(4).says("two");
    assert_eq!(end.stdout, "one\nthree\n");
}

#[test]
fn signals_are_sent_by_name() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done",
    ]);
    let running = Running::start("sh", command);
    running.wait_for_line("ready", |line| line == "ready");
    // A shell that was started where SIGINT is ignored cannot trap that one.
    running.signal("TERM");
    assert_eq!(running.finish(PATIENCE).exits(3).stdout, "ready\nbye\n");
}

#[test]
#[should_panic(expected = "waited for nothing, but it ended")]
fn nobody_waits_for_the_dead() {
    let running = Running::start("true", Command::new("true"));
    running.wait_until("nothing", Duration::from_hours(1), |_| None::<()>);
}

/// This very program, on a host, so that nothing else needs to be installed.
fn on(host: &Host, role: &str) -> Running {
    let mut command = host.command(std::env::current_exe().unwrap().to_str().unwrap());
    command
        .args(["--exact", "hosts::role", "--nocapture"])
        .env("THORP_TEST_ROLE", role);
    Running::start(role, command)
}

fn echo_server(host: &Host) -> Running {
    let server = on(host, "server");
    server.wait_for_line("ready", |line| line.ends_with("ready"));
    server
}

fn ask(host: &Host) -> String {
    let end = on(host, "client").finish(PATIENCE);
    let answer = end
        .stdout
        .lines()
        .find_map(|line| line.split_once("answer: "));
    answer
        .map(|(_, answer)| format!("{answer}\n"))
        .unwrap_or_default()
}

/// Not a test: what this program does when a test starts it on a host.
#[test]
fn role() {
    const PORT: u16 = 3333;
    match std::env::var("THORP_TEST_ROLE").as_deref() {
        Ok("server") => {
            let server = std::net::TcpListener::bind(("0.0.0.0", PORT)).unwrap();
            println!("ready");
            for stream in server.incoming() {
                stream.unwrap().write_all(b"hello").unwrap();
            }
        }
        Ok("client") => {
            let address = (ONE, PORT).into();
            let mut stream =
                std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            println!("answer: {answer}");
        }
        _ => {}
    }
}
