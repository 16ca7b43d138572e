//! Outgoing HTTPS to a real server: believed by an authority of the operator's, and by nobody else.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;
use wadoo_tests::tools::installed;

/// The fetching guests with what they import.
const FETCHERS: [(&str, &str); 2] =
    [("fetch-02", "wasi:http/outgoing-handler"), ("fetch-03", "wasi:http/client")];

fn openssl(scratch: &Scratch, arguments: &str) {
    let finished =
        run(Command::new("openssl").current_dir(scratch.path("")).args(arguments.split_whitespace()));
    assert_eq!(finished.code, 0, "openssl {arguments}: {}", finished.stderr);
}

/// Makes `ca.pem`, an authority of this test's own.
fn authority(scratch: &Scratch) -> PathBuf {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(scratch, &format!("req -x509 {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    for name in ["localhost", "other.example"] {
        scratch.write("names", format!("subjectAltName=DNS:{name}\n"));
        openssl(scratch, &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
        openssl(scratch, &format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
    }
    scratch.path("ca.pem")
}

/// `openssl s_server`, which tells whoever asks about itself.
struct Upstream {
    child: Child,
    port: u16,
}

impl Upstream {
    /// Shows the certificate of `name`.
    fn start(scratch: &Scratch, name: &str, options: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .current_dir(scratch.path(""))
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("ACCEPT")).expect("it says where it listens");
        let port = line.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok());
        // It may say more, and must not find the pipe closed.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn artifact(scratch: &Scratch, guest: &str, interface: &str, destination: &str) -> PathBuf {
    let grants = format!("[grants]\n\"{interface}\" = {{ hosts = [\"{destination}\"] }}\n");
    scratch.compose(&scratch.recipe(guest, interface, &grants))
}

/// Fetches from `upstream` as `localhost`, believing `authority` if there is one.
fn fetch(upstream: &Upstream, guest: &str, interface: &str, authority: Option<&Path>) -> (u16, String) {
    let url = format!("https://localhost:{}", upstream.port);
    let scratch = Scratch::new();
    let mut launcher = scratch.launcher();
    launcher.arg(artifact(&scratch, guest, interface, &url)).args(["--addr", "127.0.0.1:0"]);
    launcher.args(authority.map(|file| format!("--egress-ca={}", file.display())));
    let answer = Server::start(&mut launcher).get(&format!("/fetch?url={url}/"));
    (answer.status, answer.text())
}

#[test]
fn a_server_is_believed_that_an_authority_of_the_operators_vouches_for() {
    if !installed("openssl") {
        return;
    }
    let files = Scratch::new();
    let authority = authority(&files);
    let newest = Upstream::start(&files, "localhost", &["-tls1_3"]);
    let older = Upstream::start(&files, "localhost", &["-tls1_2"]);
    let other = Upstream::start(&files, "other.example", &[]);
    for (guest, interface) in FETCHERS {
        for upstream in [&newest, &older] {
            let (status, text) = fetch(upstream, guest, interface, Some(&authority));
            assert!(status == 200 && text.contains("s_server"), "{guest}: {status} {text}");
        }
        for (upstream, authority) in [(&newest, None), (&other, Some(&*authority))] {
            let (status, text) = fetch(upstream, guest, interface, authority);
            assert!(status == 502 && text.to_lowercase().contains("tls"), "{guest}: {status} {text}");
        }
    }
}

#[test]
fn authorities_that_cannot_be_believed_or_used_are_refused() {
    if !installed("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let authority = authority(&scratch);
    let [(guest, interface), _] = FETCHERS;
    let secure = artifact(&scratch, guest, interface, "https://localhost:443");
    let check = |artifact: &Path, file: &Path| {
        run(scratch.launcher().arg("check").arg(artifact).arg("--egress-ca").arg(file))
    };
    let finished = check(&secure, &authority);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("ca.pem"), "{}", finished.stdout);

    let empty = scratch.write("empty.pem", "");
    let loose = scratch.write("loose.pem", std::fs::read(&authority).unwrap());
    std::fs::set_permissions(&loose, PermissionsExt::from_mode(0o666)).unwrap();
    for (file, code, because) in [
        (&scratch.path("absent.pem"), 1, "it does not exist"),
        (&empty, 1, "there is no `BEGIN CERTIFICATE` in it"),
        (&loose, 3, "its mode is 0666: others may write it"),
    ] {
        let finished = check(&secure, file);
        assert_eq!(finished.code, code, "{}", finished.stderr);
        assert!(finished.stderr.contains(because), "{}", finished.stderr);
    }

    let plain = Scratch::new();
    let artifact = artifact(&plain, guest, interface, "http://localhost:80");
    let finished = run(plain.launcher().arg(artifact).arg("--egress-ca").arg(&authority));
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("sends nothing through TLS"), "{}", finished.stderr);
}
