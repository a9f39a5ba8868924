//! Write plugins for RDE.
//!
//! A plugin implements [`Transform`] and names itself to [`export!`]. Three levels, from easy to raw:
//!
//! 1. columns in, columns out: [`Batch`] gives typed columns in place, [`Emit`] keeps, picks or extends rows; nothing of arrow
//!    is in the guest;
//! 2. arrow batches: the module `arrow`, with the feature of that name;
//! 3. the bytes: [`Batch::message`], [`Emit::message`], or [`bindings`] without anything of this crate around them.
//!
//! ```
//! use rde_sdk::{About, Batch, Column, DataType, Emit, Failure, Field, Plan, Transform, about};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Config {
//!     /// The column to scale.
//!     column: String,
//!     factor: f64,
//! }
//!
//! struct Scale {
//!     factor: f64,
//!     column: Column,
//! }
//!
//! impl Transform for Scale {
//!     type Config = Config;
//!     const ABOUT: About = about!("Adds a scaled column.");
//!
//!     fn bind(config: Config, plan: &mut Plan) -> Result<Self, Failure> {
//!         let column = plan.read_as(&config.column, &DataType::Float64)?;
//!         plan.add(Field::new("scaled", DataType::Float64));
//!         Ok(Scale { factor: config.factor, column })
//!     }
//!
//!     fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure> {
//!         let amounts = batch.numbers::<f64>(self.column)?;
//!         let mut new = emit.columns();
//!         new.map(&amounts, |amount| amount * self.factor);
//!         new.send()
//!     }
//! }
//! rde_sdk::export!(Scale);
//! # fn main() {}
//! ```
//!
//! It stands at the far end of the plugin boundary: the host calls `process` with one IPC message, the answer goes out through
//! `emit`. Invariant: nothing here holds state between batches but the plugin and memory that is used again.
//! Not here: the bytes of Arrow (`rde-ipc`), anything of the host.

mod batch;
mod emit;
mod failure;
mod host;
mod instance;
mod memory;
mod plan;

#[cfg(feature = "arrow")]
pub mod arrow;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(test)]
mod tests;

/// What wit-bindgen makes of the package `rde:plugin`, for those who want no help.
#[expect(missing_docs, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "transform",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        default_bindings_module: "rde_sdk::bindings",
        generate_all,
    });
}

pub use batch::{Batch, Numbers, Texts};
pub use bindings::rde::plugin::log::Level;
pub use bindings::rde::plugin::types::{BatchInfo, Failure, RetryHint, RowFault};
pub use emit::{Emit, Kept, NewColumns};
pub use failure::RowError;
pub use host::{log, log_enabled, now};
pub use instance::{Instance, Options};
pub use plan::{Column, Plan};
pub use rde_ipc::{DataType, Field, Schema, TimeUnit};

/// The bytes of Arrow.
pub use rde_ipc as ipc;
#[doc(hidden)]
pub use {schemars, serde, serde_json};

/// A plugin that works on batches.
pub trait Transform: Sized + 'static {
    /// Its configuration. The JSON Schema of it is what `rde plugin inspect` shows and what pipelines are checked against.
    type Config: serde::de::DeserializeOwned + schemars::JsonSchema;

    /// Who it is.
    const ABOUT: About;

    /// Looks at the configuration and the input's columns, says in `plan` what it reads and what it adds, and makes itself.
    /// Pure: no clock, no files, the same answer at each call.
    fn bind(config: Self::Config, plan: &mut Plan) -> Result<Self, Failure>;

    /// Called once before the first batch.
    fn open(&mut self, _options: &Options) -> Result<(), Failure> {
        Ok(())
    }

    /// One batch. What it emits is seen only when it answers ok; rows it gave to [`Emit::fail`] go to `errors`.
    fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure>;

    /// The input ended.
    fn end(&mut self, _emit: &mut Emit<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Called last, if at all.
    fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Name, version and habits of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Letters a-z, digits and `-`.
    pub name: &'static str,
    /// Semantic version.
    pub version: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the host may check.
    pub cardinality: Cardinality,
    /// Whether the answer depends on how rows are cut into batches.
    pub whole_batches: bool,
}

/// How many rows come out for each that goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly one.
    OneToOne,
    /// One or none.
    Filter,
    /// Any number.
    Any,
}

impl About {
    /// A plugin of any cardinality. See [`about!`], which takes name and version from the crate.
    pub const fn new(name: &'static str, version: &'static str, summary: &'static str) -> Self {
        About { name, version, summary, cardinality: Cardinality::Any, whole_batches: false }
    }

    /// The same, with one row out for each row in.
    pub const fn one_to_one(mut self) -> Self {
        self.cardinality = Cardinality::OneToOne;
        self
    }

    /// The same, with at most one row out for each row in.
    pub const fn filter(mut self) -> Self {
        self.cardinality = Cardinality::Filter;
        self
    }

    /// The same, for batches as they came: the host neither joins nor cuts them.
    pub const fn whole(mut self) -> Self {
        self.whole_batches = true;
        self
    }
}

/// [`About`] with the name and version of the crate it stands in.
#[macro_export]
macro_rules! about {
    ($summary:expr) => {
        $crate::About::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), $summary)
    };
}

/// Makes a [`Transform`] the plugin of this crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::exports::rde::plugin::{lifecycle, processor};
            use $crate::bindings::rde::plugin::types::{BatchInfo, Bound, Failure, OpenArgs, Port};

            struct Guest;
            thread_local! {
                static INSTANCE: ::core::cell::RefCell<$crate::Instance<$plugin>> =
                    ::core::cell::RefCell::new($crate::Instance::new());
            }
            fn with<R>(call: impl FnOnce(&mut $crate::Instance<$plugin>) -> R) -> R {
                INSTANCE.with(|instance| call(&mut instance.borrow_mut()))
            }
            impl lifecycle::Guest for Guest {
                fn describe() -> Vec<u8> {
                    $crate::Instance::<$plugin>::describe()
                }
                fn bind(config: Vec<u8>, inputs: Vec<Port>) -> Result<Bound, Failure> {
                    with(|instance| instance.bind(&config, &inputs))
                }
                fn open(args: OpenArgs) -> Result<(), Failure> {
                    with(|instance| instance.open(args))
                }
                fn close() -> Result<(), Failure> {
                    with(|instance| instance.close())
                }
            }
            impl processor::Guest for Guest {
                fn process(info: BatchInfo, batch: Vec<u8>) -> Result<(), Failure> {
                    with(|instance| instance.process(info, &batch))
                }
                fn end_of_input(_input: u32) -> Result<(), Failure> {
                    with(|instance| instance.end())
                }
            }
    $crate::bindings::export_transform!(Guest with_types_in $crate::bindings);
        };
    };
}
