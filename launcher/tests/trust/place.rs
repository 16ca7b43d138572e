//! Where verified code runs from.

use std::fs::{self};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::place::Why;
use wadoo_launcher::{engine, load};
use wadoo_signing::policy::Policy;

use crate::artifact::{Parts, Placed, mode, skip, write};

#[test]
fn the_bytes_verified_are_the_bytes_loaded() {
    let parts = Parts::new();
    let placed = Placed::new(parts.bytes());
    let verified = placed.verify(&parts.store()).expect("it is what was signed");
    assert!(!verified.why().in_place(), "{}: a temporary folder is nobody's fortress", verified.why());
    // The file is overwritten in place, as a careless copy does, after it was verified.
    write(placed.path.clone(), vec![0xcc; parts.bytes().len()]);
    verified.check_all_digests().expect("the copy is as it was");
    let engine = engine::serving(verified.manifest()).expect("a serving engine").engine;
    load::load(&engine, &verified).expect("the copy is loaded");
}

#[test]
fn where_it_runs_from_follows_from_who_could_change_it() {
    let parts = Parts::new();
    let why = |path: &Path, map_in_place, sealed| {
        let policy = Policy { sealed, ..Policy::default() };
        let artifact = UnverifiedArtifact::open(path, &OpenOptions { map_in_place }).expect("it opens");
        artifact.authenticate(&parts.store(), &policy, SystemTime::now()).expect("it is signed").why()
    };
    let placed = Placed::new(parts.bytes());
    let noexec = why(&placed.path, false, false) == Why::NoExec;
    if !noexec {
        assert_eq!(why(&placed.path, false, false), Why::Changeable);
        assert_eq!(why(&placed.path, true, false), Why::Asked);
    }
    assert_eq!(why(&placed.path, true, true), Why::Policy);

    // Where every folder above is root's, and the file too.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let path = write(folder.path().join("app.cwasm"), parts.bytes());
    let safe = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|data| data.uid() == 0 && data.mode() & 0o022 == 0)
    };
    if !path.ancestors().all(safe) || noexec {
        skip("the target folder is not root's alone");
        return;
    }
    assert_eq!(why(&path, false, false), Why::RootOwned);
    assert_eq!(why(&path, true, false), Why::RootOwned, "nobody had to ask");
    assert_eq!(why(&path, false, true), Why::Policy);
    mode(folder.path(), 0o777);
    assert_eq!(why(&path, false, false), Why::Changeable, "anybody could put another file there");
    mode(folder.path(), 0o755);
    std::os::unix::fs::chown(&path, Some(12_345), None).expect("root may");
    assert_eq!(why(&path, false, false), Why::Changeable, "its owner could change it");
}
