//! With whose keys an S3 store is spoken to.

use std::path::{Path, PathBuf};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::S3Options;
use crate::private_file::{self, Refused};

/// Variables that say where a workload's own credentials come from, on clusters that give it some.
const WORKLOAD: [&str; 7] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Gives the builder its keys, or where to get them; refuses where there are none, in words without a secret.
pub(super) fn add(
    mut builder: AmazonS3Builder,
    options: &S3Options,
    given: impl Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder, String> {
    let keys = match &options.credentials_file {
        Some(file) => Some(Keys::read(file)?),
        None => match (given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                Some(Keys { id, secret, token: given("AWS_SESSION_TOKEN") })
            }
            (Some(_), None) => return Err("AWS_SECRET_ACCESS_KEY is missing".to_owned()),
            (None, Some(_)) => return Err("AWS_ACCESS_KEY_ID is missing".to_owned()),
            (None, None) => given("AWS_SHARED_CREDENTIALS_FILE")
                .map(|file| Keys::read(&PathBuf::from(file)))
                .transpose()?,
        },
    };
    if let Some(keys) = keys {
        builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
        return Ok(match keys.token {
            Some(token) => builder.with_token(token),
            None => builder,
        });
    }
    let mut workload = false;
    for name in WORKLOAD {
        if let (Some(value), Ok(key)) =
            (given(name), name.to_lowercase().parse::<AmazonS3ConfigKey>())
        {
            builder = builder.with_config(key, value);
            workload = true;
        }
    }
    if workload || options.instance_credentials {
        return Ok(builder);
    }
    Err("there are no credentials; set credentials_file, or AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY in the environment"
        .to_owned())
}

/// An access key. Not `Debug`: nothing may show it.
struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Keys {
    /// Reads `[default]` of a file that nobody else can read.
    fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let text = private_file::read(file, 64 << 10).map_err(|refused| match refused {
            Refused::Open => format!("{shown} can be read by others; run chmod 600 {shown}"),
            Refused::Unreadable(e) => format!("cannot read the credentials {shown}: {e}"),
        })?;
        Self::parse(&text).ok_or_else(|| {
            format!("{shown} lacks aws_access_key_id or aws_secret_access_key below [default]")
        })
    }

    /// Sections, `key = value`, comments: docs.aws.amazon.com/sdkref/latest/guide/file-format.html
    fn parse(text: &str) -> Option<Self> {
        let (mut id, mut secret, mut token, mut ours) = (None, None, None, false);
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some(section) = line.strip_prefix('[') {
                ours = section.trim_end_matches(']').trim() == "default";
            } else if let Some((key, value)) = line.split_once('=').filter(|_| ours) {
                let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
                match key.trim().to_ascii_lowercase().as_str() {
                    "aws_access_key_id" => id = value,
                    "aws_secret_access_key" => secret = value,
                    "aws_session_token" => token = value,
                    _ => {}
                }
            }
        }
        Some(Self { id: id?, secret: secret?, token })
    }
}
