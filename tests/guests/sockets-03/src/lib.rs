//! Talks to the address that the query names and answers what it heard, or 403 with the name of the error; on WASI
//! 0.3.
//! `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "wit"],
    world: "test:sockets/talk",
    generate_all,
});

use std::net::SocketAddrV4;

use exports::wasi::http::handler::Guest;
use mischief::Target;
use wasi::http::types::{self as http, Fields, Request, Response};
use wasi::sockets::ip_name_lookup::resolve_addresses;
use wasi::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};

/// What is said.
const PING: &[u8] = b"ping";

struct Talk;

export!(Talk);

impl Guest for Talk {
    async fn handle(request: Request) -> Result<Response, http::ErrorCode> {
        let text = request.get_path_with_query().unwrap_or_default();
        let target = Target::new(&text);
        let result = match target.path {
            "/tcp" => tcp(address(&target)).await.map_err(named),
            "/udp" => udp(address(&target)).await.map_err(named),
            "/listen" => listen(address(&target)).map_err(named),
            _ => {
                let name = target.parameter("name").unwrap_or("localhost").to_owned();
                resolve_addresses(name).await.map(|found| format!("{found:?}\n")).map_err(named)
            }
        };
        Ok(match result {
            Ok(text) => answer(200, text),
            Err(error) => answer(403, error),
        })
    }
}

fn named(error: impl std::fmt::Debug) -> String {
    format!("{}\n", mischief::variant(&format!("{error:?}")))
}

fn address(target: &Target<'_>) -> IpSocketAddress {
    let address: Option<SocketAddrV4> = target.parameter("to").and_then(|text| text.parse().ok());
    let address = address.unwrap_or_else(|| SocketAddrV4::new([0; 4].into(), 0));
    let [a, b, c, d] = address.ip().octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
}

async fn tcp(to: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.connect(to).await?;
    let (mut writer, data) = wit_stream::new();
    let sent = socket.send(data);
    wit_bindgen::spawn_local(async move {
        writer.write_all(PING.to_vec()).await;
    });
    sent.await?;
    let (heard, end) = socket.receive();
    let heard = heard.collect().await;
    end.await?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

async fn udp(to: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4)?;
    socket.send(PING.to_vec(), Some(to)).await?;
    let (heard, _) = socket.receive().await?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn listen(at: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.bind(at)?;
    socket.listen().map(|_| "listening\n".to_owned())
}

fn answer(status: u16, text: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(contents), trailers);
    let _ = response.set_status_code(status);
    wit_bindgen::spawn_local(async move {
        writer.write_all(text.into_bytes()).await;
    });
    response
}
