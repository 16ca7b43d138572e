//! The policy: the device's applies always, the store's can only narrow it, and nothing is ignored.

mod sample;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sample::{file, folder, mode};
use wadoo_signing::policy::{Policy, PolicyError};
use wadoo_signing::report::{Exit, Report};

/// A device's folder and a trust store, each of which may have a policy.
struct Device {
    root: tempfile::TempDir,
}

impl Device {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder can be made");
        folder(root.path().join("user"));
        folder(root.path().join("etc"));
        folder(root.path().join("user/trusted.d"));
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn device_says(&self, text: &str) -> &Self {
        file(self.path("etc/policy.toml"), text);
        self
    }

    fn user_says(&self, text: &str) -> &Self {
        file(self.path("user/policy.toml"), text);
        self
    }

    fn read(&self) -> Result<Policy, PolicyError> {
        Policy::read(&self.path("etc"), &self.path("user/trusted.d"))
    }

    fn refusal(&self) -> Report {
        let report = Report::from(self.read().expect_err("it is refused"));
        assert_eq!(report.exit, Exit::NotTrusted);
        report
    }
}

#[test]
fn nothing_written_demands_nothing() {
    let device = Device::new();
    assert_eq!(device.read().expect("no policy"), Policy::default());
    let absent = Policy::read(&device.path("absent"), &device.path("user/trusted.d"));
    assert_eq!(absent.expect("no device"), Policy::default());
}

#[test]
fn an_empty_policy_is_a_policy() {
    let policy = Device::new().device_says("").read().expect("it can be enforced");
    assert_eq!(policy, Policy { present: true, ..Policy::default() });
}

#[test]
fn everything_it_can_say_is_heard() {
    let device = Device::new();
    device.device_says("trust = \"system-only\"\nverify = \"sealed\"\nthreshold = 2\n");
    let system_only = Some(device.path("etc/policy.toml"));
    let policy = device.read().expect("it can be enforced");
    assert_eq!(policy, Policy { system_only, sealed: true, threshold: 2, present: true });
}

#[test]
fn the_policy_beside_the_store_only_narrows() {
    let device = Device::new();
    device.device_says("threshold = 2").user_says("threshold = 1");
    assert_eq!(device.read().expect("both").threshold, 2);
    device.user_says("threshold = 3\nverify = \"sealed\"");
    let policy = device.read().expect("both");
    assert_eq!((policy.threshold, policy.sealed), (3, true));
    device.device_says("verify = \"sealed\"").user_says("");
    assert!(device.read().expect("both").sealed);
}

#[test]
fn what_cannot_be_enforced_is_refused() {
    for (text, words) in [
        ("minimum-wasmtime = \"48.0.8\"", "unknown field `minimum-wasmtime`"),
        ("trust = \"anyone\"", "unknown variant `anyone`"),
        ("verify = \"never\"", "unknown variant `never`"),
        ("threshold = 0", "threshold 0 is not 1 to 16"),
        ("threshold = 17", "threshold 17 is not 1 to 16"),
        ("threshold = -1", ""),
        ("threshold = \"2\"", ""),
        ("threshold = 2\nthreshold = 1", ""),
        ("[trust]\nkeys = []", ""),
        ("not toml", ""),
    ] {
        let device = Device::new();
        let report = device.device_says(text).refusal();
        assert_eq!(
            report.what,
            format!("cannot enforce the policy `{}`", device.path("etc/policy.toml").display())
        );
        assert!(report.because[0].contains(words), "{text}: {}", report.because[0]);
        assert!(report.hint.expect("a hint").contains("refuses what it cannot enforce"));
        let device = Device::new();
        device.user_says(text).refusal();
    }
}

#[test]
fn a_policy_that_cannot_be_believed_is_not_passed_by() {
    let device = Device::new();
    device.device_says("threshold = 2");
    mode(&device.path("etc/policy.toml"), 0o646);
    assert!(device.refusal().hint.expect("a hint").starts_with("`chmod go-w "));
    mode(&device.path("etc/policy.toml"), 0o644);
    // Whoever may write the folder may take the policy away.
    mode(&device.path("etc"), 0o777);
    assert!(device.refusal().hint.expect("a hint").starts_with("`chmod go-w "));
    mode(&device.path("etc"), 0o755);
    device.read().expect("only its owner may write it");

    let device = Device::new();
    symlink(device.path("nowhere"), device.path("etc/policy.toml")).expect("a link can be made");
    device.refusal();
    let device = Device::new();
    folder(device.path("etc/policy.toml"));
    device.refusal();
    let device = Device::new();
    device.device_says(&"# long\n".repeat(10_000)).refusal();
}

#[test]
fn a_policy_that_others_could_take_away_counts_as_taken() {
    let device = Device::new();
    mode(&device.path("user"), 0o777);
    let report = device.refusal();
    assert_eq!(
        report.what,
        format!("cannot tell whether a policy belongs into `{}`", device.path("user").display())
    );
    assert!(report.hint.expect("a hint").starts_with("`chmod go-w "));
    // In a sticky folder only its owner can take a file away.
    mode(&device.path("user"), 0o1777);
    device.read().expect("nobody else can");
}

#[test]
fn the_policy_is_beside_the_store_itself_whatever_it_is_called() {
    let device = Device::new();
    device.user_says("threshold = 2");
    folder(device.path("elsewhere"));
    symlink(device.path("user/trusted.d"), device.path("elsewhere/link")).expect("a link can be made");
    folder(device.path("user/trusted.d/inner"));
    for name in
        ["elsewhere/link", "elsewhere/../user/trusted.d", "user/trusted.d/.", "user/trusted.d/inner/.."]
    {
        let policy = Policy::read(&device.path("etc"), &device.path(name)).expect("it can be enforced");
        assert_eq!(policy.threshold, 2, "{name}");
    }
    // A user's store may be missing; the policy beside it is not.
    let policy = Policy::read(&device.path("etc"), &device.path("user/absent")).expect("it can be enforced");
    assert_eq!(policy.threshold, 2);
}
