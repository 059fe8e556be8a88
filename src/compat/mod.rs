//! The names and signatures of other caches over this one, so that a program that was written for them changes its `use` line. Each is a module over
//! the crate's public methods alone.
//!
//! ```
//! use std::time::Duration;
//! use rustcache::compat::cache_ro::{Cache, CacheConfig};
//!
//! let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
//! cache.set("n", 1, Duration::from_secs(60))?;
//! assert_eq!(cache.get::<i32>("n"), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cache_ro;
