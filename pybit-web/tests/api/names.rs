//! Names of packages: what a repository holds, who may bear a name, and which moves are on record.

use pybit_core::model::SuiteMove;
use pybit_core::protocol::{NamesRequest, RepositoryPackages};
use pybit_core::publish::Listed;
use serde_json::json;

use crate::support::Server;

fn listed(name: &str, source: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        version: "1".to_owned(),
        arch: "amd64".to_owned(),
        source: source.to_owned(),
    }
}

#[tokio::test]
async fn a_watcher_tells_what_its_repository_holds_and_everybody_reads_it() {
    let server = Server::start().await;
    let (api, name) = (server.api(&server.publish), "trixie".parse().unwrap());
    assert_eq!(api.repository_packages(&name).await.unwrap().packages, []);
    let list = |packages: Vec<Listed>| RepositoryPackages { packages };
    let two = list(vec![listed("x", "a"), listed("y", "a")]);
    api.put_repository_packages(&name, &two).await.unwrap();
    api.put_repository_packages(&name, &two).await.unwrap();
    assert_eq!(api.repository_packages(&name).await.unwrap(), two);
    let shown = server.get("/api/v1/repositories/trixie/packages").await;
    assert_eq!((shown.status, shown.json()["packages"][1]["name"].as_str()), (200, Some("y")));
    for bad in ["", "a\nb", &"x".repeat(301)] {
        let error = api.put_repository_packages(&name, &list(vec![listed(bad, "a")])).await;
        assert_eq!(error.unwrap_err().status, Some(422), "{bad:?}");
    }
    let other = server.api(&server.submit).put_repository_packages(&name, &two).await;
    assert_eq!(other.unwrap_err().status, Some(403), "a submitter is no watcher");
    let none = api.put_repository_packages(&"sid".parse().unwrap(), &two).await;
    assert_eq!(none.unwrap_err().status, Some(404));
}

#[tokio::test]
async fn a_move_is_on_record_with_its_principal_and_a_watcher_hears_of_it() {
    let server = Server::start().await;
    let admin = server.api(&server.admin);
    let mut wanted = admin.catalogue().await.unwrap();
    let moved = json!({
        "dist": wanted.repositories[0].dist, "suite": "trixie", "format": "deb",
        "binary": "x", "from": "a", "to": "b", "why": "renamed", "by": "somebody else",
    });
    wanted.moves = Some(vec![serde_json::from_value(moved).unwrap()]);
    admin.replace_catalogue(&wanted, false).await.unwrap();
    let there: Vec<SuiteMove> = admin.catalogue().await.unwrap().moves.unwrap();
    assert_eq!((there[0].by.as_str(), there[0].at.is_some()), ("admin", true));
    let again = admin.replace_catalogue(&wanted, false).await.unwrap();
    assert_eq!(again.changes, [], "it is on record");
    wanted.moves = None;
    assert_eq!(admin.replace_catalogue(&wanted, false).await.unwrap().changes, []);

    let watcher = server.api(&server.publish);
    let name = "trixie".parse().unwrap();
    let asked = |source: &str| NamesRequest {
        source: source.parse().unwrap(),
        binaries: vec!["x".to_owned()],
    };
    let facts = watcher.name_facts(&name, &asked("b")).await.unwrap();
    let shown: Vec<_> = facts.moves.iter().map(|m| (m.binary.as_str(), m.from.as_str())).collect();
    assert_eq!(shown, [("x", "a")]);
    assert_eq!(watcher.name_facts(&name, &asked("c")).await.unwrap().moves, []);
    let many = NamesRequest { binaries: vec!["x".to_owned(); 10_001], ..asked("b") };
    assert_eq!(watcher.name_facts(&name, &many).await.unwrap_err().status, Some(422));
}
