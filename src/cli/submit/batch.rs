//! `pybit submit --batch`: many sources in one request.

use std::path::Path;
use std::process::ExitCode;

use pybit_client::Api;
use pybit_core::model::{NewSubmission, Suite};
use pybit_core::protocol::{BatchLine, BatchReply, BatchRequest};
use pybit_core::{Error, Result};
use serde_json::{Value, json};

use super::{Args, bring};
use crate::cli::context::{fresh_key, patiently, read_text, soon};
use crate::cli::output;

/// A line of the file: its number, and what it asks for or why that cannot be read.
type Line = (usize, Result<Value>);

/// Prints the number of each submission, and says of each line that is refused why. Exit 0 only if none is.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode> {
    let file = args.batch.clone().unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    for (n, text) in read_text(&file)?.lines().enumerate() {
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            lines.push((n + 1, wish(text, &args, api).await));
        }
    }
    let submissions: Vec<Value> =
        lines.iter().filter_map(|(_, l)| l.as_ref().ok().cloned()).collect();
    if submissions.is_empty() && lines.is_empty() {
        return Err(Error::invalid(format!("{} names no source", file.display())));
    }
    if !args.json {
        output::note(format!("submitting {} sources", submissions.len()));
    }
    let batch = BatchRequest { submissions, confirmed: args.yes };
    let key = args.idempotency_key.clone().unwrap_or_else(fresh_key);
    let reply = patiently(soon(), async || api.submit_batch(&batch, Some(&key)).await).await?;
    let reply = with_unreadable(lines.iter().map(|(_, line)| line.as_ref()), reply)?;
    let numbers: Vec<usize> = lines.iter().map(|(n, _)| *n).collect();
    tell(&file, &numbers, &reply, args.json)
}

/// Puts the lines that were not sent in their places.
fn with_unreadable<'a>(
    lines: impl Iterator<Item = std::result::Result<&'a Value, &'a Error>>,
    reply: BatchReply,
) -> Result<BatchReply> {
    let mut answers = reply.lines.into_iter();
    let line = |line: std::result::Result<&Value, &Error>| match line {
        Ok(_) => {
            answers.next().ok_or_else(|| Error::internal("the server has answered too few lines"))
        }
        Err(e) => {
            Ok(BatchLine::Refused { code: e.code().to_owned(), message: e.message().to_owned() })
        }
    };
    Ok(BatchReply { lines: lines.map(line).collect::<Result<_>>()? })
}

fn tell(file: &Path, numbers: &[usize], reply: &BatchReply, as_json: bool) -> Result<ExitCode> {
    let mut refused = 0;
    for (line, number) in reply.lines.iter().zip(numbers) {
        match line {
            BatchLine::Recorded { submission, .. } if !as_json => {
                output::line(submission.to_string());
            }
            BatchLine::Recorded { .. } => {}
            BatchLine::Refused { message, .. } => {
                refused += 1;
                if !as_json {
                    output::complain(&format!("{}, line {number}: {message}", file.display()));
                }
            }
        }
    }
    if as_json {
        output::json(reply)?;
    } else {
        output::note(format!("{} submitted, {refused} refused", reply.lines.len() - refused));
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a line asks for: JSON as the API takes it, or a source and what differs from the command's options.
async fn wish(text: &str, args: &Args, api: &Api) -> Result<Value> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|e| {
            Error::invalid(format!("this is no JSON: {e}")).with_code("malformed_line")
        });
    }
    let mut words = text.split_ascii_whitespace();
    let source = words.next().unwrap_or_default();
    let mut suite: Option<Suite> = args.suite.clone();
    let mut given = json!({
        "dist": args.dist, "format": args.format, "arches": args.arch, "env": args.env,
        "priority": args.priority, "force": args.force,
    });
    for word in words {
        match word.split_once('=') {
            Some(("suite", value)) => suite = Some(value.parse()?),
            Some((key @ ("dist" | "format" | "env"), value)) => given[key] = value.into(),
            Some(("arch", value)) => given["arches"] = value.split(',').collect(),
            Some(("priority", value)) => {
                let number: i64 = value.parse().map_err(|_| malformed(word))?;
                given["priority"] = number.into();
            }
            None if word == "force" => given["force"] = true.into(),
            _ => return Err(malformed(word)),
        }
    }
    let suite = suite.ok_or_else(|| {
        Error::invalid("it names no suite, and neither does --suite").with_code("unknown_suite")
    })?;
    let source = bring(api, source.to_owned()).await?;
    let named = serde_json::to_value(NewSubmission::new(source, suite))
        .map_err(|e| Error::internal("a submission cannot be written as JSON").with_source(e))?;
    let (Value::Object(mut whole), Value::Object(given)) = (named, given) else {
        return Err(Error::internal("a submission is an object"));
    };
    whole.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    Ok(Value::Object(whole))
}

fn malformed(word: &str) -> Error {
    Error::invalid(format!(
        "\"{word}\" is none of suite=, dist=, format=, arch=, env=, priority= and force"
    ))
    .with_code("malformed_line")
}
