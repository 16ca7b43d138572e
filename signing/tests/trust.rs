//! Trust: one place, believed only if nobody else could have written it.

mod sample;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sample::{file, folder, key, mode};
use wadoo_signing::key::PublicKey;
use wadoo_signing::ownership::OwnershipError;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::trust::{
    MAX_KEYS, Surroundings, TrustError, TrustPlace, TrustStore, UserFolder, write_private, write_public,
};

/// A machine of its own, in a folder.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder can be made");
        mode(root.path(), 0o755);
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings { variable: None, system: self.path("etc"), user: Some(self.path("config")) }
    }

    /// A store with one new key.
    fn store(&self, name: &str) -> (PathBuf, PublicKey) {
        let (path, key) = (folder(self.path(name)), key().public());
        add(&path, "one.pem", &key);
        (path, key)
    }

    fn resolve(&self, flag: Option<&Path>, variable: Option<&Path>) -> Result<TrustPlace, TrustError> {
        let variable = variable.map(|path| path.as_os_str().to_owned());
        TrustPlace::resolve(flag, &Surroundings { variable, ..self.surroundings() })
    }
}

fn add(store: &Path, name: &str, key: &PublicKey) -> PathBuf {
    file(store.join(name), key.to_pem().expect("it has a PEM form"))
}

fn read(path: &Path) -> Result<TrustStore, TrustError> {
    TrustStore::read(&TrustPlace::Flag(path.to_owned()))
}

fn as_root() -> bool {
    let own = tempfile::tempdir().expect("a folder can be made");
    fs::metadata(own.path()).expect("it is there").uid() == 0
}

#[test]
fn the_place_is_the_flag_then_the_variable_then_the_device_then_the_user() {
    let machine = Machine::new();
    let (flag, variable) = (Path::new("flag"), Path::new("variable"));
    let user = TrustPlace::User {
        trusted: machine.path("config/trusted.d"),
        development: machine.path("config/dev-trusted.d"),
    };
    let place = |flag, variable| machine.resolve(flag, variable).expect("there is a place");
    assert_eq!(place(None, None), user);
    folder(machine.path("etc"));
    assert_eq!(place(None, None), TrustPlace::System(machine.path("etc/trusted.d")));
    assert_eq!(place(None, Some(variable)), TrustPlace::Variable("variable".into()));
    assert_eq!(place(Some(flag), Some(variable)), TrustPlace::Flag("flag".into()));
    assert_eq!(place(None, Some(Path::new(""))), TrustPlace::Variable("".into()), "empty is named too");
}

#[test]
fn a_configuration_that_cannot_be_reached_is_not_passed_by() {
    let machine = Machine::new();
    symlink(machine.path("nowhere"), machine.path("etc")).expect("a link can be made");
    let place = machine.resolve(None, None).expect("there is a place");
    assert!(matches!(place, TrustPlace::System(_)));
    assert!(TrustStore::read(&place).is_err());
}

#[test]
fn without_any_place_the_flag_is_asked_for() {
    let machine = Machine::new();
    let surroundings = Surroundings { user: None, ..machine.surroundings() };
    let report = Report::from(TrustPlace::resolve(None, &surroundings).expect_err("there is no place"));
    assert_eq!(
        (report.exit, report.hint.as_deref()),
        (Exit::NotTrusted, Some("name a trust store: `--trust DIR`"))
    );
}

#[test]
fn a_named_place_without_keys_is_a_refusal() {
    let machine = Machine::new();
    let empty = folder(machine.path("empty"));
    file(empty.join("README"), "no key");
    file(empty.join("key.pem.1.tmp"), "half a key");
    assert!(matches!(read(&empty), Err(TrustError::Empty { .. })));
    let absent = read(&machine.path("absent")).expect_err("it is not there");
    assert!(matches!(absent, TrustError::Place { source: OwnershipError::Missing, .. }));
    let report = Report::from(absent);
    assert_eq!(report.exit, Exit::NotTrusted);
    assert!(report.hint.expect("a hint").contains("wadoo key trust"));
    let file = file(machine.path("file"), "");
    assert!(matches!(read(&file), Err(TrustError::Place { source: OwnershipError::Kind("folder"), .. })));
}

