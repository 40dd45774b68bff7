//! `pybit.toml`: each verb needs its own table and no other, and says what it lacks.

use crate::Lone;
use crate::support::{DEADLINE, Role, machine_arch, wait_for};

/// The verbs that read neither `[client]` nor `[watch]`; there is no server, and that is all that they may complain of.
const TALKING: [&[&str]; 3] = [&["jobs"], &["clients", "--json"], &["why", "1"]];

fn configured(text: &str) -> Lone {
    let pybit = Lone::new();
    std::fs::write(pybit.path().join("pybit.toml"), text).unwrap();
    pybit
}

#[test]
fn a_half_filled_table_is_nothing_to_a_verb_that_does_not_need_it() {
    for table in [
        "[client]\nslots = 2\n",
        "[watch]\n",
        "[client]\nurl = \"http://farm\"\n[watch]\nwork_dir = \"/w\"\n",
        "[[client.offers]]\ndist = \"Debian\"\n",
        "[[watch.repositories]]\nname = \"bookworm\"\n[[watch.drops]]\n",
    ] {
        let pybit = configured(table);
        for args in TALKING {
            let line = pybit.refused(args);
            assert!(line.contains("no server is known"), "{table}{args:?}: {line}");
        }
        let doctor = pybit.run(&["doctor", "--role", "web"]);
        assert_eq!((doctor.code, doctor.err.as_str()), (0, ""), "{table}");
    }
}

#[test]
fn the_verb_that_needs_a_table_names_the_missing_keys_and_the_file() {
    for (table, verb, keys) in [
        ("[client]\n", "client", "client.url, client.work_dir, client.offers"),
        ("[client]\nwork_dir = \"/w\"\n", "client", "client.url, client.offers"),
        ("[watch]\n", "watch", "watch.work_dir, watch.repositories"),
        (
            "[watch]\nwork_dir = \"/w\"\n[[watch.repositories]]\nname = \"a\"\n",
            "watch",
            "watch.repositories.0.dist",
        ),
        ("[[client.offers]]\ndist = \"Debian\"\n", "client", "client.offers.0.suite"),
        ("[[client.offers]]\ndist = \"Debian\"\n", "up", "client.offers.0.suite"),
    ] {
        let line = configured(table).refused(&[verb]);
        assert!(line.contains(&format!("missing in pybit.toml: {keys};")), "{table}: {line}");
    }
    for verb in ["client", "watch"] {
        let line = configured("").refused(&[verb]);
        assert!(line.contains(&format!("pybit.toml has no [{verb}] table")), "{line}");
        let line = Lone::new().refused(&[verb]);
        assert!(line.contains(&format!("the configuration has no [{verb}] table")), "{line}");
    }
}

#[test]
fn what_the_environment_gives_is_not_missing() {
    let pybit = configured("[client]\nwork_dir = \"/w\"\n");
    let mut command = pybit.command(&["client"]);
    let said = crate::said(command.env("PYBIT_CLIENT__URL", "http://farm").output().unwrap());
    let line = said.refused(&["client"]);
    assert!(line.contains("missing in pybit.toml: client.offers;"), "{line}");
}

#[test]
fn a_misspelt_key_is_refused_by_every_verb_whatever_else_is_missing() {
    for (text, key, line) in [
        ("[client]\nslotts = 2\n", "slotts", 2),
        ("[client]\n[watch]\nworkdir = \"/w\"\n", "workdir", 3),
        ("[watch]\n[[client.offers]]\ndist = \"Debian\"\nsuites = \"x\"\n", "suites", 4),
        ("[[client.offers]]\n[[watch.repositories]]\nroots = \"/r\"\n", "roots", 3),
        ("[client.sbuild]\nmirrors = []\n", "mirrors", 2),
        ("[clients]\n", "clients", 1),
    ] {
        let pybit = configured(text);
        for args in TALKING.into_iter().chain([&["client"][..], &["watch"], &["up"]]) {
            let said = pybit.refused(args);
            let place = format!("pybit.toml, line {line}: ");
            assert!(said.contains(&place) && said.contains(key), "{text}{args:?}: {said}");
        }
    }
    let wrong = configured("[client]\nslots = \"pbt_secret\"\n").refused(&["jobs"]);
    assert!(wrong.contains("line 2") && !wrong.contains("pbt_secret"), "{wrong}");
}

#[test]
#[ignore = "needs the user pybit-build"]
fn a_whole_farm_needs_nothing_of_the_client_and_watch_tables() {
    let suite = format!(
        "[[suites]]\ndist = \"Debian\"\nname = \"bookworm\"\nformat = \"deb\"\narches = [\"{}\"]\nrepository = \"own\"\n\
         envs = [{{ name = \"host\", weight = 1 }}]\n",
        machine_arch()
    );
    let pybit = configured(&format!("{suite}[client]\nallow_host = true\nslots = 3\n[watch]\n"));
    let farm = Role::start("up", pybit.path(), &["up", "--listen", "127.0.0.1:0"]);
    let clients = wait_for("the build client", DEADLINE, || {
        let said = pybit.run(&["clients", "--json"]);
        let clients: serde_json::Value = serde_json::from_str(&said.out).ok()?;
        (clients[0]["name"] == "local").then_some(clients)
    });
    assert_eq!(clients[0]["slots"], 3, "{clients}");
    assert!(farm.said().contains("the farm:"), "{}", farm.said());
    let repository = pybit.path().join("pybit-data/repositories/own/public.asc");
    wait_for("the repository's key", DEADLINE, || repository.is_file().then_some(()));
}
