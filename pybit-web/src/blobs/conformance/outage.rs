//! An S3 server that goes away, refuses, or has no such bucket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt;
use pybit_core::clock::Timestamp;
use pybit_core::{Error, ErrorKind};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::bucket;
use crate::blobs::Blobs;
use crate::blobs::writer::PIECE;

/// The way to the server, until it is cut.
struct Way {
    address: String,
    cut: CancellationToken,
}

impl Way {
    /// Opens a way at `address`; port 0 for a free one.
    async fn open(address: &str) -> Self {
        let server =
            std::env::var("PYBIT_TEST_S3_ENDPOINT").expect("make services starts an S3 server");
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = CancellationToken::new();
        let accepting = cut.clone();
        tokio::spawn(async move {
            while let Some(Ok((mut near, _))) =
                accepting.run_until_cancelled(listener.accept()).await
            {
                let (server, cut) = (server.clone(), accepting.clone());
                tokio::spawn(cut.run_until_cancelled_owned(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }));
            }
        });
        Self { address, cut }
    }

    /// Breaks every connection and takes no more. Returns when the address is free.
    async fn cut(&self) {
        self.cut.cancel();
        while TcpStream::connect(&self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

fn at(address: &str, prefix: &str) -> Blobs {
    Blobs::open(&bucket(prefix, Some(&format!("http://{address}")))).unwrap()
}

fn prefix() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// What stands in a message: the service, and no secret.
fn names_the_service(error: &Error, address: &str) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.message().contains("the S3 store s3://"), "{error}");
    assert!(error.message().contains(address), "{error}");
    let file = std::env::var("PYBIT_TEST_S3_CREDENTIALS").unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let secret = text.lines().find_map(|l| l.strip_prefix("aws_secret_access_key = ")).unwrap();
    let said = format!("{error} {error:?}");
    assert!(!said.contains(secret), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server"]
async fn an_outage_in_the_middle_is_unavailable_soon_and_nothing_is_lost() {
    let prefix = prefix();
    let way = Way::open("127.0.0.1:0").await;
    let blobs = at(&way.address, &prefix);
    blobs.put("parts/1/0-a", Bytes::from_static(b"before")).await.unwrap();
    let mut writer = blobs.writer("blobs/aa/half");
    writer.write(&vec![1; PIECE]).await.unwrap();
    way.cut().await;
    let start = Instant::now();
    let error = blobs.put("parts/1/6-b", Bytes::from_static(b"during")).await.unwrap_err();
    names_the_service(&error, &way.address);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    names_the_service(&blobs.check().await.unwrap_err(), &way.address);
    assert!(writer.write(&vec![2; PIECE]).await.is_err());
    let back = Way::open(&way.address).await;
    blobs.put("parts/1/6-b", Bytes::from_static(b"during")).await.unwrap();
    assert_eq!(blobs.range("parts/1/0-a", 0, 6).await.unwrap(), "before");
    assert_eq!(blobs.length("blobs/aa/half").await.unwrap(), None);
    blobs.check().await.unwrap();
    back.cut().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server"]
async fn a_short_outage_is_ridden_out() {
    let way = Way::open("127.0.0.1:0").await;
    let blobs = at(&way.address, &prefix());
    blobs.check().await.unwrap();
    way.cut().await;
    let put = tokio::spawn({
        let blobs = blobs.clone();
        async move { blobs.put("parts/1/0-a", Bytes::from_static(b"x")).await }
    });
    let _back = Way::open(&way.address).await;
    put.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server"]
async fn a_wrong_key_and_a_wrong_bucket_are_each_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("credentials");
    let right =
        std::fs::read_to_string(std::env::var("PYBIT_TEST_S3_CREDENTIALS").unwrap()).unwrap();
    std::fs::write(&wrong, format!("{right}aws_secret_access_key = wrong-key\n")).unwrap();
    std::fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut settings = bucket(&prefix(), None);
    settings.options.insert("credentials_file".to_owned(), wrong.to_str().unwrap().into());
    let error = Blobs::open(&settings).unwrap().check().await.unwrap_err();
    names_the_service(&error, "http://127.0.0.1:");
    assert!(error.message().contains("refuses the credentials (SignatureDoesNotMatch)"), "{error}");
    assert!(!format!("{error:?}").contains("wrong-key"));

    let mut settings = bucket("", None);
    settings.url = format!("s3://none-{}", prefix());
    let blobs = Blobs::open(&settings).unwrap();
    // The test server makes a bucket for whoever writes, so this one only looks.
    let error = blobs.older("parts", Timestamp::from_micros(0)).try_next().await.unwrap_err();
    names_the_service(&error, "http://127.0.0.1:");
    assert!(error.message().ends_with("has no such bucket"), "{error}");
}
