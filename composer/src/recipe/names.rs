//! Names that a user writes in a recipe, as types whose existence means "well formed".

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use semver::Version;

use super::problems::Refusal;
use crate::interfaces::{self, FullName};

/// Greatest length of a name, in bytes.
pub const MAX_NAME: usize = 200;

/// Why a text is not a name of the kind that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not words of lower-case letters and digits, joined by single hyphens.
    #[error(
        "expected lower-case words of letters and digits joined by hyphens, a letter first, like `cart-api`"
    )]
    Kebab,
    /// Longer than [`MAX_NAME`].
    #[error("it is longer than {MAX_NAME} bytes")]
    Length,
    /// Not `namespace:package/interface`.
    #[error(
        "expected `namespace:package/interface`, with `@version` where it matters, like `wasi:http/types@0.3.0`"
    )]
    Interface,
    /// What follows the `@` is not a version.
    #[error("expected a full version after the `@`, like `@0.3.0`, or no version")]
    Version,
    /// All of a package where one interface is expected.
    #[error("it is a pattern, expected one interface, like `wasi:http/types`")]
    Pattern,
    /// Neither an interface nor all of a package.
    #[error("expected an interface, like `wasi:http/client`, or all of a package, like `wasi:sockets/*`")]
    InterfaceOrPackage,
}

impl PartName {
    /// The name of the instance of `part` that `importer` has for itself. No recipe can say it.
    pub(crate) fn of_own(importer: &Self, part: &Self) -> Self {
        Self(format!("{importer}/{part}"))
    }

    /// Whether a part has this instance for itself: no `with` can name it.
    pub(crate) fn is_own(&self) -> bool {
        self.0.contains('/')
    }

    /// The part of the recipe that this is an instance of: itself, or the one whose instance another part has for itself.
    pub fn in_recipe(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The name as names of imports can have it: `cart-log` of `cart/log`.
    pub(crate) fn flat(&self) -> String {
        self.0.replace('/', "-")
    }
}

/// Maps by name can be asked with what [`PartName::in_recipe`] gives.
impl Borrow<str> for PartName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Refusal for NameError {
    fn because(&self) -> String {
        self.to_string()
    }

    fn meant(&self, text: &str) -> Option<String> {
        match self {
            Self::Kebab => kebab_of(text),
            Self::Interface | Self::InterfaceOrPackage => interface_of(text),
            Self::Version => version_of(text).or_else(|| interface_of(text)),
            Self::Length | Self::Pattern => None,
        }
    }
}

/// `Cart_API` was meant to be `cart-api`.
fn kebab_of(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase().replace(['_', ' ', '.'], "-");
    check_kebab(&text).is_ok().then_some(text)
}

/// `WASI:HTTP/Types`, `wasi:http@0.3.0/types`, `wasi/http/types`, `wasi:http:types`.
fn interface_of(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let moved = text.split_once('@').and_then(|(package, rest)| {
        let (version, interface) = rest.split_once('/')?;
        Some(format!("{package}/{interface}@{version}"))
    });
    let first_slash = text.replacen('/', ":", 1);
    let last_colon = text.rsplit_once(':').map(|(package, interface)| format!("{package}/{interface}"));
    let candidates = [Some(text), moved, Some(first_slash), last_colon];
    candidates.into_iter().flatten().find(|candidate| candidate.parse::<InterfacePattern>().is_ok())
}

/// `@v0.3.0`, `@0.3`.
fn version_of(text: &str) -> Option<String> {
    let (id, version) = text.split_once('@')?;
    let version = version.trim_start_matches('v');
    ["", ".0"]
        .iter()
        .map(|rest| format!("{id}@{version}{rest}"))
        .find(|candidate| candidate.parse::<InterfacePattern>().is_ok())
}

macro_rules! kebab_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_kebab(text).map(|()| Self(text.to_owned()))
            }
        }
    };
}

kebab_name!(
    /// The name of an application.
    AppName
);
kebab_name!(
    /// The name of a part. It becomes part of import names, which allow no more than kebab-case.
    PartName
);

impl PartName {
    /// The name of the part that a pattern makes of a file: of `plugin` and `Json_Reader`, `plugin-json-reader`.
    /// `None` if it cannot be one.
    pub fn of_file(pattern: &Self, stem: &str) -> Option<Self> {
        kebab_of(&format!("{pattern}-{stem}")).map(Self)
    }
}

/// The first word begins with a letter, as WIT's labels do.
fn check_kebab(text: &str) -> Result<(), NameError> {
    if text.len() > MAX_NAME {
        return Err(NameError::Length);
    }
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let letter = text.starts_with(|first: char| first.is_ascii_lowercase());
    if letter && text.split('-').all(word) { Ok(()) } else { Err(NameError::Kebab) }
}

/// An interface, `wasi:http/types@0.3.0`; the version may be left out where only one is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    id: String,
    version: Option<Version>,
}

