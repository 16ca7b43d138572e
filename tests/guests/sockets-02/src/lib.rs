//! Talks to the address that the query names and answers what it heard, or 403 with the name of the error; on WASI
//! 0.2.
//! `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "wit"],
    world: "test:sockets/talk",
    generate_all,
});

use std::net::SocketAddrV4;

use exports::wasi::http::incoming_handler::Guest;
use mischief::Target;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::ip_name_lookup::resolve_addresses;
use wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasi::sockets::tcp_create_socket::create_tcp_socket;
use wasi::sockets::udp::OutgoingDatagram;
use wasi::sockets::udp_create_socket::create_udp_socket;

/// What is said, and the most that is listened to.
const PING: &[u8] = b"ping";
const MOST: u64 = 64;

struct Talk;

export!(Talk);

impl Guest for Talk {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = request.path_with_query().unwrap_or_default();
        let target = Target::new(&text);
        let result = match target.path {
            "/tcp" => tcp(address(&target)),
            "/udp" => udp(address(&target)),
            "/listen" => listen(address(&target)),
            _ => look_up(target.parameter("name").unwrap_or("localhost")),
        };
        match result {
            Ok(text) => answer(out, 200, &text),
            Err(error) => answer(out, 403, &format!("{}\n", error.name())),
        }
    }
}

fn address(target: &Target<'_>) -> IpSocketAddress {
    let address: Option<SocketAddrV4> = target.parameter("to").and_then(|text| text.parse().ok());
    let address = address.unwrap_or_else(|| SocketAddrV4::new([0; 4].into(), 0));
    let [a, b, c, d] = address.ip().octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
}

/// Calls again until the host is ready.
fn finish<T>(ready: impl Fn(), call: impl Fn() -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    loop {
        match call() {
            Err(ErrorCode::WouldBlock) => ready(),
            result => return result,
        }
    }
}

fn tcp(to: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), to)?;
    let (input, output) = finish(|| socket.subscribe().block(), || socket.finish_connect())?;
    output.blocking_write_and_flush(PING).map_err(|_| ErrorCode::Unknown)?;
    let heard = input.blocking_read(MOST).map_err(|_| ErrorCode::Unknown)?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn udp(to: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
    socket.start_bind(&instance_network(), any)?;
    finish(|| socket.subscribe().block(), || socket.finish_bind())?;
    let (incoming, outgoing) = socket.stream(None)?;
    outgoing.subscribe().block();
    outgoing.check_send()?;
    outgoing.send(&[OutgoingDatagram { data: PING.to_vec(), remote_address: Some(to) }])?;
    incoming.subscribe().block();
    let heard = incoming.receive(1)?;
    Ok(heard.iter().map(|datagram| String::from_utf8_lossy(&datagram.data).into_owned()).collect())
}

fn listen(at: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), at)?;
    finish(|| socket.subscribe().block(), || socket.finish_bind())?;
    socket.start_listen()?;
    finish(|| socket.subscribe().block(), || socket.finish_listen())?;
    Ok("listening\n".to_owned())
}

fn look_up(name: &str) -> Result<String, ErrorCode> {
    let stream = resolve_addresses(&instance_network(), name)?;
    let found = finish(|| stream.subscribe().block(), || stream.resolve_next_address())?;
    Ok(format!("{found:?}\n"))
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(output) = body.write() {
        let _ = output.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}
