//! Databases on the server of `make services`.

use std::process::{Command, Stdio};

/// An empty database, and its URL. Its name is random: a process id is given again by the kernel.
pub(crate) fn create() -> String {
    let server = std::env::var("PYBIT_TEST_POSTGRES_URL").expect(
        "PYBIT_TEST_POSTGRES_URL names no PostgreSQL server: `make test` starts one, `make services` prints the URL",
    );
    let name = format!("pybit_farm_{:016x}", rand::random::<u64>());
    query(&server, &format!("CREATE DATABASE {name}"));
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    url.into()
}

/// Runs a statement; the rows that psql prints.
pub(crate) fn query(url: &str, sql: &str) -> String {
    let ran = Command::new("psql").args([url, "-qAtc", sql]).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}