#[test]
fn keys_are_read_by_their_ending_and_found_by_their_id() {
    let machine = Machine::new();
    let (path, one) = machine.store("trust");
    let (other, ignored) = (key().public(), key().public());
    add(&path, "other.pem", &other);
    add(&path, "same-again.pem", &one);
    add(&path, "ignored.txt", &ignored);
    let store = read(&path).expect("it has keys");
    for key in [&one, &other] {
        assert_eq!(store.key(&key.id()), Some(key));
        assert!(store.may_sign(&key.id(), false));
        assert!(!store.may_sign(&key.id(), true), "no named place trusts development keys");
    }
    assert_eq!(store.key(&ignored.id()), None);
}

#[test]
fn a_file_that_is_no_public_key_is_never_skipped() {
    let machine = Machine::new();
    let (path, _) = machine.store("trust");
    let bad = file(path.join("bad.pem"), "hello");
    assert!(matches!(read(&path), Err(TrustError::Key { path, .. }) if path == bad));
    let private = key().to_pem().expect("it has a PEM form");
    file(bad.clone(), private.as_bytes());
    assert!(matches!(read(&path), Err(TrustError::Key { .. })), "a private key does not belong there");
    file(bad.clone(), vec![b' '; 20_000]);
    assert!(matches!(read(&path), Err(TrustError::Place { source: OwnershipError::TooLong(_), .. })));
    file(bad.clone(), [0xff]);
    assert!(matches!(read(&path), Err(TrustError::Place { source: OwnershipError::NotText, .. })));
    fs::remove_file(&bad).expect("it is there");
    fs::create_dir(&bad).expect("a folder can be made");
    assert!(matches!(read(&path), Err(TrustError::Place { .. })));
}

#[test]
fn what_others_may_write_is_not_believed() {
    let machine = Machine::new();
    let (path, _) = machine.store("trust");
    let writable = |found: u32| {
        let error = read(&path).expect_err("others may write it");
        assert!(
            matches!(error, TrustError::Place { source: OwnershipError::Writable(mode), .. } if mode == found)
        );
        let hint = Report::from(error).hint.expect("a hint");
        assert!(hint.starts_with("`chmod go-w "), "{hint}");
    };
    for bad in [0o775, 0o757, 0o1777] {
        mode(&path, bad);
        writable(bad);
    }
    mode(&path, 0o755);
    for bad in [0o664, 0o646] {
        mode(&path.join("one.pem"), bad);
        writable(bad);
    }
    mode(&path.join("one.pem"), 0o644);
    read(&path).expect("only its owner may write it");
}

#[test]
fn what_belongs_to_another_user_is_not_believed() {
    if !as_root() {
        sample::skip("only root can give a file away");
        return;
    }
    let machine = Machine::new();
    let (path, _) = machine.store("trust");
    for given in [path.clone(), path.join("one.pem")] {
        std::os::unix::fs::chown(&given, Some(12_345), None).expect("root may");
        let error = read(&path).expect_err("it belongs to somebody else");
        assert!(matches!(error, TrustError::Place { source: OwnershipError::Owner(12_345), .. }));
        std::os::unix::fs::chown(&given, Some(0), None).expect("root may");
    }
    // As under `sudo`: the folder is the user's, the effective user is root.
    let config = folder(machine.path("config"));
    std::os::unix::fs::chown(&config, Some(12_345), None).expect("root may");
    let user = UserFolder::of(&machine.surroundings()).expect("there is one");
    let report = user.development_key().expect_err("it is another user's");
    assert_eq!(report.exit, Exit::NotTrusted);
    assert_eq!(fs::read_dir(&config).expect("it is there").count(), 0, "nothing was made");
    // The same where that user has no such folder yet.
    let user = Some(config.join("deep/wadoo"));
    let user = UserFolder::of(&Surroundings { user, ..machine.surroundings() }).expect("there is one");
    let report = user.development_key().expect_err("the home is another user's");
    assert_eq!(report.exit, Exit::NotTrusted);
    assert!(report.hint.expect("a hint").contains("set `HOME`"));
    assert_eq!(fs::read_dir(&config).expect("it is there").count(), 0, "nothing was made");
}

#[test]
fn links_are_judged_by_where_they_lead() {
    let machine = Machine::new();
    let (path, key) = machine.store("trust");
    let elsewhere = add(machine.root.path(), "elsewhere", &key);
    fs::remove_file(path.join("one.pem")).expect("it is there");
    symlink(&elsewhere, path.join("link.pem")).expect("a link can be made");
    assert!(read(&path).expect("the file is good").may_sign(&key.id(), false));
    mode(&elsewhere, 0o666);
    assert!(matches!(read(&path), Err(TrustError::Place { source: OwnershipError::Writable(_), .. })));
    fs::remove_file(&elsewhere).expect("it is there");
    assert!(matches!(read(&path), Err(TrustError::Place { source: OwnershipError::Missing, .. })));
}

