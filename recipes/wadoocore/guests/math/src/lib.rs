//! The plugin: arithmetic on finite numbers, behind `wadoo:math/ops`.
//!
//! Invariant: a result is finite, whatever the operands.

wit_bindgen::generate!({
    path: "../../../../wit/math",
    world: "wadoo:math/plugin",
});

use exports::wadoo::math::ops::{Error, Guest};

struct Math;

export!(Math);

impl Guest for Math {
    fn add(a: f64, b: f64) -> Result<f64, Error> {
        finite(a + b)
    }

    fn subtract(a: f64, b: f64) -> Result<f64, Error> {
        finite(a - b)
    }

    fn multiply(a: f64, b: f64) -> Result<f64, Error> {
        finite(a * b)
    }

    fn divide(a: f64, b: f64) -> Result<f64, Error> {
        if b == 0.0 { Err(Error::DivisionByZero) } else { finite(a / b) }
    }
}

fn finite(result: f64) -> Result<f64, Error> {
    if result.is_finite() { Ok(result) } else { Err(Error::NotFinite) }
}
