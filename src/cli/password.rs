//! A password that somebody types or keeps in a file.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use pybit_client::read_private;
use pybit_core::model::{AccountName, Password};
use pybit_core::{Error, ErrorKind, Result};

/// The new password of an account: the first line of `file` (`-` is standard input), or typed twice at the terminal.
pub(super) async fn take(name: &AccountName, file: Option<&Path>) -> Result<Password> {
    match file {
        Some(file) if file.as_os_str() == "-" => {
            let mut text = String::new();
            // One byte more than the longest that is taken, with its line end.
            let most = (Password::LONGEST + 3) as u64;
            io::stdin().take(most).read_to_string(&mut text).map_err(unreadable)?;
            first_line(&text).parse()
        }
        Some(file) => first_line(&read_private(file, "password")?).parse(),
        None if io::stdin().is_terminal() => typed_twice(name).await,
        None => {
            let message = "there is no terminal to ask for the password: name a file with --password-file, or - for standard \
                           input";
            Err(Error::invalid(message).with_code("no_password"))
        }
    }
}

async fn typed_twice(name: &AccountName) -> Result<Password> {
    let first: Password = typed(format!("New password of {name}: ")).await?.parse()?;
    if typed("The same again: ".to_owned()).await? == first.expose() {
        return Ok(first);
    }
    Err(Error::invalid("the two passwords differ; nothing was changed").with_code("no_password"))
}

/// Asks at the terminal, which shows nothing of the answer. Whoever drops this, such as Ctrl-C, gets the terminal back as
/// it was.
async fn typed(question: String) -> Result<String> {
    let quiet = Quiet::terminal()?;
    eprint!("{question}");
    let _ = io::stderr().flush();
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().take(2 * Password::LONGEST as u64).read_line(&mut line).map(|_| line)
    });
    let line =
        read.await.map_err(|e| Error::internal("asking for a password panicked").with_source(e))?;
    drop(quiet);
    eprintln!();
    line.map(|line| first_line(&line).to_owned()).map_err(unreadable)
}

fn first_line(text: &str) -> &str {
    let line = text.split('\n').next().unwrap_or_default();
    line.strip_suffix('\r').unwrap_or(line)
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the password cannot be read from standard input")
        .with_source(error)
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn terminal() -> Result<Self> {
        let failed = |e: nix::Error| {
            Error::new(ErrorKind::Unavailable, "the terminal cannot be told to hide the password")
                .with_source(e)
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_whole_line_with_its_spaces() {
        for (text, expected) in
            [(" a b \n", " a b "), ("x\r\ny\n", "x"), ("x", "x"), ("\nx", ""), ("", "")]
        {
            assert_eq!(first_line(text), expected, "{text:?}");
        }
    }
}
