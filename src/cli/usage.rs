//! How the command is used: what is said of wrong arguments, and the manual pages.

use std::process::ExitCode;

use clap::error::ErrorKind;
use pybit_core::settings::Settings;
use pybit_core::{Error, Result};

use super::output;

/// The exit code of a command whose arguments cannot be understood.
const MISUSED: u8 = 2;

/// Prints help and version in full, and what is wrong with the arguments in one line.
pub(super) fn told(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        output::print(&error.render().to_string());
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        output::note(error.render().to_string());
    } else {
        output::complain(&in_one_line(&error.render().to_string()));
    }
    ExitCode::from(MISUSED)
}

/// clap says what is wrong in its first paragraph, what may help in the tips after it, then the usage, which `--help`
/// says too.
fn in_one_line(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n");
    let said = paragraphs.take_while(|p| !p.starts_with("Usage:") && !p.starts_with("For more"));
    let said: Vec<_> = said
        .flat_map(str::lines)
        .map(str::trim)
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    let said = said.join(" ").replace(" tip: ", "; ");
    let shown: Vec<_> = said.split('\'').map(without_password).collect();
    format!("{} (see --help)", shown.join("'"))
}

/// clap quotes what it does not understand: of a URL in the wrong place, no password is shown.
fn without_password(quoted: &str) -> String {
    let is_url = quoted.contains("://") && !quoted.contains(' ');
    if is_url { Settings::url(quoted).shown() } else { quoted.to_owned() }
}

/// Prints the manual page of the command, or of one of its verbs.
pub(super) fn man(mut command: clap::Command, verb: Option<&str>) -> Result<()> {
    command.build();
    if let Some(verb) = verb {
        let found = command.find_subcommand(verb).cloned();
        command = found.ok_or_else(|| {
            Error::not_found(format!("there is no verb {verb}")).with_code("unknown_verb")
        })?;
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|e| Error::internal("the manual page cannot be written").with_source(e))?;
    output::write(&page);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_the_wrong_place_is_shown_without_its_password() {
        let rendered = "error: unexpected argument 'postgres://ann:secret@db/farm?x=y' found\n\nUsage: pybit\n";
        let line = "unexpected argument 'postgres://db/farm' found (see --help)";
        assert_eq!(in_one_line(rendered), line);
    }

    #[test]
    fn wrong_arguments_are_told_of_in_one_line() {
        let rendered = "error: the following required arguments were not provided:\n  --suite <SUITE>\n  <SOURCE>\n\n\
                        Usage: pybit submit\n\nFor more information, try '--help'.\n";
        let line = "the following required arguments were not provided: --suite <SUITE> <SOURCE> (see --help)";
        assert_eq!(in_one_line(rendered), line);
        let rendered = "error: unexpected argument '--suit' found\n\n  tip: a similar argument exists: '--suite'\n\n\
                        Usage: pybit submit\n";
        let line =
            "unexpected argument '--suit' found; a similar argument exists: '--suite' (see --help)";
        assert_eq!(in_one_line(rendered), line);
    }
}
