//! Every state and event, and the promises that hold over all of them.

use super::*;

const ENDS: [End; 4] = [End::Reported, End::Cancelled, End::Gone, End::Refused];

const EVENTS: [Event; 17] = [
    Event::Fetched,
    Event::FetchedResult,
    Event::Prepared,
    Event::Built,
    Event::Collected,
    Event::Uploaded,
    Event::Reported,
    Event::Failed,
    Event::FilesMissing,
    Event::Unable,
    Event::Stopped,
    Event::Cleaned,
    Event::CleanFailed,
    Event::Told,
    Event::Cancel,
    Event::Gone,
    Event::Shutdown,
];

const WORKING: [State; 6] = [Fetching, Preparing, Building, Collecting, Uploading, Reporting];

fn states() -> Vec<State> {
    let mut states = WORKING.to_vec();
    for end in ENDS {
        states.extend([Stopping(end), Cleaning(end), Telling(end)]);
    }
    states.push(Done);
    states
}

#[expect(clippy::match_same_arms, reason = "a table: one line an edge")]
/// The edges that are meant, apart from the verdicts, which have tests of their own.
fn ordinary(state: State, event: Event) -> Option<(State, Vec<Effect>)> {
    let edge = match (state, event) {
        (Fetching, Event::Fetched) => (Preparing, vec![Do::Prepare]),
        (Fetching, Event::FetchedResult) => (Collecting, vec![Do::Collect]),
        (Fetching, Event::Failed) => (Reporting, vec![Do::Report]),
        (Fetching, Event::Unable) => (Cleaning(End::Refused), vec![Do::Clean]),
        (Preparing, Event::Prepared) => (Building, vec![Do::Build]),
        (Preparing, Event::Failed) => (Reporting, vec![Do::Report]),
        (Preparing, Event::Unable) => (Cleaning(End::Refused), vec![Do::Clean]),
        (Building, Event::Built) => (Collecting, vec![Do::Collect]),
        (Building, Event::Failed) => (Reporting, vec![Do::Report]),
        (Collecting, Event::Collected) => (Uploading, vec![Do::Upload]),
        (Collecting, Event::Failed) => (Reporting, vec![Do::Report]),
        (Uploading, Event::Uploaded) => (Reporting, vec![Do::Report]),
        (Uploading, Event::Failed) => (Reporting, vec![Do::Report]),
        (Reporting, Event::Reported) => (Cleaning(End::Reported), vec![Do::Clean]),
        (Reporting, Event::FilesMissing) => (Uploading, vec![Do::Upload]),
        (Reporting, Event::Failed) => (Reporting, vec![Do::Report]),
        (Stopping(end), Event::Stopped) => (Cleaning(end), vec![Do::Clean]),
        (Cleaning(End::Cancelled), Event::Cleaned) => {
            (Telling(End::Cancelled), vec![Do::ConfirmStopped])
        }
        (Cleaning(End::Refused), Event::Cleaned) => (Telling(End::Refused), vec![Do::Refuse]),
        (Cleaning(_), Event::Cleaned) => (Done, vec![Do::Forget]),
        (Cleaning(_), Event::CleanFailed) => (Done, vec![Do::RetireSlot]),
        (Telling(_), Event::Told) => (Done, vec![Do::Forget]),
        _ => return None,
    };
    Some(edge)
}

#[test]
fn every_state_and_event_has_the_meant_edge_or_none() {
    for state in states() {
        for event in EVENTS {
            if matches!(event, Event::Cancel | Event::Gone | Event::Shutdown) {
                continue;
            }
            let meant = ordinary(state, event).unwrap_or((state, vec![]));
            assert_eq!(step(state, event), meant, "{state:?} on {event:?}");
        }
    }
}

#[test]
fn a_cancelled_job_is_stopped_cleaned_and_only_then_confirmed() {
    for state in WORKING {
        let (state, effects) = step(state, Event::Cancel);
        assert_eq!((state, effects), (Stopping(End::Cancelled), vec![Do::Stop]));
    }
    assert_eq!(step(Cleaning(End::Refused), Event::Cancel), (Cleaning(End::Cancelled), vec![]));
    assert_eq!(step(Stopping(End::Refused), Event::Cancel), (Stopping(End::Cancelled), vec![]));
    let confirm = (Telling(End::Cancelled), vec![Do::ConfirmStopped]);
    assert_eq!(step(Telling(End::Refused), Event::Cancel), confirm);
    for state in states() {
        for event in EVENTS {
            let (_, effects) = step(state, event);
            let told = effects.contains(&Do::ConfirmStopped);
            let after_clean = matches!(state, Cleaning(_) | Telling(_));
            assert!(!told || after_clean, "{state:?} on {event:?} confirms what is not cleaned");
        }
    }
}