impl InterfaceName {
    /// The name without its version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of a component's import or export, which has no limit but that of components.
    pub(crate) fn of_component(name: FullName<'_>) -> Self {
        Self { id: name.id.to_owned(), version: name.version }
    }

    /// Whether one import or export could be meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.id == other.id && versions_overlap(self.version.as_ref(), other.version.as_ref())
    }

    /// Whether a component's import or export of this full name is meant: the same interface, in a version
    /// that is equal to or compatible with the one given here, if one is.
    pub fn matches(&self, full_name: &str) -> bool {
        matches(&self.id, self.version.as_ref(), full_name)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        self.version.iter().try_for_each(|version| write!(f, "@{version}"))
    }
}

impl FromStr for InterfaceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (id, version) = split_version(text)?;
        let (package, interface) = id.split_once('/').ok_or(NameError::Interface)?;
        check_package(package)?;
        if interface.contains('*') {
            return Err(NameError::Pattern);
        }
        check_label(interface)?;
        Ok(Self { id: id.to_owned(), version })
    }
}

/// An interface, or all of a package: `wasi:sockets/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfacePattern {
    /// One interface.
    Interface(InterfaceName),
    /// Every interface of a package.
    Package {
        /// `wasi:sockets`
        package: String,
        /// The version, if one was given.
        version: Option<Version>,
    },
}

impl InterfacePattern {
    /// Whether a component's import of this full name is meant.
    pub fn matches(&self, full_name: &str) -> bool {
        match self {
            Self::Interface(name) => name.matches(full_name),
            Self::Package { package, version } => {
                let id = full_name.split('@').next().unwrap_or(full_name);
                id.split_once('/').is_some_and(|(found, _)| found == package)
                    && matches(id, version.as_ref(), full_name)
            }
        }
    }

    /// Whether some import could be meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Interface(a), Self::Interface(b)) => a.overlaps(b),
            (Self::Package { package, version }, Self::Package { package: other, version: theirs }) => {
                package == other && versions_overlap(version.as_ref(), theirs.as_ref())
            }
            (Self::Package { package, version }, Self::Interface(name))
            | (Self::Interface(name), Self::Package { package, version }) => {
                name.id.split_once('/').is_some_and(|(found, _)| found == package)
                    && versions_overlap(version.as_ref(), name.version.as_ref())
            }
        }
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => name.fmt(f),
            Self::Package { package, version } => {
                write!(f, "{package}/*")?;
                version.iter().try_for_each(|version| write!(f, "@{version}"))
            }
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (id, version) = split_version(text)?;
        match id.strip_suffix("/*") {
            Some(package) => {
                check_package(package).map_err(|_| NameError::InterfaceOrPackage)?;
                Ok(Self::Package { package: package.to_owned(), version })
            }
            None => text.parse().map(Self::Interface).map_err(|error| match error {
                NameError::Interface | NameError::Pattern => NameError::InterfaceOrPackage,
                other => other,
            }),
        }
    }
}

fn matches(id: &str, version: Option<&Version>, full_name: &str) -> bool {
    let found = full_name.split('@').next().unwrap_or(full_name);
    found == id && version.is_none_or(|version| interfaces::compatible(&format!("{id}@{version}"), full_name))
}

/// Whether a full name could be on the track of both; without a version, a name is on every track.
fn versions_overlap(a: Option<&Version>, b: Option<&Version>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => interfaces::compatible(&format!("a:b/c@{a}"), &format!("a:b/c@{b}")),
        _ => true,
    }
}

fn split_version(text: &str) -> Result<(&str, Option<Version>), NameError> {
    if text.len() > MAX_NAME {
        return Err(NameError::Length);
    }
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((id, version)) => {
            version.parse().map(|version| (id, Some(version))).map_err(|_| NameError::Version)
        }
    }
}

/// Names of interfaces may have acronyms, `HTTP-cache`; those of packages may not.
fn check_label(interface: &str) -> Result<(), NameError> {
    let is_acronym = |word: &str| !word.bytes().any(|byte| byte.is_ascii_lowercase());
    let lower = |word: &str| if is_acronym(word) { word.to_ascii_lowercase() } else { word.to_owned() };
    let words: Vec<String> = interface.split('-').map(lower).collect();
    check_kebab(&words.join("-")).map_err(|_| NameError::Interface)
}

