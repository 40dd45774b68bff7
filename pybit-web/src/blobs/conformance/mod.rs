//! The contract of [`Blobs`], a case for each promise, run on every store.

mod cases;
#[cfg(feature = "s3")]
mod outage;

use pybit_core::settings::Settings;

use super::Blobs;

/// One store, opened as two farms see it.
struct Place {
    blobs: Blobs,
    neighbour: Blobs,
    _dir: Option<tempfile::TempDir>,
}

fn memory() -> Place {
    let open = || Blobs::open(&Settings::url("memory:")).unwrap();
    Place { blobs: open(), neighbour: open(), _dir: None }
}

fn folder() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Blobs::folder(&dir.path().join(name)).unwrap();
    Place { blobs: open("one"), neighbour: open("two"), _dir: Some(dir) }
}

#[cfg(feature = "s3")]
fn s3() -> Place {
    let prefix = format!("{:016x}", rand::random::<u64>());
    let open = |farm: &str| Blobs::open(&bucket(&format!("{prefix}/{farm}"), None)).unwrap();
    Place { blobs: open("one"), neighbour: open("two"), _dir: None }
}

/// The bucket of the test server, below a prefix, perhaps reached at another address.
#[cfg(feature = "s3")]
fn bucket(prefix: &str, endpoint: Option<&str>) -> Settings {
    let variable = |name: &str| {
        std::env::var(name)
            .unwrap_or_else(|_| panic!("{name} names no S3 server: `make services` starts one"))
    };
    let mut settings = Settings::url(format!("{}/{prefix}", variable("PYBIT_TEST_S3_URL")));
    let usual = variable("PYBIT_TEST_S3_ENDPOINT");
    let mut set = |key: &str, value: &str| {
        settings.options.insert(key.to_owned(), value.into());
    };
    set("endpoint", endpoint.unwrap_or(&usual));
    set("credentials_file", &variable("PYBIT_TEST_S3_CREDENTIALS"));
    settings
}

macro_rules! conforms {
    ($store:ident, $needs:meta: $($case:ident),+ $(,)?) => {
        mod $store {
            $(#[tokio::test(flavor = "multi_thread")]
            #[$needs]
            async fn $case() {
                super::super::cases::$case(super::super::$store()).await;
            })+
        }
    };
}

/// Every case, on every store.
mod on {
    macro_rules! every {
        ($($case:ident),+ $(,)?) => {
            conforms!(memory, doc = "needs nothing": $($case),+);
            conforms!(folder, doc = "needs nothing": $($case),+);
            #[cfg(feature = "s3")]
            conforms!(s3, ignore = "needs an S3 server": $($case),+);
        };
    }

    every!(
        what_was_put_is_read_back_whole_and_by_range,
        an_empty_object_is_an_object,
        a_name_that_is_taken_is_refused_unless_the_bytes_are_the_same,
        of_several_writers_of_one_name_the_object_is_whole,
        an_absent_object_is_told_apart,
        discarding_is_idempotent_and_goes_on,
        a_copy_is_an_object_of_its_own,
        a_name_of_any_characters_stays_below_the_prefix,
        a_writers_object_appears_whole_or_not_at_all,
        a_writer_holds_a_bounded_piece,
        objects_are_listed_by_prefix_and_age,
        two_farms_do_not_see_each_other,
        a_check_leaves_nothing,
    );
}

/// On stores that decide a race: an S3 server should, but that of the tests looks first and writes then
/// (docs/decisions/0008-s3-in-tests.md). Nothing here stands on it: names hold 64 random bits.
mod racing {
    conforms!(memory, doc = "needs nothing": of_several_writers_of_one_name_one_wins);
    conforms!(folder, doc = "needs nothing": of_several_writers_of_one_name_one_wins);
}
