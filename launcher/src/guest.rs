//! One request inside one store: call the handler, let it finish.
//!
//! The future made here **has** the instance: dropping it ends the guest wherever it is, and frees what it
//! holds (of an instance that several requests share, see `shared`). No time limit is known here; whoever polls the future decides how long (see `exchange`).

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::oneshot;
use http::{Request, Response};
use rustix::io::Errno;
use wadoo_host::Host;
use wadoo_signing::manifest::Manifest;
use wasmtime::component::Accessor;
use wasmtime::{
    AsContextMut as _, FrameInfo, OutOfMemory, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace,
};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

use crate::app::{App, Slot};
use crate::instances::Instance;
use crate::lines::{SourceLines, SourcePlace};
use crate::log::{CalledFrom, MAX_NAME, TrapPlace, clip};
use crate::request_id::RequestId;
use crate::server::Alive;
use crate::shared::Shared;

/// What the guest answers with: a response, whose body may still be on its way, or why there is none.
pub(crate) type Answer = Result<Response<WasiBody>, wasmtime::Error>;

/// The guest's whole life for one request.
pub(crate) type Guest = Pin<Box<dyn Future<Output = Result<(), wasmtime::Error>> + Send>>;

/// The ends of a guest that others hold.
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) request: Request<WasiBody>,
    /// Gets the response's head; dropped without one when the guest fails first.
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Resolves when nobody wants more of the response's body.
    pub(crate) body_ended: oneshot::Receiver<()>,
    /// Set when the guest failed, before its store goes: a body whose store is gone looks finished.
    pub(crate) failed: Arc<AtomicBool>,
}

/// Makes the guest for one request. Nothing happens until it is polled.
pub(crate) fn start(app: Arc<App>, slot: Slot, alive: Alive, call: Call) -> Guest {
    if app.shared().is_some() {
        return Shared::start(app, slot, alive, call);
    }
    let quota = app.quota();
    let guest = Box::pin(async move {
        // Declared first, dropped last: the store is gone before another may take its slot.
        let _held = (slot, alive);
        let failed = Arc::clone(&call.failed);
        let mut instance = match app.idle().and_then(|idle| idle.take(&app)) {
            Some(instance) => instance,
            None => Instance::new(&app).await.inspect_err(|_| failed.store(true, Ordering::Release))?,
        };
        let result = handle(&mut instance, call).await;
        failed.store(result.is_err(), Ordering::Release);
        if let (Ok(()), Some(idle)) = (&result, app.idle()) {
            idle.keep(instance, &app);
        }
        result
    });
    match quota {
        None => guest,
        Some(quota) => Box::pin(quota.meter(guest)),
    }
}

async fn handle(instance: &mut Instance, call: Call) -> Result<(), wasmtime::Error> {
    let Call { id, request, answer, body_ended, failed: _ } = call;
    let Instance { store, proxy, output, .. } = instance;
    output.belongs_to(Some(id));
    match proxy {
        Proxy::P2(proxy) => handle_02(store, proxy, request, answer).await,
        proxy @ Proxy::P3(_) => handle_03(store, proxy, request, answer, body_ended).await,
    }
}

