//! Elementwise kernels on every instruction set of this processor: accuracy, special values, and
//! the promise that an element's bits do not depend on where it stands.

mod accuracy;
mod ops;
mod oracle;
mod positions;
mod values;
