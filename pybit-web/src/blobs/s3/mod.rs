//! S3 and what speaks its protocol: how to reach it, and with whose keys.
//!
//! Credentials are never keys of the configuration: they come from a file of mode 0600 or from the variables that every S3 tool
//! reads. Without any, nothing is asked of the network: the library behind this would go on to ask a cloud's metadata service.

mod credentials;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use pybit_core::settings::Settings;
use pybit_core::{Error, Result};
use reqwest::Url;
use serde::Deserialize;

use super::Blobs;

/// The keys beside the URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct S3Options {
    /// The server's address without bucket, `https://s3.example.org`; `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, or
    /// Amazon's where left out.
    endpoint: Option<String>,
    /// `AWS_REGION`, `AWS_DEFAULT_REGION` or `us-east-1` where left out.
    region: Option<String>,
    /// Whether the bucket stands in the path and not in the host; `true` where left out and an endpoint is given.
    path_style: Option<bool>,
    /// Whether an endpoint of another machine may be spoken to without TLS.
    allow_http: bool,
    /// A file as the AWS tools write it; its `[default]` is read. `AWS_SHARED_CREDENTIALS_FILE` where left out.
    credentials_file: Option<PathBuf>,
    /// Whether the machine's metadata service may be asked for credentials.
    instance_credentials: bool,
    /// A file of certificates, PEM, that may sign the server's, besides those of the machine.
    ca_file: Option<PathBuf>,
    /// The longest that one request may take, a piece of 8 MiB included.
    timeout_secs: u64,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: None,
            allow_http: false,
            credentials_file: None,
            instance_credentials: false,
            ca_file: None,
            timeout_secs: 30,
        }
    }
}

/// A connection is made within this time, or tried again.
const CONNECT: Duration = Duration::from_secs(5);
/// After this long no request is tried again: whoever sent the bytes has them still, and is told to come back.
const RETRIES: Duration = Duration::from_secs(8);

/// Opens `s3://bucket/prefix`; `variable` is the environment. Nothing is asked of the server yet.
pub(super) fn open(
    settings: &Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Blobs> {
    let refuse = |why: &str| {
        let message = format!("the blob store {} is refused: {why}", settings.shown());
        Error::invalid(message).with_code("invalid_configuration")
    };
    let options: S3Options = settings.options()?;
    let (bucket, prefix) = bucket_of(&settings.url).map_err(refuse)?;
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let endpoint = options.endpoint.clone();
    let endpoint =
        endpoint.or_else(|| given("AWS_ENDPOINT_URL_S3")).or_else(|| given("AWS_ENDPOINT_URL"));
    let endpoint =
        endpoint.map(|text| Endpoint::parse(&text, &options)).transpose().map_err(refuse)?;
    let region = options.region.clone().or_else(|| given("AWS_REGION"));
    let region = region.or_else(|| given("AWS_DEFAULT_REGION"));
    let path_style = options.path_style.unwrap_or(endpoint.is_some());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.unwrap_or_else(|| "us-east-1".to_owned()))
        .with_virtual_hosted_style_request(!path_style)
        // Not every store has the call that removes many at once.
        .with_disable_bulk_delete(true)
        .with_retry(retries())
        .with_client_options(client(&options, endpoint.as_ref()).map_err(|e| refuse(&e))?);
    let mut shown = format!("the S3 store {}", settings.shown());
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint.address(bucket, path_style));
        shown = format!("{shown} at {}", endpoint.shown());
    }
    builder = credentials::add(builder, &options, given).map_err(|e| refuse(&e))?;
    // Another part of the program may have chosen the same one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = builder.build().map_err(|e| refuse(&e.to_string()))?;
    Ok(match prefix {
        Some(prefix) => Blobs::new(Arc::new(PrefixStore::new(store, prefix)), &shown),
        None => Blobs::new(Arc::new(store), &shown),
    })
}

/// `s3://bucket` or `s3://bucket/some/prefix`.
fn bucket_of(url: &str) -> Result<(&str, Option<Path>), &'static str> {
    let rest = url.strip_prefix("s3://").ok_or("write s3://bucket or s3://bucket/prefix")?;
    if rest.contains(['?', '#', '@']) {
        return Err("it must not hold ?, # or @; options and credentials have their own places");
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
        return Err("a bucket's name has 3 to 63 letters, digits, dots and dashes");
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Ok((bucket, None));
    }
    let path = Path::parse(prefix).map_err(|_| "its prefix has an empty or impossible part")?;
    Ok((bucket, Some(path)))
}

/// A server's address: scheme, host and port.
#[derive(Debug, Clone)]
struct Endpoint(Url);

