//! `wasi:io` as far as files need it: streams that bytes are read from, which never have to be waited for. There are no errors, and no
//! streams to write to, so calls of these cannot come.

use std::cell::Cell;

use tree::MOST;

use crate::Provider;
use crate::exports::wasi::io::error::{self, GuestError};
use crate::exports::wasi::io::poll::{self, GuestPollable, PollableBorrow};
use crate::exports::wasi::io::streams::{
    self, GuestInputStream, GuestOutputStream, InputStreamBorrow, StreamError,
};
use crate::wadoo::files::tree as baked;

impl error::Guest for Provider {
    type Error = Never;
}

impl poll::Guest for Provider {
    type Pollable = Ready;

    fn poll(pollables: Vec<PollableBorrow<'_>>) -> Vec<u32> {
        // Nothing would ever wake who waits for nothing.
        assert!(!pollables.is_empty(), "nothing to poll");
        (0..pollables.len() as u32).collect()
    }
}

impl streams::Guest for Provider {
    type InputStream = Input;
    type OutputStream = Never;
}

/// What is always ready.
pub struct Ready;

impl GuestPollable for Ready {
    fn ready(&self) -> bool {
        true
    }

    fn block(&self) {}
}

/// The rest of a file.
pub struct Input {
    at: Cell<u64>,
    left: Cell<u64>,
}

impl Input {
    pub fn new(at: u64, left: u64) -> Self {
        Self { at: Cell::new(at), left: Cell::new(left) }
    }

    /// Goes on by `length` bytes at most, and tells from where and by how many.
    fn advance(&self, length: u64) -> Result<(u64, u64), StreamError> {
        let (at, left) = (self.at.get(), self.left.get());
        if left == 0 && length > 0 {
            return Err(StreamError::Closed);
        }
        let length = length.min(left);
        self.at.set(at + length);
        self.left.set(left - length);
        Ok((at, length))
    }
}

impl GuestInputStream for Input {
    fn read(&self, length: u64) -> Result<Vec<u8>, StreamError> {
        let (at, length) = self.advance(length.min(MOST))?;
        Ok(baked::read(at, length as u32))
    }

    fn blocking_read(&self, length: u64) -> Result<Vec<u8>, StreamError> {
        self.read(length)
    }

    fn skip(&self, length: u64) -> Result<u64, StreamError> {
        Ok(self.advance(length)?.1)
    }

    fn blocking_skip(&self, length: u64) -> Result<u64, StreamError> {
        self.skip(length)
    }

    fn subscribe(&self) -> streams::Pollable {
        poll::Pollable::new(Ready)
    }
}

/// What there is none of.
pub enum Never {}

impl GuestError for Never {
    fn to_debug_string(&self) -> String {
        match *self {}
    }
}

impl GuestOutputStream for Never {
    fn check_write(&self) -> Result<u64, StreamError> {
        match *self {}
    }

    fn write(&self, _: Vec<u8>) -> Result<(), StreamError> {
        match *self {}
    }

    fn blocking_write_and_flush(&self, _: Vec<u8>) -> Result<(), StreamError> {
        match *self {}
    }

    fn flush(&self) -> Result<(), StreamError> {
        match *self {}
    }

    fn blocking_flush(&self) -> Result<(), StreamError> {
        match *self {}
    }

    fn subscribe(&self) -> streams::Pollable {
        match *self {}
    }

    fn write_zeroes(&self, _: u64) -> Result<(), StreamError> {
        match *self {}
    }

    fn blocking_write_zeroes_and_flush(&self, _: u64) -> Result<(), StreamError> {
        match *self {}
    }

    fn splice(&self, _: InputStreamBorrow<'_>, _: u64) -> Result<u64, StreamError> {
        match *self {}
    }

    fn blocking_splice(&self, _: InputStreamBorrow<'_>, _: u64) -> Result<u64, StreamError> {
        match *self {}
    }
}
