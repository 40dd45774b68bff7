//! The answers of a public index, with their ages, in bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use pybit_core::base::BaseSource;
use pybit_core::clock::Timestamp;

/// The most names and sources together; a source takes about 150 bytes.
const MAX_WEIGHT: usize = 200_000;

/// An answer about one name.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) at: Timestamp,
    /// The index's sources of the name; `None` where the name is free.
    pub(super) sources: Option<Arc<[BaseSource]>>,
}

impl Answer {
    fn weight(&self) -> usize {
        1 + self.sources.as_ref().map_or(0, |sources| sources.len())
    }
}

/// The answers by name. The oldest ones make room for new ones.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: BTreeMap<String, Answer>,
    weight: usize,
}

impl Cache {
    pub(super) fn get(&self, name: &str) -> Option<&Answer> {
        self.answers.get(name)
    }

    pub(super) fn insert(&mut self, name: &str, answer: Answer) {
        self.weight += answer.weight();
        if let Some(old) = self.answers.insert(name.to_owned(), answer) {
            self.weight -= old.weight();
        }
        while self.weight > MAX_WEIGHT {
            let oldest = self.answers.iter().min_by_key(|(_, answer)| answer.at);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return };
            if let Some(old) = self.answers.remove(&oldest) {
                self.weight -= old.weight();
            }
        }
    }

    /// The numbers of names and of those that the index has.
    pub(super) fn counts(&self) -> (usize, usize) {
        let owned = self.answers.values().filter(|answer| answer.sources.is_some());
        (self.answers.len(), owned.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answers_make_room() {
        let mut cache = Cache::default();
        let source = BaseSource { version: String::new(), sha256: None };
        let half: Arc<[BaseSource]> = vec![source; MAX_WEIGHT / 2 - 1].into();
        for (at, name) in [(2, "b"), (1, "a"), (3, "c"), (4, "c")] {
            let at = Timestamp::from_micros(at);
            cache.insert(name, Answer { at, sources: Some(Arc::clone(&half)) });
        }
        assert!(cache.get("a").is_none() && cache.get("b").is_some());
        assert_eq!(cache.get("c").unwrap().at, Timestamp::from_micros(4));
        cache.insert("d", Answer { at: Timestamp::from_micros(5), sources: None });
        assert_eq!((cache.counts(), cache.weight), ((2, 1), MAX_WEIGHT / 2 + 1));
    }
}