impl Endpoint {
    fn parse(text: &str, options: &S3Options) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "its endpoint is no URL; write https://host")?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !url.username().is_empty() || url.password().is_some() || !is_bare {
            return Err("its endpoint is more than https://host:port");
        }
        let endpoint = Self(url);
        match endpoint.0.scheme() {
            "https" => Ok(endpoint),
            "http" if options.allow_http || endpoint.is_loopback() => Ok(endpoint),
            "http" => Err(
                "its endpoint is without TLS and on another machine; write https:, or allow_http = true",
            ),
            _ => Err("its endpoint is neither https: nor http:"),
        }
    }

    fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn shown(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// As the library wants it: with the bucket in the host, where it is to be there.
    fn address(&self, bucket: &str, path_style: bool) -> String {
        match self.shown().split_once("://") {
            Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}"),
            _ => self.shown().to_owned(),
        }
    }
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.,
    };
    RetryConfig { backoff, max_retries: 5, retry_timeout: RETRIES }
}

fn client(options: &S3Options, endpoint: Option<&Endpoint>) -> Result<ClientOptions, String> {
    let mut client = ClientOptions::new()
        .with_allow_http(endpoint.is_some_and(Endpoint::is_plain))
        .with_connect_timeout(CONNECT)
        .with_timeout(Duration::from_secs(options.timeout_secs.max(1)));
    if let Some(file) = &options.ca_file {
        let cannot = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", file.display());
        let pem = std::fs::read(file).map_err(|e| cannot(&e))?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| cannot(&e))? {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str, keys: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Blobs> {
        let mut settings = Settings::url(url);
        for (key, value) in keys {
            let value = value.parse::<bool>().map_or_else(|_| (*value).into(), Into::into);
            settings.options.insert((*key).to_owned(), value);
        }
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name);
        open(&settings, |name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    const KEYS: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];

    fn refusal(url: &str, keys: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let error = opened(url, keys, variables).unwrap_err();
        assert_eq!(error.code(), "invalid_configuration", "{error}");
        let said = format!("{error} {error:?}");
        assert!(!said.contains("hunter2"), "{said}");
        error.to_string()
    }

    #[test]
    fn a_store_is_named_without_its_keys() {
        let keys = [("endpoint", "http://127.0.0.1:9000")];
        let blobs = opened("s3://farm/blue", &keys, &KEYS).unwrap();
        let said = format!("{blobs:?}");
        assert_eq!(said, "Blobs(the S3 store s3://farm/blue at http://127.0.0.1:9000)");
    }

    #[test]
    fn an_address_without_tls_is_taken_on_loopback_or_when_said() {
        let at = |endpoint: &str, more: &[(&str, &str)]| {
            let keys = [&[("endpoint", endpoint)], more].concat();
            opened("s3://farm", &keys, &KEYS).map(drop)
        };
        for fine in ["http://localhost:1", "http://[::1]:1", "http://127.0.0.9", "https://s3.lan"] {
            at(fine, &[]).unwrap();
        }
        assert!(at("http://s3.lan", &[]).unwrap_err().to_string().contains("allow_http"));
        at("http://s3.lan", &[("allow_http", "true")]).unwrap();
        for wrong in ["s3.lan", "ftp://s3.lan", "https://u:hunter2@s3.lan", "https://s3.lan/b"] {
            let said = refusal("s3://farm", &[("endpoint", wrong)], &KEYS);
            assert!(said.contains("endpoint"), "{said}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_that_are_known() {
        let said = refusal("s3://farm", &[("secret_access_key", "hunter2")], &KEYS);
        assert!(said.contains("secret_access_key") && said.contains("credentials_file"), "{said}");
    }

    #[test]
    fn a_bucket_has_a_name_and_a_prefix_stays_below_it() {
        assert_eq!(bucket_of("s3://farm/a/b/").unwrap(), ("farm", Some(Path::from("a/b"))));
        assert_eq!(bucket_of("s3://farm").unwrap(), ("farm", None));
        for url in [
            "s3://",
            "s3:farm",
            "s3://fa",
            "s3://u:p@farm",
            "s3://farm?x",
            "s3://farm/../a",
            "s3://farm/a//b",
        ] {
            assert!(bucket_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_come_from_a_file_or_the_environment_and_never_from_nowhere() {
        assert!(refusal("s3://farm", &[], &[]).contains("AWS_ACCESS_KEY_ID"));
        assert!(refusal("s3://farm", &[], &KEYS[..1]).contains("AWS_SECRET_ACCESS_KEY is missing"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        let text = "[other]\naws_access_key_id=x\n[default]\n# mine\naws_access_key_id = AKIA1\n\
                    aws_secret_access_key = hunter2\n";
        std::fs::write(&file, text).unwrap();
        let key = [("credentials_file", file.to_str().unwrap())];
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert!(refusal("s3://farm", &key, &[]).contains("chmod 600"));
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        opened("s3://farm", &key, &[]).unwrap();
        std::fs::write(&file, "[other]\naws_secret_access_key = hunter2\n").unwrap();
        assert!(refusal("s3://farm", &key, &[]).contains("[default]"));
    }

    #[test]
    fn the_bucket_stands_where_it_was_said() {
        let options = S3Options::default();
        let endpoint = Endpoint::parse("https://s3.lan:9000", &options).unwrap();
        assert_eq!(endpoint.address("farm", true), "https://s3.lan:9000");
        assert_eq!(endpoint.address("farm", false), "https://farm.s3.lan:9000");
    }
}
