//! The configuration files: only `site/` names addresses and paths, and it has every file that nginx includes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::configuration;

fn files_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "conf"));
    files.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Returns the directives of a file, without comments.
fn directives(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn nginx_files_outside_the_site_name_no_address() {
    for name in files_in(&configuration()) {
        for line in directives(&configuration().join(&name)) {
            let is_place = ["listen ", "server 1", "user ", "pid ", "access_log /", "error_log ", "127.0.0.1", "/var/"];
            assert!(!is_place.iter().any(|place| line.contains(place)), "{name} contains a fixed address: {line}");
        }
    }
}

#[test]
fn site_contains_each_included_file() {
    let includes = directives(&configuration().join("nginx.conf"));
    let wanted = includes.iter().filter_map(|line| line.strip_prefix("include site/")?.strip_suffix(';'));
    // A pattern may match no file.
    let wanted = wanted.filter(|name| !name.contains('*'));
    assert_eq!(files_in(&configuration().join("site")), wanted.map(str::to_owned).collect());
}

/// Debian's /etc/logrotate.d/nginx rotates /var/log/nginx/*.log.
#[test]
fn site_access_log_is_rotated_by_debian() {
    let lines = directives(&configuration().join("site/http.conf"));
    let path = lines.iter().find_map(|line| line.strip_prefix("access_log ")?.split(' ').next()).unwrap();
    let name = path.strip_prefix("/var/log/nginx/").unwrap_or_else(|| panic!("{path} is elsewhere"));
    assert!(name.ends_with(".log") && !name.contains('/'), "{path}");
}

#[test]
fn each_upstream_server_is_its_own_backup() {
    for name in ["redirectors.conf", "admins.conf"] {
        let lines = directives(&configuration().join("site").join(name));
        for pair in lines.chunks(2) {
            let first = pair[0].strip_suffix(" max_fails=3 fail_timeout=1s;").unwrap();
            assert_eq!(pair[1], format!("{first} backup max_fails=0;"), "{name}");
        }
    }
}

#[test]
fn compose_trusts_only_the_address_of_its_nginx() {
    let compose = fs::read_to_string(configuration().parent().unwrap().join("deploy/compose.yaml")).unwrap();
    let (_, nginx) = compose.split_once("\n  nginx:\n").unwrap();
    let (_, address) = nginx.split_once("ipv4_address: ").unwrap();
    let address: std::net::IpAddr = address.split('}').next().unwrap().parse().unwrap();
    let believed: Vec<&str> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("TRUSTED_PROXIES: ")).collect();
    assert!(believed.len() == 2 && believed.iter().all(|it| *it == address.to_string()), "{believed:?}");
}
