//! What every [`Rows`] must do.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::{Case, cases};
use crate::memory::{Rows, Write};

/// Every bullet of [`Rows`]. A storage over rows passes [`STORAGE`](super::STORAGE) too, which never reads them again.
pub const ROWS: &[Case<dyn Rows>] = cases! {
    checks {
        a_load_returns_what_was_put_last,
        any_text_comes_back,
        a_load_settles_what_was_begun,
        a_batch_is_kept_whole,
        removing_what_is_not_there_is_no_failure,
    }
};

mod checks {
    use super::{Arc, BTreeMap, Poll, Rows, Write, poll_fn};

    fn put(key: impl Into<String>, value: impl Into<String>) -> Write {
        Write::Put { key: key.into(), value: value.into() }
    }

    fn remove(key: &str) -> Write {
        Write::Remove { key: key.to_owned() }
    }

    /// What is kept; no key stands twice.
    async fn kept(rows: &Arc<dyn Rows>) -> BTreeMap<String, String> {
        let all = rows.load().await.expect("the backend works");
        let (count, map) = (all.len(), BTreeMap::from_iter(all));
        assert_eq!(count, map.len(), "a key stands twice");
        map
    }

    fn map(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    pub(super) async fn a_load_returns_what_was_put_last(rows: Arc<dyn Rows>) {
        assert_eq!(kept(&rows).await, map(&[]), "a fresh backend holds nothing");
        rows.commit(vec![put("jobs/2", "a"), put("jobs/10", "b"), put("job", "c")])
            .await
            .expect("the backend works");
        rows.commit(vec![put("jobs/2", "longer than before"), remove("job")])
            .await
            .expect("the backend works");
        rows.commit(vec![put("jobs/10", "")]).await.expect("the backend works");
        assert_eq!(kept(&rows).await, map(&[("jobs/10", ""), ("jobs/2", "longer than before")]));
        rows.commit(vec![remove("jobs/2")]).await.expect("the backend works");
        rows.commit(vec![put("jobs/2", "again")]).await.expect("the backend works");
        assert_eq!(kept(&rows).await, map(&[("jobs/10", ""), ("jobs/2", "again")]));
        rows.health().await.expect("the backend works");
    }

    pub(super) async fn any_text_comes_back(rows: Arc<dyn Rows>) {
        let odd = "\0 \t\r\n\u{1b}[2J \"\\' {} %00 \u{fffd} πβ 𝄞\n\n".to_owned();
        let long = odd.repeat((1 << 20) / odd.len());
        let want = [(odd.clone(), long), ("k".repeat(300), odd), ("/".to_owned(), String::new())];
        rows.commit(want.iter().map(|(k, v)| put(k, v)).collect())
            .await
            .expect("the backend works");
        assert!(kept(&rows).await == BTreeMap::from(want), "a text came back as another");
    }

    pub(super) async fn a_load_settles_what_was_begun(rows: Arc<dyn Rows>) {
        rows.commit(vec![put("before", "1")]).await.expect("the backend works");
        for round in 0..20_u32 {
            let number = round.to_string();
            let mut begun = rows.commit(vec![put("one", &number), put("other", &number)]);
            poll_fn(|context| {
                let _ = begun.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
            drop(begun);
            let first = kept(&rows).await;
            assert_eq!(first.get("one"), first.get("other"), "half a commit is kept");
            assert_eq!(first.get("before").map(String::as_str), Some("1"));
            tokio::task::yield_now().await;
            assert_eq!(kept(&rows).await, first, "a commit came after the load that settled it");
        }
    }

    pub(super) async fn a_batch_is_kept_whole(rows: Arc<dyn Rows>) {
        let all: BTreeMap<_, _> =
            (0..3000).map(|n| (format!("parts/[{n},0]"), format!("{n}"))).collect();
        rows.commit(all.iter().map(|(k, v)| put(k, v)).collect()).await.expect("the backend works");
        assert_eq!(kept(&rows).await, all);
        let mixed = all.keys().enumerate();
        let mixed = mixed.map(|(at, k)| if at == 0 { put(k, "stays") } else { remove(k) });
        rows.commit(mixed.collect()).await.expect("the backend works");
        assert_eq!(kept(&rows).await, map(&[("parts/[0,0]", "stays")]));
        rows.commit(Vec::new()).await.expect("the backend works");
        assert_eq!(kept(&rows).await, map(&[("parts/[0,0]", "stays")]));
    }

    pub(super) async fn removing_what_is_not_there_is_no_failure(rows: Arc<dyn Rows>) {
        rows.commit(vec![put("a", "1")]).await.expect("the backend works");
        rows.commit(vec![remove("b"), remove("a/")]).await.expect("the backend works");
        assert_eq!(kept(&rows).await, map(&[("a", "1")]));
    }
}