/// A 0.2 handler writes its whole response before it returns; what is left is in the body's channel.
async fn handle_02(
    store: &mut Store<Host>,
    proxy: &wasmtime_wasi_http::p2::bindings::Proxy,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> Result<(), wasmtime::Error> {
    let mut http = store.data_mut().http_02();
    // A target without a scheme came in the clear.
    let secure = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
    let request = http.new_incoming_request(if secure { Scheme::Https } else { Scheme::Http }, request)?;
    let out = http.new_response_outparam_from_callback(move |response| {
        // The receiver is gone when the client is; the guest will be in a moment.
        let _ = answer.send(response.map_err(Into::into));
    })?;
    proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await
}

/// A 0.3 handler returns its head first; tasks of its own, or of the host on its behalf, then move the
/// body. The store is needed until the body has ended and the last task has exited.
async fn handle_03(
    store: &mut Store<Host>,
    proxy: &Proxy,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
    body_ended: oneshot::Receiver<()>,
) -> Result<(), wasmtime::Error> {
    store
        .run_concurrent(async |accessor: &Accessor<Host>| {
            let prepared = accessor.with(|mut access| {
                Prepared::new(access.as_context_mut(), proxy, request, Host::http_03, answer)
            })?;
            prepared.run(accessor, pending()).await?;
            // Ended or dropped: either way nobody waits for more.
            let _ = body_ended.await;
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            Ok(())
        })
        .await?
}

/// Whether the guest failed only because there was no room for it at the moment, in the pool or in the memory that the
/// system has for this process.
pub(crate) fn no_room(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>()
        || error.is::<OutOfMemory>()
        || error.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
}

/// Why a guest failed, and where: never a backtrace of the host.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{because}{}", place.as_ref().map(|place| format!(", in {place}")).unwrap_or_default())]
pub(crate) struct Failure {
    /// The trap's name, or what else ended it.
    pub(crate) because: String,
    /// Where it trapped.
    pub(crate) place: Option<TrapPlace>,
    /// Who called that, the innermost first.
    callers: Vec<Frame>,
}

/// A call on a guest's stack.
#[derive(Clone, Debug)]
struct Frame {
    /// By its name, or its number in its module.
    function: String,
    offset: u64,
}

/// Bytes of an error that a guest answered with that a line of the log shows.
const MAX_REASON: usize = 1024;

/// Frames of a trap that are looked at.
const MAX_FRAMES: usize = 32;

impl Failure {
    /// Reads what a guest's call ended with.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if let Some(failure) = error.downcast_ref::<Self>() {
            return failure.clone();
        }
        let (place, callers) = place(error).unzip();
        Self { because: because(error), place, callers: callers.unwrap_or_default() }
    }

    /// Without a place, because it was no trap.
    pub(crate) fn nowhere(because: &str) -> Self {
        Self { because: because.to_owned(), place: None, callers: Vec::new() }
    }

    /// With the part that it trapped in, which the application's manifest knows, and the line. Where that is one of Rust's
    /// standard library, as a panic's always is, also with the line that called it.
    pub(crate) fn within(mut self, manifest: &Manifest, lines: &SourceLines) -> Self {
        if let Some(place) = &mut self.place {
            let parts = manifest.parts_at(place.offset);
            place.source = lines.find(place.offset);
            if place.source.as_ref().is_some_and(SourcePlace::is_standard) {
                let mut own = self.callers.iter().filter(|caller| manifest.parts_at(caller.offset) == parts);
                place.from = own.find_map(|caller| {
                    let SourcePlace { file, line } =
                        lines.find(caller.offset).filter(|source| !source.is_standard())?;
                    Some(CalledFrom { function: caller.function.clone(), file, line })
                });
            }
            // The same component under several names: which of its instances it was, nobody says.
            place.part = parts.map(|names| {
                clip(&names.iter().map(String::as_str).collect::<Vec<_>>().join(" or "), MAX_NAME).to_owned()
            });
        }
        self
    }
}

fn because(error: &wasmtime::Error) -> String {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return format!("it exited with status {status}");
    }
    if let Some(code) = error_code(error) {
        // Some of them hold a text of the guest's.
        return format!("it answered with an error code: {}", clip(&code.to_string(), MAX_REASON));
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
}

/// Where a guest trapped, or at least called what trapped: what was generated to pass calls between parts is in no part.
fn place(error: &wasmtime::Error) -> Option<(TrapPlace, Vec<Frame>)> {
    error.downcast_ref::<Trap>()?;
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let mut known = frames.iter().take(MAX_FRAMES).enumerate().filter_map(|(depth, frame)| {
        // What passes calls between parts was generated, and counts its offsets for itself.
        let offset = frame.module_offset().filter(|_| !is_adapter(frame))? as u64;
        let function = frame
            .func_name()
            .map_or_else(|| frame.func_index().to_string(), |name| clip(name, MAX_NAME).to_owned());
        Some((depth, Frame { function, offset }))
    });
    let (depth, Frame { function, offset }) = known.next()?;
    let place = TrapPlace { part: None, function, offset, source: None, from: None, caller: depth > 0 };
    Some((place, known.map(|(_, frame)| frame).collect()))
}

/// Whether this is code that the engine's compiler generated to pass calls between parts: it imports what it calls under
/// this name, which no language's tools use.
fn is_adapter(frame: &FrameInfo) -> bool {
    frame.module().imports().any(|import| import.module() == "callee")
}

/// A handler may return an error code of `wasi:http` in the place of a response.
fn error_code(error: &wasmtime::Error) -> Option<wasmtime_wasi_http::Error> {
    let of_02 = error.downcast_ref::<wasmtime_wasi_http::p2::bindings::http::types::ErrorCode>();
    let of_03 = error.downcast_ref::<wasmtime_wasi_http::p3::bindings::http::types::ErrorCode>();
    of_02.cloned().map(Into::into).or_else(|| of_03.cloned().map(Into::into))
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

    use super::*;

    #[test]
    fn a_reason_that_a_guest_made_up_is_clipped() {
        let error = wasmtime::Error::from(ErrorCode::InternalError(Some("x".repeat(10 * MAX_REASON))));
        let because = Failure::of(&error).because;
        assert!(because.starts_with("it answered with an error code: "), "{because}");
        assert!(because.ends_with('x') && because.len() < 2 * MAX_REASON, "{} bytes", because.len());
    }
}
