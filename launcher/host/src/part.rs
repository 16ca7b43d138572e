//! What one part reaches alone, for calls that come over an import of its own.
//!
//! A call finds its data by a function over the data of the store, which can hold no index: so there is a function for each of
//! the parts that can have imports of their own, [`MAX_PARTS`].

use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi_http::WasiHttpCtxView;

use crate::{Host, MAX_PARTS};

/// Which of the parts that have imports of their own, in the order in which [`Host::new`] got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartIndex(usize);

/// The function `$name::<N>` for each part.
macro_rules! of_each_part {
    ($name:ident) => {
        of_each_part!($name:
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36
            37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
    };
    ($name:ident: $($part:literal)*) => {
        [$(Host::$name::<$part>),*]
    };
}

impl PartIndex {
    /// `None` from [`MAX_PARTS`] on.
    pub fn new(index: usize) -> Option<Self> {
        (index < MAX_PARTS).then_some(Self(index))
    }

    pub(crate) fn cli(self) -> fn(&mut Host) -> WasiCliCtxView<'_> {
        const OF: [fn(&mut Host) -> WasiCliCtxView<'_>; MAX_PARTS] = of_each_part!(cli_of);
        OF[self.0]
    }

    pub(crate) fn filesystem(self) -> fn(&mut Host) -> WasiFilesystemCtxView<'_> {
        const OF: [fn(&mut Host) -> WasiFilesystemCtxView<'_>; MAX_PARTS] = of_each_part!(filesystem_of);
        OF[self.0]
    }

    pub(crate) fn sockets(self) -> fn(&mut Host) -> WasiSocketsCtxView<'_> {
        const OF: [fn(&mut Host) -> WasiSocketsCtxView<'_>; MAX_PARTS] = of_each_part!(sockets_of);
        OF[self.0]
    }

    /// The part's own requests by HTTP 0.2.
    pub fn http_02(self) -> fn(&mut Host) -> WasiHttpCtxView<'_> {
        const OF: [fn(&mut Host) -> WasiHttpCtxView<'_>; MAX_PARTS] = of_each_part!(http_02_of);
        OF[self.0]
    }

    /// The part's own requests by HTTP 0.3.
    pub fn http_03(self) -> fn(&mut Host) -> WasiHttpCtxView<'_> {
        const OF: [fn(&mut Host) -> WasiHttpCtxView<'_>; MAX_PARTS] = of_each_part!(http_03_of);
        OF[self.0]
    }
}

impl Host {
    fn cli_of<const PART: usize>(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView { ctx: self.parts[PART].wasi.cli(), table: &mut self.table }
    }

    fn filesystem_of<const PART: usize>(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: self.parts[PART].wasi.filesystem(), table: &mut self.table }
    }

    fn sockets_of<const PART: usize>(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView { ctx: self.parts[PART].wasi.sockets(), table: &mut self.table }
    }

    fn http_02_of<const PART: usize>(&mut self) -> WasiHttpCtxView<'_> {
        let hooks = &mut *self.parts[PART].outgoing_02;
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: &mut self.http }
    }

    fn http_03_of<const PART: usize>(&mut self) -> WasiHttpCtxView<'_> {
        let hooks = &mut *self.parts[PART].outgoing_03;
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
