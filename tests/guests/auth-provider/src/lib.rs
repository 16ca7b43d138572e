//! Provides `acme:auth/check`: the token `NAME-secret` opens a session of the user `NAME`.

wit_bindgen::generate!({
    path: "../wit/acme-auth",
    world: "acme:auth/provider",
});

use exports::acme::auth::check::{Guest, GuestSession, Session};

struct Provider;

export!(Provider);

/// What a session is on this side.
struct Opened {
    user: String,
}

impl Guest for Provider {
    type Session = Opened;

    fn verify(token: String) -> Result<Session, String> {
        match token.strip_suffix("-secret") {
            Some(user) if !user.is_empty() => Ok(Session::new(Opened { user: user.to_owned() })),
            _ => Err("bad token".to_owned()),
        }
    }
}

impl GuestSession for Opened {
    fn user(&self) -> String {
        self.user.clone()
    }
}
