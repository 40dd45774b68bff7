//! An object store's failure in the farm's words.

use std::error::Error as StdError;

use object_store::Error as StoreError;
use pybit_core::{Error, ErrorKind};

/// Told by what is behind it: a full disk is `Full`, an absent object `NotFound`, everything else `Unavailable` with the
/// store's name and what it said. An object store's answers and our requests' addresses hold no secret: those are in headers.
pub(super) fn failure(shown: &str, verb: &str, object: &str, error: StoreError) -> Error {
    let said = error.to_string();
    if matches!(error, StoreError::NotFound { .. }) && verb != "store" && !names_bucket(&said) {
        let message = format!("the stored object {object} is not there");
        return Error::not_found(message).with_code("object_missing").with_source(error);
    }
    if is_full(&error) || FULL.iter().any(|code| code_of(&said) == Some(code)) {
        let message = "there is no space left for files and logs; free some, then send it again";
        return Error::new(ErrorKind::Full, message).with_code("full").with_source(error);
    }
    let message = format!("cannot {verb} the object {object}: {shown} {}", why(&error, &said));
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

/// What S3-compatible stores without space answer.
const FULL: [&str; 3] = ["XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"];
/// What they answer to a request for another region.
const ELSEWHERE: [&str; 2] = ["PermanentRedirect", "AuthorizationHeaderMalformed"];

fn why(error: &StoreError, said: &str) -> String {
    let code = code_of(said);
    let told = code.map_or_else(String::new, |code| format!(" ({code})"));
    if code.is_some_and(|c| ELSEWHERE.contains(&c)) || said.contains("without LOCATION") {
        return format!("is in another region than configured{told}");
    }
    match error {
        _ if names_bucket(said) => "has no such bucket".to_owned(),
        StoreError::NotFound { .. } => "is not there any more".to_owned(),
        StoreError::Unauthenticated { .. } | StoreError::PermissionDenied { .. } => {
            format!("refuses the credentials{told}")
        }
        _ if code.is_some() => format!("refuses it{told}"),
        _ => on_the_way(error),
    }
}

fn names_bucket(said: &str) -> bool {
    code_of(said) == Some("NoSuchBucket")
}

/// The code in an S3 error document; ours are letters only, so a hostile answer brings nothing into a message.
fn code_of(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() < 60 && code.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(code)
}

/// How a request did not come through.
fn on_the_way(error: &(dyn StdError + 'static)) -> String {
    #[cfg(feature = "s3")]
    {
        use object_store::client::{HttpError, HttpErrorKind};
        let http = causes(error).find_map(|cause| cause.downcast_ref::<HttpError>());
        if let Some(http) = http {
            return match http.kind() {
                HttpErrorKind::Connect => "cannot be reached".to_owned(),
                HttpErrorKind::Timeout => "does not answer in time".to_owned(),
                _ => "broke off the connection".to_owned(),
            };
        }
    }
    let io = causes(error).find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.map_or_else(|| "does not work".to_owned(), |io| format!("does not work: {io}"))
}

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| matches!(io.kind(), StorageFull | QuotaExceeded))
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// Whether a file's folder was not there.
pub(super) fn is_without_folder(error: &object_store::Error) -> bool {
    let absent = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(absent) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn what_a_store_answers_becomes_a_kind_and_a_sentence() {
        let full = "507: <Error><Code>XMinioStorageFull</Code></Error>";
        assert_eq!(failure("s", "store", "a", generic(full)).kind(), ErrorKind::Full);
        let absent = || StoreError::NotFound { path: "a".to_owned(), source: "404".into() };
        assert_eq!(failure("s", "read", "a", absent()).code(), "object_missing");
        assert_eq!(failure("s", "store", "a", absent()).kind(), ErrorKind::Unavailable);
        let bucket = StoreError::NotFound {
            path: "a".to_owned(),
            source: "404: <Code>NoSuchBucket</Code>".into(),
        };
        let error = failure("the S3 store s3://b", "read", "a", bucket);
        assert_eq!(
            error.message(),
            "cannot read the object a: the S3 store s3://b has no such bucket"
        );
        let region = generic("301: <Code>PermanentRedirect</Code>");
        assert!(failure("s", "read", "a", region).message().contains("another region"));
        assert_eq!(code_of("<Code>\u{1b}[2J</Code>"), None);
    }
}