fn check_package(package: &str) -> Result<(), NameError> {
    let (namespace, name) = package.split_once(':').ok_or(NameError::Interface)?;
    check_kebab(namespace).and_then(|()| check_kebab(name)).map_err(|_| NameError::Interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kebab_case_and_nothing_else() {
        for good in ["a", "cart", "cart-api", "v2", "a1-b2", "hello-02"] {
            assert_eq!(good.parse::<PartName>().unwrap().to_string(), good);
        }
        for bad in ["", "-", "a-", "-a", "a--b", "A", "a_b", "2a", "a b", "ä", "a.b", "a/b"] {
            assert_eq!(bad.parse::<PartName>(), Err(NameError::Kebab), "{bad}");
        }
        assert_eq!("a".repeat(MAX_NAME + 1).parse::<PartName>(), Err(NameError::Length));
    }

    #[test]
    fn interfaces_are_written_as_they_were_read() {
        for name in ["wasi:http/types", "wasi:http/types@0.3.0", "acme:a-b/c@1.2.3-rc.1", "a:b/HTTP-x2-3"] {
            assert_eq!(name.parse::<InterfaceName>().unwrap().to_string(), name);
        }
        for name in ["wasi:sockets/*", "wasi:sockets/*@0.2.0", "wasi:http/types"] {
            assert_eq!(name.parse::<InterfacePattern>().unwrap().to_string(), name);
        }
        for bad in [
            "wasi",
            "wasi:http",
            "http/types",
            "wasi:http/",
            "wasi:/types",
            "a:b/c/d",
            "wasi:*",
            "a:b/Http",
            "A:b/c",
            "a:b/2C",
        ] {
            assert_eq!(bad.parse::<InterfaceName>(), Err(NameError::Interface), "{bad}");
        }
        assert_eq!("wasi:http/types@0.3".parse::<InterfaceName>(), Err(NameError::Version));
        assert_eq!("wasi:http/*".parse::<InterfaceName>(), Err(NameError::Pattern));
        assert_eq!("wasi:http/ty*".parse::<InterfacePattern>(), Err(NameError::InterfaceOrPackage));
    }

    #[test]
    fn a_version_narrows_what_is_meant() {
        let any: InterfaceName = "wasi:http/types".parse().unwrap();
        assert!(any.matches("wasi:http/types@0.2.3") && any.matches("wasi:http/types@0.3.0"));
        assert!(!any.matches("wasi:http/handler@0.3.0"));
        let one: InterfaceName = "wasi:http/types@0.2.0".parse().unwrap();
        assert!(one.matches("wasi:http/types@0.2.3") && !one.matches("wasi:http/types@0.3.0"));
        let all: InterfacePattern = "wasi:sockets/*".parse().unwrap();
        assert!(all.matches("wasi:sockets/tcp@0.2.3") && !all.matches("wasi:socketsx/tcp@0.2.3"));
    }

    #[test]
    fn patterns_overlap_where_one_import_could_be_meant_by_both() {
        let overlap = |a: &str, b: &str| {
            a.parse::<InterfacePattern>().unwrap().overlaps(&b.parse::<InterfacePattern>().unwrap())
        };
        assert!(overlap("wasi:sockets/*", "wasi:sockets/tcp@0.2.0"));
        assert!(overlap("wasi:sockets/tcp", "wasi:sockets/tcp@0.2.0"));
        assert!(!overlap("wasi:sockets/tcp@0.3.0", "wasi:sockets/tcp@0.2.0"));
        assert!(!overlap("wasi:sockets/*", "wasi:http/types"));
        assert!(overlap("wasi:sockets/*@0.2.0", "wasi:sockets/tcp@0.2.3"));
        assert!(!overlap("wasi:sockets/*@0.3.0", "wasi:sockets/tcp@0.2.3"));
        assert!(!overlap("wasi:sockets/*@0.3.0", "wasi:sockets/*@0.2.0"));
    }

    #[test]
    fn what_was_meant_is_found() {
        let part = |text: &str| text.parse::<PartName>().unwrap_err().meant(text);
        assert_eq!(part("Cart_API").as_deref(), Some("cart-api"));
        assert_eq!(part("2cart"), None);
        let interface = |text: &str| text.parse::<InterfacePattern>().unwrap_err().meant(text);
        for (text, meant) in [
            ("WASI:http/Types", "wasi:http/types"),
            ("wasi:http@0.3.0/types", "wasi:http/types@0.3.0"),
            ("wasi/http/types", "wasi:http/types"),
            ("wasi:http:types", "wasi:http/types"),
            ("wasi:http/types@0.3", "wasi:http/types@0.3.0"),
            ("wasi:http/types@v0.3.0", "wasi:http/types@0.3.0"),
            ("wasi:sockets@0.2.0/*", "wasi:sockets/*@0.2.0"),
        ] {
            assert_eq!(interface(text).as_deref(), Some(meant), "{text}");
        }
        assert_eq!(interface("http"), None);
    }

    #[test]
    fn names_have_a_total_order() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        let sorted = ["a:b/c", "a:b/c@0.2.0-rc.1", "a:b/c@0.2.0", "a:b/c@0.10.0", "a:b/d", "a:c/a"];
        assert!(sorted.windows(2).all(|pair| name(pair[0]) < name(pair[1])));
    }
}
