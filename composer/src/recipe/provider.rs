//! One entry of `with`: the part that provides an import, and by which of its exports.

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::components::{PartNames, read_part};
use super::problems::Problems;
use super::source::Spanned;
use super::syntax::{clipped, quoted};
use super::{InterfaceName, PartName};

/// Who provides an import.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The part.
    pub part: Spanned<PartName>,
    /// `export`: its export, where that is not found by the import's own name.
    pub export: Option<InterfaceName>,
    /// `own`: by an instance that no other part has.
    pub own: bool,
}

/// Reads `"part"` or `{ part = "part", export = "ns:pkg/iface", own = true }`, for `import` of `importer`.
pub(super) fn read(
    value: &Node<DeValue<'_>>,
    (importer, import): (&str, &str),
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<Spanned<Provider>> {
    let (part, export, own) = match value.get_ref() {
        DeValue::Table(_) => {
            let title = format!("{} in `with` of {}", quoted(import), quoted(importer));
            let table = problems.table(title, value.span(), value)?;
            problems.check_keys(&table, &["part", "export", "own"], &[]);
            let part = problems.required(&table, "part", "\"auth\"");
            let export = table.entries.get("export");
            let export = export.map(|export| problems.parsed::<InterfaceName>("`export`", export));
            let own = table.entries.get("own").map(|own| problems.boolean("`own`", own));
            (read_part(part?, names, problems), export, own)
        }
        _ => (read_part(value, names, problems), None, None),
    };
    let part = part?;
    if part.value.as_str() == importer {
        let what = format!("`{}` cannot provide its own import {}", clipped(importer), quoted(import));
        let hint = "name another part that exports it, or make a second part of the same file";
        problems.add(&part.span, Report::new(Exit::CouldNot, what).hint(hint));
        return None;
    }
    let export = match export {
        Some(export) => Some(export?.value),
        None => None,
    };
    let own = match own {
        Some(own) => own?,
        None => false,
    };
    Some(Spanned { value: Provider { part, export, own }, span: value.span() })
}
