//! Where a payload is executed from: in place, or from a copy that nobody can change.
//!
//! Invariant: the bytes that are hashed are the bytes that are executed. A `Payload` is one open file, or
//! one piece of private memory, of which both are made. In place only where nobody, this process included,
//! could change the file without root's doing; everything else is copied into sealed memory first.
//!
//! Deliberately absent: any belief in the bytes (see `verify`).

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, MemfdFlags, SealFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::load;

/// File systems, by magic number, whose content and owners this kernel alone decides: ext2 to ext4, XFS,
/// Btrfs, F2FS, EROFS, SquashFS, ISO 9660, tmpfs, ramfs, ZFS. Elsewhere a page that was dropped from memory
/// could be read again from another machine or process, unhashed. Overlays are not here: what they show
/// lies in other file systems.
const LOCAL: [u32; 10] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0xe0f5_e1e2,
    0x7371_7368,
    0x9660,
    0x0102_1994,
    0x8584_58f6,
    0x2fc1_2fc1,
];

/// The bytes that are hashed, and then executed.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    length: u64,
    pub(crate) why: Why,
}

/// Where the payload's bytes are.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// The first bytes of this file: the artifact itself, or a sealed copy of its payload.
    File(File),
    /// Private memory: there is no `/proc` through which a descriptor could be mapped.
    Memory(Vec<u8>),
}

/// Why the payload is run from where it is; one line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// In place: the file system is read-only, for everybody.
    ReadOnly,
    /// In place: the kernel guards the content of the file.
    Verity,
    /// In place: it and every folder above belong to root, and nobody else may write them.
    RootOwned,
    /// In place: asked for by `--map-in-place`.
    Asked,
    /// A sealed copy: the policy demands it.
    Policy,
    /// A sealed copy: the file system is mounted `noexec`.
    NoExec,
    /// A sealed copy: another machine or process may decide what the file holds.
    Foreign,
    /// A sealed copy: this process, or another user, could change the file.
    Changeable,
    /// A copy in private memory: there is no `/proc`.
    NoProc,
}

impl Why {
    /// Decides for the payload of `file`; `asked` is `--map-in-place`, `sealed` the policy's demand.
    pub(crate) fn decide(file: &File, asked: bool, sealed: bool) -> Self {
        if !Path::new("/proc/self/fd").exists() {
            return Self::NoProc;
        }
        if sealed {
            return Self::Policy;
        }
        // What cannot be found out counts as the worse of the two.
        let mount = rustix::fs::fstatvfs(file).map_or(StatVfsMountFlags::NOEXEC, |stat| stat.f_flag);
        if mount.contains(StatVfsMountFlags::NOEXEC) {
            return Self::NoExec;
        }
        let otherwise = |why| if asked { Self::Asked } else { why };
        if !rustix::fs::fstatfs(file).is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u32))) {
            return otherwise(Self::Foreign);
        }
        if mount.contains(StatVfsMountFlags::RDONLY) && read_only_for_everybody(file) {
            return Self::ReadOnly;
        }
        if has_verity(file) {
            return Self::Verity;
        }
        if root_owned(file) {
            return Self::RootOwned;
        }
        otherwise(Self::Changeable)
    }

    /// Whether the file itself is executed.
    pub fn in_place(self) -> bool {
        match self {
            Self::ReadOnly | Self::Verity | Self::RootOwned | Self::Asked => true,
            Self::Policy | Self::NoExec | Self::Foreign | Self::Changeable | Self::NoProc => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "in place: the file system is read-only",
            Self::Verity => "in place: fs-verity",
            Self::RootOwned => "in place: owned by root, with every folder above",
            Self::Asked => {
                "in place, because `--map-in-place` says so, although this process could change it"
            }
            Self::Policy => "sealed copy: the policy demands it",
            Self::NoExec => "sealed copy: mounted noexec",
            Self::Foreign => "sealed copy: the file system is not known to be this machine's alone",
            Self::Changeable => "sealed copy: the file could be changed while it runs",
            Self::NoProc => "copy in private memory: there is no /proc",
        })
    }
}

/// Whether the file system itself is read-only. A read-only *mount* says nothing: a bind mount is read-only
/// for us, while whoever has the other end writes.
fn read_only_for_everybody(file: &File) -> bool {
    let stat = match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID) {
        Ok(stat) if StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID) => stat,
        _ => return false,
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    super_options(&mounts, stat.stx_mnt_id).is_some_and(|options| options.split(',').any(|one| one == "ro"))
}

/// The options of the file system itself, of the mount with this id (proc_pid_mountinfo(5)): the third field
/// after the lone hyphen.
fn super_options(mounts: &str, id: u64) -> Option<&str> {
    let id = id.to_string();
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id.as_str()))?;
    line.split_once(" - ")?.1.split(' ').nth(2)
}

fn has_verity(file: &File) -> bool {
    rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::VERITY))
}

/// Whether the file and every folder above it belong to root and nobody else may write them.
fn root_owned(file: &File) -> bool {
    let safe = |metadata: fs::Metadata| metadata.uid() == 0 && metadata.permissions().mode() & 0o022 == 0;
    let path = fs::read_link(descriptor_path(file));
    file.metadata().is_ok_and(safe)
        && path.is_ok_and(|path| {
            path.ancestors().skip(1).all(|folder| fs::symlink_metadata(folder).is_ok_and(safe))
        })
}

