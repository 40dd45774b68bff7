//! What a build client needs that builds in mock.

use pybit::config::Config;
use pybit_backends::env::BuildUser;
use pybit_client::ClientConfig;

use super::packages::Installer;
use super::{Check, Mend, Role, is_there, make_user, program};

/// What its builds need of the machine besides mock, with the Debian packages.
const TOOLS: [(&str, &str); 5] = [
    ("gpgv", "gpgv"),
    ("perl", "perl"),
    ("python3", "python3"),
    ("rpm", "rpm"),
    ("setpriv", "util-linux"),
];
/// The group whose members may use mock.
const GROUP: &str = "mock";

/// Whether everything that the client builds is built in mock; `pybit up` builds in what its suites name, too.
pub(super) fn alone(config: &Config) -> bool {
    let client = config.client.readable();
    let mut envs = config.suites.iter().flat_map(|suite| &suite.envs);
    client.is_some_and(ClientConfig::only_mock) && envs.all(|env| env.name.as_str() == "mock")
}

/// mock itself, what its builds need, and the build user's right to use it.
pub(super) fn checks(user: &str) -> Vec<Check> {
    let mut checks = vec![mock(Installer::of_this_machine(), is_there("mock"))];
    checks.extend(TOOLS.map(|tool| program(Role::Client, tool)));
    checks.push(member(user));
    checks
}

fn mock(installer: Installer, there: bool) -> Check {
    let mend = match installer {
        _ if there => None,
        Installer::Dnf => Some(Mend::Package("mock")),
        Installer::Apt => Some(Mend::Note(
            "it is not packaged for Debian; run this build client where `dnf install mock` has it, or build these suites in sbuild"
                .to_owned(),
        )),
    };
    Check::new(Role::Client, "the program mock".to_owned(), mend)
}

fn member(name: &str) -> Check {
    let mend = match BuildUser::find(name) {
        Err(_) => Some(make_user(&format!("--groups {GROUP} {name}"))),
        Ok(user) if !user.is_in(GROUP) => Some(format!("usermod --append --groups {GROUP} {name}")),
        Ok(_) => None,
    };
    Check::new(
        Role::Client,
        format!("the build user {name} in the group {GROUP}"),
        mend.map(Mend::Run),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mock_is_installed_where_there_is_dnf_and_explained_elsewhere() {
        assert_eq!(mock(Installer::Dnf, false).mend, Some(Mend::Package("mock")));
        let Some(Mend::Note(note)) = mock(Installer::Apt, false).mend else { panic!() };
        assert!(note.contains("dnf install mock"), "{note}");
        assert!(mock(Installer::Dnf, true).fine && mock(Installer::Apt, true).fine);
    }

    #[test]
    fn a_build_user_outside_of_mocks_group_is_put_into_it() {
        let Some(Mend::Run(command)) = member("nobody").mend else { panic!() };
        assert_eq!(command, "usermod --append --groups mock nobody");
        let Some(Mend::Run(command)) = member("pybit-no-such-user").mend else { panic!() };
        assert_eq!(
            command,
            "useradd --create-home --shell /usr/sbin/nologin --groups mock pybit-no-such-user"
        );
    }
}
