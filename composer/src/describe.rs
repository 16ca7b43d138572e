//! The manifest: what is said, and signed, of an artifact. Pure: values in, a value out.

use std::collections::BTreeMap;

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::framing::Attachment;
use wadoo_signing::manifest::{self, ComponentDigests, Input, Manifest, PoolNeeds, Reuse, Trigger};

use crate::compile::Precompiled;
use crate::link::Linked;
use crate::recipe::{self, Recipe};

/// Everything that a manifest is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Digest and source of every input, by name.
    pub inputs: &'a BTreeMap<String, Input>,
    /// The component that was compiled.
    pub linked: &'a Linked,
    /// What the compiler made of it.
    pub precompiled: &'a Precompiled,
    /// What is attached, in file order.
    pub attachments: &'a [Attachment],
    /// Digest of `wadoo.lock`, where it held.
    pub lock: Option<Sha256Digest>,
    /// Whether the signing key is a development key.
    pub development: bool,
}

/// Describes one artifact.
pub fn describe(facts: &Facts<'_>) -> Manifest {
    let Facts { recipe, inputs, linked, precompiled, attachments, lock, development } = facts;
    let digest = Sha256Digest::of(&linked.bytes);
    Manifest {
        app: manifest::App {
            name: recipe.app.name.to_string(),
            version: recipe.app.version.to_string(),
            serial: recipe.app.serial,
        },
        development: *development,
        not_after: None,
        target: precompiled.target.clone(),
        engine: precompiled.engine.clone(),
        payload_size: precompiled.payload.len() as u64,
        component: ComponentDigests {
            portable: linked.portable.as_ref().map_or(digest, |portable| Sha256Digest::of(&portable.bytes)),
            linked: digest,
        },
        trigger: linked.trigger.clone(),
        imports: linked.imports.clone(),
        exports: linked.exports.clone(),
        grants: linked.grants.clone(),
        part_imports: linked.part_imports.clone(),
        limits: limits(&recipe.limits, &linked.trigger),
        reuse: recipe.reuse.as_ref().map_or(Reuse::None { warm: 0 }, |reuse| reuse.value.clone()),
        pool: PoolNeeds { ..linked.pool.clone() },
        parts: linked.parts.clone(),
        inputs: (*inputs).clone(),
        recipe: recipe.digest(),
        lock: *lock,
        attachments: attachments.iter().map(Attachment::info).collect(),
    }
}

fn limits(limits: &recipe::Limits, trigger: &Trigger) -> manifest::Limits {
    let http = matches!(trigger, Trigger::Http02 | Trigger::Http03);
    manifest::Limits {
        memory: limits.memory,
        timeout_ms: limits.timeout_or_default(http).map(|timeout| timeout.as_millis() as u64),
        body_timeout_ms: limits.body_timeout.as_millis() as u64,
        concurrency: limits.concurrency,
        request_body: limits.request_body,
        request_headers: limits.request_headers,
        resources: limits.resources,
        handles: limits.handles,
        host_call: limits.host_call,
        fields: limits.fields,
        random: limits.random,
        cpu_quota_percent: limits.cpu_quota,
    }
}
