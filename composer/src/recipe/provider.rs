//! Who provides an import, or a function: a part, and by which of its exports.

use toml::Spanned as Node;
use toml::de::DeValue;

use super::components::{PartNames, read_part};
use super::problems::Problems;
use super::source::Spanned;
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

/// Reads `"part"` or a table like `{ part = "part", export = "ns:pkg/iface", own = true }`, of which `keys` may be given.
pub(super) fn read(
    value: &Node<DeValue<'_>>,
    title: String,
    keys: &[&str],
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<Spanned<Provider>> {
    let (part, export, own) = match value.get_ref() {
        DeValue::Table(_) => {
            let table = problems.table(title, value.span(), value)?;
            problems.check_keys(&table, keys, &[]);
            let part = problems.required(&table, "part", "\"auth\"");
            let export = table.entries.get("export");
            let export = export.map(|export| problems.parsed::<InterfaceName>("`export`", export));
            let own = table.entries.get("own").map(|own| problems.boolean("`own`", own));
            (read_part(part?, names, problems), export, own)
        }
        _ => (read_part(value, names, problems), None, None),
    };
    let (part, own) = (part?, own.unwrap_or(Some(false))?);
    let export = match export {
        Some(export) => Some(export?.value),
        None => None,
    };
    Some(Spanned { value: Provider { part, export, own }, span: value.span() })
}