/// A path that leads to the opened file itself, whatever happened to its name.
pub(crate) fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

impl Payload {
    /// The first `length` bytes of `file`, in place or copied as `why` says.
    pub(crate) fn place(file: &File, length: u64, why: Why) -> io::Result<Self> {
        let bytes = match why {
            Why::NoProc => {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, 0)?;
                Bytes::Memory(bytes)
            }
            why if why.in_place() => Bytes::File(file.try_clone()?),
            _ => Bytes::File(sealed_copy(file, length)?),
        };
        Ok(Self { bytes, length, why })
    }

    /// What `of` makes of the payload's bytes.
    pub(crate) fn view<T>(&self, of: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        match &self.bytes {
            Bytes::Memory(bytes) => Ok(of(bytes)),
            Bytes::File(file) => load::map(file, self.length).map(|bytes| of(&bytes)),
        }
    }
}

/// Copies exactly `length` bytes into memory that nobody can change any more.
fn sealed_copy(file: &File, length: u64) -> io::Result<File> {
    let make = |flags| rustix::fs::memfd_create(c"wadoo-payload", flags | MemfdFlags::CLOEXEC);
    // Mapped, never executed as a program: `vm.memfd_noexec=2` allows nothing else. Linux before 6.3 does
    // not know the flag.
    let copy = match make(MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => make(MemfdFlags::ALLOW_SEALING)?,
        made => made?,
    };
    let copy = File::from(copy);
    let mut offset = 0;
    while offset < length {
        let rest = usize::try_from(length - offset).unwrap_or(usize::MAX);
        if rustix::fs::sendfile(copy.as_fd(), file.as_fd(), Some(&mut offset), rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
36 22 8:2 / /ro ro,noatime - squashfs /dev/sdb1 ro
37 22 8:1 /home/a /bind ro,relatime - ext4 /dev/sda1 rw
122 22 0:44 / /x rw master:2 propagate_from:1 - tmpfs tmpfs rw,size=1024k
";

    #[test]
    fn the_options_of_the_file_system_are_not_those_of_the_mount() {
        assert_eq!(super_options(MOUNTS, 22), Some("rw,errors=remount-ro"));
        assert_eq!(super_options(MOUNTS, 36), Some("ro"));
        assert_eq!(super_options(MOUNTS, 37), Some("rw"), "a read-only bind mount of what others write");
        assert_eq!(super_options(MOUNTS, 122), Some("rw,size=1024k"));
        assert_eq!(super_options(MOUNTS, 2), None);
        assert_eq!(super_options("", 2), None);
    }

    #[test]
    fn the_mount_of_any_file_is_found() {
        let file = tempfile::tempfile().expect("a file can be made");
        let stat = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).expect("statx");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is there");
        assert!(super_options(&mounts, stat.stx_mnt_id).is_some(), "{mounts}");
    }

    #[test]
    fn a_sealed_copy_holds_exactly_the_payload_and_cannot_be_changed() {
        let mut file = tempfile::tempfile().expect("a file can be made");
        file.write_all(b"payload and more").expect("it is written");
        let payload = Payload::place(&file, 7, Why::Changeable).expect("there is memory");
        file.write_all_at(b"PAYLOAD", 0).expect("the original is changed");
        assert_eq!(payload.view(<[u8]>::to_vec).expect("it can be mapped"), b"payload");
        let Bytes::File(copy) = &payload.bytes else { panic!("it is in a file of its own") };
        assert_eq!(copy.metadata().expect("it is there").len(), 7);
        copy.write_all_at(b"x", 0).expect_err("writing is sealed");
        copy.set_len(0).expect_err("shrinking is sealed");
        copy.set_len(100).expect_err("growing is sealed");
        let writable = fs::OpenOptions::new().write(true).open(descriptor_path(copy));
        writable.and_then(|again| again.write_all_at(b"x", 0)).expect_err("sealed by another name too");
        rustix::fs::fcntl_add_seals(copy, SealFlags::FUTURE_WRITE).expect_err("the seals are sealed");
    }

    #[test]
    fn only_local_file_systems_are_known() {
        let foreign = [
            "NFS 6969",
            "FUSE 65735546",
            "9P 1021997",
            "overlay 794c7630",
            "GFS2 1161970",
            "vboxsf 786f4256",
        ];
        for name in foreign {
            let magic = name.split(' ').nth(1).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            assert!(!LOCAL.contains(&magic.expect("hex digits")), "{name}");
        }
        // Whatever the kernel invents next: no file of /proc is executed in place.
        let file = File::open("/proc/self/maps").expect("/proc is there");
        assert!(matches!(Why::decide(&file, false, false), Why::Foreign | Why::NoExec));
    }

    #[test]
    fn a_file_that_shrinks_is_not_copied() {
        let file = tempfile::tempfile().expect("a file can be made");
        file.set_len(10).expect("it grows");
        for why in [Why::Changeable, Why::NoProc] {
            let error = Payload::place(&file, 11, why).expect_err("a byte is missing");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_policy_is_stronger_than_the_command_line() {
        let file = tempfile::tempfile().expect("a file can be made");
        assert_eq!(Why::decide(&file, true, true), Why::Policy);
    }
}
