//! `pybit vercmp`: how versions order.

use std::cmp::Ordering;
use std::io::{BufRead, BufWriter, Write};
use std::process::ExitCode;

use pybit_backends::deb::DebVersions;
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};

/// Compare versions as a package format orders them: prints <, = or >
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  pybit vercmp deb 1.0~rc1 1.0\n  printf '1 2\\n' | pybit vercmp deb --stdin")]
pub(super) struct Args {
    /// The package format: deb
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

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 4096;

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let order = order(&args.format)?;
    if let (Some(a), Some(b)) = (&args.a, &args.b) {
        super::output::line(sign(order.compare(a, b)?));
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let compared = pairs(order, &mut std::io::stdin().lock(), &mut out);
    let flushed = out.flush();
    compared?;
    flushed.map_err(|e| Error::internal("the answer cannot be written").with_source(e))?;
    Ok(ExitCode::SUCCESS)
}

fn order(format: &str) -> Result<&'static dyn VersionOrder> {
    match format {
        "deb" => Ok(&DebVersions),
        _ => Err(Error::invalid("this program orders versions of the format deb").with_code("unknown_format")),
    }
}

fn sign(order: Ordering) -> &'static str {
    match order {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}

/// Answers each line; a line that is no pair of versions is named with its number.
fn pairs(order: &dyn VersionOrder, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<()> {
    for (number, line) in input.lines().enumerate() {
        let fail = |e: Error| Error::invalid(format!("line {}: {e}", number + 1));
        let line = line.map_err(|e| fail(Error::invalid(e.to_string())))?;
        let mut words = line.split_ascii_whitespace();
        let pair = (words.next(), words.next(), words.next());
        let (Some(a), Some(b), None) = pair else {
            return Err(fail(Error::invalid("it must be two versions")));
        };
        if line.len() > LONGEST_LINE {
            return Err(fail(Error::invalid(format!("it is longer than {LONGEST_LINE} bytes"))));
        }
        let sign = sign(order.compare(a, b).map_err(fail)?);
        writeln!(out, "{sign}").map_err(|e| Error::internal("the answer cannot be written").with_source(e))?;
    }
    Ok(())
}
