//! The names and signatures of other caches over this one, so that a program that was written for them changes its `use` line. Each is a module over
//! the crate's public methods alone.

pub mod cache_ro;
