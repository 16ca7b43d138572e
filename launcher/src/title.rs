//! What the log says about one request.
//!
//! Owns the words, and what a request is called by: method, path and id. Deliberately absent: when something is said,
//! and the line itself (see `log`).

use std::sync::Arc;

use http::{Method, Request};

use crate::app::App;
use crate::guest::{self, Failure};
use crate::log::{Event, Kind, clip};
use crate::problem::Problem;
use crate::request_id::RequestId;

/// Bytes of a request's path that a line of the log shows.
const MAX_LOGGED_PATH: usize = 1024;

/// What a line of the log calls a request: method and path. Queries often hold what logs should not.
#[derive(Clone)]
pub(crate) struct Title {
    /// None where there is none to name.
    pub(crate) app: Option<Arc<App>>,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) id: RequestId,
}

impl Title {
    pub(crate) fn of<B>(request: &Request<B>, id: RequestId, app: Option<Arc<App>>) -> Self {
        let whole = request.uri().path();
        let mut path = clip(whole, MAX_LOGGED_PATH).to_owned();
        if path.len() < whole.len() {
            path.push('…');
        }
        Self { app, method: request.method().clone(), path, id }
    }

    /// Something that happened to the request.
    pub(crate) fn event(&self, kind: Kind, message: impl Into<String>) -> Event<'_> {
        let app = self.app.as_ref().map(|app| app.manifest().app.name.as_str());
        let event = Event::new(kind, message.into()).app(app).request(Some(self.id));
        event.target(self.method.as_str(), &self.path)
    }

    /// Its guest failed.
    pub(crate) fn failed(&self, error: &wasmtime::Error) {
        self.failure(Kind::RequestFailed, "failed", error);
    }

    /// What it shared an instance with, or it itself, ended that instance.
    pub(crate) fn begins_again(&self, error: &wasmtime::Error) {
        self.failure(Kind::RequestAgain, "begins again alone, the instance that it shared failed", error);
    }

    /// Its guest failed: `what` says when.
    pub(crate) fn failure(&self, kind: Kind, what: &str, error: &wasmtime::Error) {
        let failure = Failure::of(error);
        let Failure { because, place, .. } = match &self.app {
            Some(app) => failure.within(app.manifest(), app.lines()),
            None => failure,
        };
        self.event(kind, format!("{what}: {because}")).trap(place.as_ref()).say();
    }

    /// Says which limit a request met that is refused for it.
    pub(crate) fn limited(&self, problem: Problem) {
        if let Some(limit) = problem.limit() {
            let message = format!("refused: {}", problem.detail());
            self.event(Kind::RequestRefused, message).limit(Some(limit)).say();
        }
    }

    /// Its guest failed before it answered. Says what the client is told.
    pub(crate) fn refuse(&self, error: &wasmtime::Error) -> Problem {
        self.failed(error);
        if guest::no_room(error) { Problem::Busy } else { Problem::Failed }
    }

    /// Its guest ended without an answer.
    pub(crate) fn silent(&self) -> Problem {
        self.event(Kind::RequestFailed, "failed: the application returned without a response").say();
        Problem::Failed
    }
}
