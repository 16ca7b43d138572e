//! What a command line means, and what is said of one that means nothing.

use super::*;

fn ask(line: &str) -> Result<Request, UsageError> {
    parse(line.split_whitespace().map(OsString::from))
}

fn options(artifact: &str) -> Options {
    Options {
        artifact: artifact.into(),
        trust: None,
        addresses: vec![],
        tls_addresses: vec![],
        tls: None,
        connection: ConnectionLimits::default(),
        caps: Caps::default(),
        server_limit: None,
        drain: DEFAULT_DRAIN,
        threads: None,
        mounts: Mounts::new(),
        authorities: None,
        log: Format::Text,
        map_in_place: false,
        timings: false,
    }
}

#[test]
fn options_stand_before_or_after_the_artifact() {
    let expected = Options {
        trust: Some("keys".into()),
        addresses: vec!["0.0.0.0:80".parse().unwrap()],
        drain: Duration::from_millis(500),
        threads: NonZeroUsize::new(3),
        log: Format::Json,
        authorities: Some("ca".into()),
        map_in_place: true,
        timings: true,
        ..options("a.cwasm")
    };
    for line in [
        "--addr 0.0.0.0:80 --egress-ca ca --timings --log json --trust keys --drain 500ms --threads 3 --map-in-place a.cwasm",
        "a.cwasm --egress-ca=ca --addr=0.0.0.0:80 --log=json --trust=keys --drain=500ms --threads=3 --map-in-place --timings",
        "--trust keys a.cwasm --egress-ca ca --log json --timings --map-in-place --drain 500ms --threads 3 --addr 0.0.0.0:80",
    ] {
        assert_eq!(ask(line), Ok(Request::Run(expected.clone(), vec![])), "{line}");
    }
    assert_eq!(ask("check a.cwasm"), Ok(Request::Check(options("a.cwasm"))));
    let trusted = Options { trust: Some("keys".into()), ..options("a.cwasm") };
    assert_eq!(ask("check a.cwasm --trust keys"), Ok(Request::Check(trusted)));
}

#[test]
fn addresses_and_limits_are_given_again_for_more() {
    let line = "a.cwasm --addr 127.0.0.1:1 --addr unix:a.sock --tls-addr [::1]:2 --tls-cert c --tls-key k \
                --limit streams=5 --limit=memory=1MiB";
    let Ok(Request::Run(options, _)) = ask(line) else { panic!("{:?}", ask(line)) };
    assert_eq!(options.addresses, ["127.0.0.1:1".parse().unwrap(), "unix:a.sock".parse().unwrap()]);
    assert_eq!(options.tls_addresses, ["[::1]:2".parse().unwrap()]);
    assert_eq!(options.tls, Some(tls::Files { certificate: "c".into(), key: "k".into() }));
    assert_eq!(options.connection.streams, 5);
    assert_eq!(options.server_limit, Some("streams"));
    let Ok(Request::Run(options, _)) = ask("--limit memory=1MiB --limit timeout=1s a.cwasm") else {
        panic!()
    };
    assert_eq!(options.server_limit, None, "a command has these as well");
}

#[test]
fn what_follows_the_artifact_is_the_applications() {
    for (line, expected) in [
        ("a.cwasm Ada --addr x", vec!["Ada", "--addr", "x"]),
        ("a.cwasm --name Ada", vec!["--name", "Ada"]),
        ("a.cwasm -- --trust evil", vec!["--trust", "evil"]),
        ("a.cwasm --help", vec!["--help"]),
        ("a.cwasm - x", vec!["-", "x"]),
        ("-- a.cwasm check", vec!["check"]),
    ] {
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(ask(line), Ok(Request::Run(options("a.cwasm"), expected)), "{line}");
    }
}

#[test]
fn help_and_version_need_no_artifact() {
    assert_eq!(ask("--help"), Ok(Request::Help));
    assert_eq!(ask("check -h"), Ok(Request::Help));
    assert_eq!(ask("-V"), Ok(Request::Version));
}

#[test]
fn mistakes_are_named() {
    for (line, expected) in [
        ("", "no artifact is named"),
        ("check", "no artifact is named"),
        ("--no-such-flag", "unknown option `--no-such-flag`"),
        ("--port 80 a.cwasm", "unknown option `--port`"),
        ("check a.cwasm --port 80", "unknown option `--port`"),
        ("a.cwasm --addr", "`--addr` needs a value"),
        ("--trust= a.cwasm", "`--trust` needs a value"),
        ("--map-in-place=yes a.cwasm", "`--map-in-place` takes no value"),
        ("--timings=1 a.cwasm", "`--timings` takes no value"),
        ("--trust a a.cwasm --trust b", "`--trust` is given twice"),
        ("a.cwasm --limit uri=1 --limit uri=2", "limit `uri` is given twice"),
        ("a.cwasm --limit uri", "`--limit uri` has no value; it is written `--limit NAME=VALUE`"),
        ("a.cwasm --tls-cert c", "`--tls-cert` needs `--tls-key` as well"),
        ("a.cwasm --tls-key k", "`--tls-key` needs `--tls-cert` as well"),
        ("a.cwasm --tls-addr [::1]:1", "`--tls-addr` needs `--tls-cert` as well"),
        (
            "a.cwasm --tls-addr unix:a --tls-cert c --tls-key k",
            "`unix:a` is not an address with a port, `0.0.0.0:443` for example",
        ),
        ("--map-in-place a.cwasm --map-in-place", "`--map-in-place` is given twice"),
        (
            "a.cwasm --addr 8080",
            "`8080` is not an address with a port, `127.0.0.1:8080` for example, or `unix:PATH`",
        ),
        ("a.cwasm --mount /a=/x --mount /a=/y", "`--mount` is given twice for `/a`"),
        (
            "a.cwasm --mount data=/x",
            "`data=/x` is not a mount, `/data=/srv/shop` or `/data=/srv/shop:ro` for example",
        ),
        ("a.cwasm --drain 30", "`30` is not a time, `30s` or `500ms` for example"),
        (
            "a.cwasm --drain 99999999999999999999s",
            "`99999999999999999999s` is not a time, `30s` or `500ms` for example",
        ),
        ("check a.cwasm --addr 127.0.0.1:1", "`check` listens to nobody and takes no `--addr`"),
        ("check a.cwasm --limit uri=1", "`check` listens to nobody and takes no `--limit`"),
        ("a.cwasm --threads 0", "`0` is not a number of threads, 1 to 1024"),
        ("a.cwasm --threads 1025", "`1025` is not a number of threads, 1 to 1024"),
        ("check --drain 1s a.cwasm", "`check` listens to nobody and takes no `--drain`"),
        ("check a.cwasm b.cwasm", "`check` takes one artifact, found `b.cwasm` as well"),
    ] {
        assert_eq!(ask(line).map_err(|error| error.to_string()), Err(expected.to_owned()), "{line}");
    }
}
