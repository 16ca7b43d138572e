//! One request inside one store: call the handler, let it finish.
//!
//! The future made here **has** the instance: dropping it ends the guest wherever it is, and frees what it
//! holds (of an instance that several requests share, see `shared`). No time limit is known here; whoever polls the future decides how long (see `exchange`).

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::oneshot;
use http::{Request, Response};
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut as _, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

use crate::app::{App, Slot};
use crate::host::Host;
use crate::instances::Instance;
use crate::server::Alive;
use crate::shared::Shared;

/// What the guest answers with: a response, whose body may still be on its way, or why there is none.
pub(crate) type Answer = Result<Response<WasiBody>, wasmtime::Error>;

/// The guest's whole life for one request.
pub(crate) type Guest = Pin<Box<dyn Future<Output = Result<(), wasmtime::Error>> + Send>>;

/// The ends of a guest that others hold.
pub(crate) struct Call {
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
    Box::pin(async move {
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
    })
}

async fn handle(instance: &mut Instance, call: Call) -> Result<(), wasmtime::Error> {
    let Call { request, answer, body_ended, failed: _ } = call;
    let Instance { store, proxy, .. } = instance;
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

/// Whether the guest failed only because the pool had no room for it at the moment.
pub(crate) fn no_room(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>()
}

/// Why a guest failed, for the log: the trap and its place, without a backtrace of the host.
pub(crate) fn reason(error: &wasmtime::Error) -> String {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return format!("it exited with status {status}");
    }
    if let Some(code) = error_code(error) {
        return format!("it answered with an error code: {code}");
    }
    match (error.downcast_ref::<Trap>(), place(error)) {
        (Some(trap), Some(place)) => format!("{trap}, in {place}"),
        (Some(trap), None) => trap.to_string(),
        (None, _) => error.root_cause().to_string(),
    }
}

/// Where a guest trapped: the function by its name, where the component still has names, and the place in the module
/// that tools for WebAssembly find the source line by.
fn place(error: &wasmtime::Error) -> Option<String> {
    let frame = error.downcast_ref::<WasmBacktrace>()?.frames().first()?;
    let name = frame.func_name().map(|name| format!(" `{name}`")).unwrap_or_default();
    let offset =
        frame.module_offset().map(|offset| format!(" at {offset:#x} of its module")).unwrap_or_default();
    Some(format!("function {}{name}{offset}", frame.func_index()))
}

/// A handler may return an error code of `wasi:http` in the place of a response.
fn error_code(error: &wasmtime::Error) -> Option<wasmtime_wasi_http::Error> {
    let of_02 = error.downcast_ref::<wasmtime_wasi_http::p2::bindings::http::types::ErrorCode>();
    let of_03 = error.downcast_ref::<wasmtime_wasi_http::p3::bindings::http::types::ErrorCode>();
    of_02.cloned().map(Into::into).or_else(|| of_03.cloned().map(Into::into))
}