#[test]
fn a_job_that_the_server_does_not_want_is_cleaned_in_silence() {
    for start in states() {
        let (mut state, mut effects) = step(start, Event::Gone);
        if matches!(start, Telling(_)) {
            assert_eq!((state, effects), (Done, vec![Do::Forget]));
            continue;
        }
        for event in [Event::Stopped, Event::Cleaned] {
            let (next, more) = step(state, event);
            state = next;
            effects.extend(more);
        }
        assert_eq!(state, Done, "{start:?}");
        for spoken in [Do::Report, Do::ConfirmStopped, Do::Refuse, Do::Upload] {
            assert!(!effects.contains(&spoken), "{start:?} says {spoken:?}");
        }
    }
}

#[test]
fn a_shutdown_gives_back_what_is_not_built_and_keeps_what_is() {
    for state in states() {
        let meant = match state {
            Fetching | Preparing | Building | Collecting => {
                (Stopping(End::Refused), vec![Do::Stop])
            }
            other => (other, vec![]),
        };
        assert_eq!(step(state, Event::Shutdown), meant, "{state:?}");
    }
}

#[test]
fn every_way_to_the_end_cleans_once_it_has_begun() {
    // A walk over everything reachable: Done is reached only from a cleaned state.
    let mut reached = vec![Fetching];
    let mut at = 0;
    while at < reached.len() {
        let state = reached[at];
        for event in EVENTS {
            let (next, effects) = step(state, event);
            if next == Done && state != Done {
                assert!(matches!(state, Cleaning(_) | Telling(_)), "{state:?} on {event:?}");
                assert_eq!(effects.len(), 1);
            }
            if !reached.contains(&next) {
                reached.push(next);
            }
        }
        at += 1;
    }
    assert!(reached.contains(&Done));
}

#[test]
fn a_restarted_client_goes_on_with_what_was_built_and_cleans_the_rest() {
    for state in states() {
        let resumed = resume(state);
        match state {
            Fetching | Preparing | Building | Collecting => assert_eq!(resumed, None),
            Uploading => assert_eq!(resumed, Some((Uploading, vec![Do::Upload]))),
            Reporting => assert_eq!(resumed, Some((Reporting, vec![Do::Report]))),
            Stopping(end) | Cleaning(end) => {
                assert_eq!(resumed, Some((Cleaning(end), vec![Do::Clean])));
            }
            Telling(_) | Done => assert!(resumed.is_some()),
        }
    }
}

#[test]
fn no_effect_ends_with_an_event_that_leaves_its_job_hanging() {
    let ends = |effect: Effect| -> &'static [Event] {
        match effect {
            Do::Fetch => &[Event::Fetched, Event::FetchedResult, Event::Failed, Event::Unable],
            Do::Prepare => &[Event::Prepared, Event::Failed, Event::Unable],
            Do::Build => &[Event::Built, Event::Failed],
            Do::Collect => &[Event::Collected, Event::Failed],
            Do::Upload => &[Event::Uploaded, Event::Failed, Event::Cancel, Event::Gone],
            Do::Report => {
                &[Event::Reported, Event::Failed, Event::FilesMissing, Event::Cancel, Event::Gone]
            }
            Do::Stop => &[Event::Stopped],
            Do::Clean => &[Event::Cleaned, Event::CleanFailed],
            Do::ConfirmStopped => &[Event::Told, Event::Gone],
            Do::Refuse => &[Event::Told, Event::Cancel, Event::Gone],
            Do::Forget | Do::RetireSlot => &[],
        }
    };
    for state in states() {
        for event in EVENTS {
            let (next, effects) = step(state, event);
            for &end in effects.iter().flat_map(|e| ends(*e)) {
                let (_, more) = step(next, end);
                assert!(!more.is_empty(), "{next:?} on {end:?} does nothing more");
            }
        }
    }
}
