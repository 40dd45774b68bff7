//! `pybit vercmp`: how versions order.

use std::cmp::Ordering;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use pybit::roles::version_order;
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};

use super::output;

/// Compare versions as a package format orders them: prints <, = or >
///
/// With --stdin each line `A B` is answered with a line. A line that is no pair of valid versions ends the command with
/// exit code 1 and its number.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pybit vercmp deb 1.0~rc1 1.0\n  pybit vercmp rpm 1:1.0-1 1.0^git-2\n  printf '1 2\\n1:0 9\\n' | pybit vercmp deb --stdin"
)]
pub(super) struct Args {
    /// The package format: deb, rpm or python
    format: String,
    /// The first version
    #[arg(required_unless_present = "stdin")]
    a: Option<String>,
    /// The second version
    #[arg(required_unless_present = "stdin")]
    b: Option<String>,
    /// Read pairs from standard input, `A B` a line each
    #[arg(long, conflicts_with_all = ["a", "b"])]
    stdin: bool,
}

/// The longest line that is read, in bytes: two of the longest versions and what is between.
const LONGEST_LINE: u64 = 2 * 65_536;

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let order = version_order(&args.format)?;
    if let (Some(a), Some(b)) = (&args.a, &args.b) {
        output::line(sign(order.compare(a, b)?));
        return Ok(ExitCode::SUCCESS);
    }
    let mut input = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let compared = pairs(order, &mut input, &mut out);
    // What was answered before a faulty line is an answer too.
    let flushed = out.flush();
    // A reader that has gone away has what it wanted.
    let written = match compared.and(flushed.map_err(Stop::Output)) {
        Err(Stop::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    };
    written.map(|()| ExitCode::SUCCESS).map_err(Error::from)
}

fn sign(order: Ordering) -> &'static str {
    match order {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}

/// Why comparing ended early.
#[derive(Debug)]
enum Stop {
    /// A line, by its number from 1, is not acceptable.
    Line(usize, String),
    Output(io::Error),
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Line(number, why) => Self::invalid(format!("line {number}: {why}")),
            Stop::Output(e) => Self::internal("the answer cannot be written").with_source(e),
        }
    }
}

/// Answers each line.
fn pairs(
    order: &dyn VersionOrder,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> std::result::Result<(), Stop> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let fail = |why: String| Stop::Line(number, why);
        let read = io::Read::take(&mut *input, LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(|e| fail(format!("cannot be read: {e}")))? == 0 {
            break;
        }
        let (a, b) = pair(&line).map_err(|why| fail(why.to_owned()))?;
        let order = order.compare(a, b).map_err(|e| fail(e.to_string()))?;
        out.write_all(sign(order).as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Stop::Output)?;
    }
    Ok(())
}

/// The two versions on a line.
fn pair(line: &[u8]) -> std::result::Result<(&str, &str), &'static str> {
    if !line.ends_with(b"\n") && line.len() as u64 >= LONGEST_LINE {
        return Err("it is longer than two versions can be");
    }
    let text = str::from_utf8(line).map_err(|_| "it is not UTF-8 text")?;
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(a), Some(b), None) => Ok((a, b)),
        _ => Err("it must be two versions, `A B`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(input: &[u8]) -> (String, std::result::Result<(), String>) {
        let mut out = Vec::new();
        let ended = pairs(version_order("deb").unwrap(), &mut &input[..], &mut out);
        (String::from_utf8(out).unwrap(), ended.map_err(|s| Error::from(s).to_string()))
    }

    #[test]
    fn each_line_is_answered_whether_or_not_the_last_one_ends() {
        assert_eq!(answer(b"1 2\n1.0 1.00\r\n\t1:0  9"), ("<\n=\n>\n".to_owned(), Ok(())));
        assert_eq!(answer(b""), (String::new(), Ok(())));
    }

    #[test]
    fn a_faulty_line_is_named_and_what_came_before_is_answered() {
        let long = [b"1 2\n1 ".to_vec(), vec![b'1'; 1 << 17]].concat();
        let lines: [&[u8]; 6] = [
            b"1 2\n\n1 2\n",
            b"1 2\n1\n",
            b"1 2\n1 2 3\n",
            b"1 2\n1 \xff\n",
            b"1 2\n1 x;\n",
            &long,
        ];
        for input in lines {
            let (out, ended) = answer(input);
            assert_eq!(out, "<\n");
            assert!(ended.unwrap_err().starts_with("line 2: "));
        }
    }
}