#[test]
fn files_are_counted_not_keys() {
    let machine = Machine::new();
    let (path, key) = machine.store("trust");
    for number in 1..MAX_KEYS {
        add(&path, &format!("{number}.pem"), &key);
    }
    read(&path).expect("as many as there may be");
    add(&path, "more.pem", &key);
    assert!(matches!(read(&path), Err(TrustError::TooMany { .. })));
}

#[test]
fn a_policy_among_the_keys_is_not_ignored() {
    let machine = Machine::new();
    let (path, _) = machine.store("trust");
    let policy = file(path.join("policy.toml"), "threshold = 2");
    let report = Report::from(read(&path).expect_err("nobody reads it there"));
    let beside = machine.path("policy.toml");
    assert_eq!(report.hint, Some(format!("`mv {} {}`", policy.display(), beside.display())));
}

#[test]
fn development_keys_count_for_development_artifacts_of_an_unconfigured_user_only() {
    let machine = Machine::new();
    let user = UserFolder::of(&machine.surroundings()).expect("there is one");
    let (key, made) = user.development_key().expect("it can be made");
    let id = key.public().id();
    assert_eq!(made, Some(machine.path("config/dev-key.pem")));
    let (again, made) = user.development_key().expect("it is there");
    assert_eq!((again.public().id(), made), (id, None));

    let place = machine.resolve(None, None).expect("there is a place");
    let store = TrustStore::read(&place).expect("a development key is enough");
    assert!(store.may_sign(&id, true));
    assert!(!store.may_sign(&id, false), "it signs development artifacts only");

    let release = self::key().public();
    write_public(&user.trusted().join("release.pem"), &release).expect("it can be written");
    let store = TrustStore::read(&place).expect("both kinds");
    assert!(store.may_sign(&release.id(), false) && !store.may_sign(&release.id(), true));

    // Configured, or named: the user's development keys are not looked at.
    folder(machine.path("etc"));
    let place = machine.resolve(None, None).expect("there is a place");
    assert!(TrustStore::read(&place).is_err());
    let named = read(&user.trusted()).expect("it has a key");
    assert_eq!(named.key(&id), None);
}

#[test]
fn a_development_folder_that_others_may_write_is_a_refusal() {
    let machine = Machine::new();
    let user = UserFolder::of(&machine.surroundings()).expect("there is one");
    user.development_key().expect("it can be made");
    mode(&machine.path("config/dev-trusted.d"), 0o777);
    assert!(TrustStore::read(&machine.resolve(None, None).expect("there is a place")).is_err());
    mode(&machine.path("config/dev-key.pem"), 0o622);
    assert_eq!(user.development_key().expect_err("others may write it").exit, Exit::NotTrusted);
}

#[test]
fn a_development_key_is_not_made_where_others_may_write() {
    let machine = Machine::new();
    let user = UserFolder::of(&machine.surroundings()).expect("there is one");
    mode(machine.root.path(), 0o777);
    let report = user.development_key().expect_err("anybody may put a folder there");
    assert_eq!(report.exit, Exit::NotTrusted);
    assert!(!machine.path("config").exists(), "nothing was made");
    mode(machine.root.path(), 0o755);
    user.development_key().expect("it can be made");
}

#[test]
fn keys_are_written_whole_and_never_over_another() {
    let machine = Machine::new();
    let (one, other) = (key(), key());
    let path = machine.path("new/deep/key.pem");
    write_private(&path, &one).expect("folders are made");
    let permissions = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(permissions(&path), 0o600);
    assert_eq!(permissions(&machine.path("new/deep")), 0o700);
    let report = write_private(&path, &other).expect_err("it is there already");
    assert_eq!(report.because, ["the file is there already, and a key is never replaced"]);
    let kept = wadoo_signing::key::read_private(&path).expect("a key");
    assert_eq!(kept.public().id(), one.public().id());

    let public = machine.path("new/deep/key.pub.pem");
    write_public(&public, &one.public()).expect("it can be written");
    assert_eq!(permissions(&public) & 0o133, 0);
    let names = fs::read_dir(machine.path("new/deep")).expect("it is there").count();
    assert_eq!(names, 2, "no temporary file stays");
}
