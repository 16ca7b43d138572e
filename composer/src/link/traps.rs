//! Names for the traps of a generated module.
//!
//! The engine's compiler copies small functions into the parts that call them, and a trap in a copy has neither name nor
//! part. So each exported function that traps calls one of its own that does, which is not copied: only calls from one
//! module into another are.

use std::ops::Range;

use wasm_encoder::{
    CodeSection, Function, FunctionSection, NameMap, NameSection, RawSection, Section, SectionId,
};
use wasmparser::{ExternalKind, FunctionBody, Operator, Parser, Payload};

/// The function of a generated module that returns. It has neither parameters nor results, as those that trap will.
const INITIALIZE: &str = "_initialize";

/// Gives each exported function of `module` that only traps a function to trap in, named after the export.
pub(super) fn name(module: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let generated = Generated::read(module)?;
    let Some(nothing) = generated.initialize().map(|index| generated.types[index]) else {
        return Ok(module.to_vec());
    };
    let (mut types, mut code, mut names) = (FunctionSection::new(), CodeSection::new(), NameMap::new());
    let first = generated.imported + generated.bodies.len() as u32;
    let mut next = first;
    for (index, (body, ty)) in generated.bodies.iter().zip(&generated.types).enumerate() {
        types.function(*ty);
        match generated.export(index) {
            Some(name) if matches!(body.get_operators_reader()?.read()?, Operator::Unreachable) => {
                code.function(&function(|body| {
                    body.instructions().call(next).unreachable().end();
                }));
                names.append(next, name);
                next += 1;
            }
            _ => {
                code.raw(body.as_bytes());
            }
        }
    }
    for _ in first..next {
        types.function(nothing);
        code.function(&function(|body| {
            body.instructions().unreachable().end();
        }));
    }
    let mut naming = NameSection::new();
    naming.functions(&names);
    Ok(generated.with(module, &types, &code, &naming))
}

fn function(write: impl FnOnce(&mut Function)) -> Function {
    let mut function = Function::new([]);
    write(&mut function);
    function
}

/// A module that was generated: of its imports all are functions.
struct Generated<'a> {
    imported: u32,
    /// Types of its own functions.
    types: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
    /// Names of exported functions, and their numbers among its own.
    exports: Vec<(&'a str, usize)>,
    sections: Vec<(u8, Range<u64>)>,
}

impl<'a> Generated<'a> {
    fn read(module: &'a [u8]) -> wasmparser::Result<Self> {
        let mut generated =
            Self { imported: 0, types: vec![], bodies: vec![], exports: vec![], sections: vec![] };
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            generated.sections.extend(payload.as_section());
            match payload {
                Payload::ImportSection(section) => generated.imported = section.count(),
                Payload::FunctionSection(section) => {
                    generated.types = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func && export.index >= generated.imported {
                            let index = (export.index - generated.imported) as usize;
                            generated.exports.push((export.name, index));
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => generated.bodies.push(body),
                _ => {}
            }
        }
        Ok(generated)
    }

    fn initialize(&self) -> Option<usize> {
        self.exports.iter().find(|(name, _)| *name == INITIALIZE).map(|(_, index)| *index)
    }

    fn export(&self, index: usize) -> Option<&'a str> {
        self.exports.iter().find(|(_, exported)| *exported == index).map(|(name, _)| *name)
    }

    /// The same module with other functions, and names.
    fn with(
        &self,
        module: &[u8],
        types: &impl Section,
        code: &impl Section,
        names: &impl Section,
    ) -> Vec<u8> {
        let mut output = wasm_encoder::Module::new();
        for (id, range) in &self.sections {
            if *id == SectionId::Function as u8 {
                output.section(types);
            } else if *id == SectionId::Code as u8 {
                output.section(code);
            } else {
                let data = &module[range.start as usize..range.end as usize];
                output.section(&RawSection { id: *id, data });
            }
        }
        output.section(names);
        output.finish()
    }
}
