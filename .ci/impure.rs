//! One use of everything that `crates/{wire,core}/clippy.toml` bans, each in a
//! line of its own. `.ci/purity` puts this file under either of them and counts.
//! It is never run, and part of no crate.
#![allow(dead_code, unused, deprecated, clippy::all)]
#![warn(clippy::disallowed_types, clippy::disallowed_methods)]

fn types(
    _: std::collections::HashMap<u8, u8>,
    _: std::collections::HashSet<u8>,
    _: std::hash::RandomState,
    _: std::hash::DefaultHasher,
    _: std::fs::File,
    _: std::fs::OpenOptions,
    _: std::fs::DirBuilder,
    _: std::net::TcpStream,
    _: std::net::TcpListener,
    _: std::net::UdpSocket,
    _: std::process::Command,
    _: std::thread::Builder,
    _: std::sync::Mutex<u8>,
    _: std::sync::RwLock<u8>,
    _: std::sync::Condvar,
) {
}

fn methods(path: &std::path::Path) {
    _ = std::time::Instant::now();
    _ = std::time::Instant::elapsed;
    _ = std::time::SystemTime::now();
    _ = std::time::SystemTime::elapsed;
    _ = std::thread::sleep;
    _ = std::thread::park;
    _ = std::thread::spawn(|| ());
    _ = std::thread::scope(|_| ());
    _ = std::process::exit;
    _ = std::process::abort;
    _ = std::process::id;
    _ = std::env::var("x");
    _ = std::env::var_os("x");
    _ = std::env::vars;
    _ = std::env::vars_os;
    _ = std::env::args;
    _ = std::env::args_os;
    _ = std::env::current_dir;
    _ = std::env::current_exe;
    _ = std::env::temp_dir;
    _ = std::io::stdin;
    _ = std::io::stdout;
    _ = std::io::stderr;
    _ = std::net::ToSocketAddrs::to_socket_addrs("x");
    _ = std::fs::canonicalize("x");
    _ = std::fs::copy("x", "y");
    _ = std::fs::create_dir("x");
    _ = std::fs::create_dir_all("x");
    _ = std::fs::exists("x");
    _ = std::fs::hard_link("x", "y");
    _ = std::fs::metadata("x");
    _ = std::fs::read("x");
    _ = std::fs::read_dir("x");
    _ = std::fs::read_link("x");
    _ = std::fs::read_to_string("x");
    _ = std::fs::remove_dir("x");
    _ = std::fs::remove_dir_all("x");
    _ = std::fs::remove_file("x");
    _ = std::fs::rename("x", "y");
    _ = std::fs::set_permissions("x", todo!());
    _ = std::fs::symlink_metadata("x");
    _ = std::fs::write("x", "y");
    _ = path.canonicalize();
    _ = path.exists();
    _ = path.is_dir();
    _ = path.is_file();
    _ = path.is_symlink();
    _ = path.metadata();
    _ = path.read_dir();
    _ = path.read_link();
    _ = path.symlink_metadata();
    _ = path.try_exists();
}
