//! `rustcache repair`: says what was kept, what was dropped, and what to do next. What is kept is decided in `persist/repair.rs`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustcache::persist::disk::{Disk, SystemDisk};
use rustcache::persist::inspect::Progress;
use rustcache::persist::repair::{RepairError, Repaired, repair};

use crate::cli::Repair;
use crate::progress;

/// Repairs a directory, and prints what came of it.
///
/// # Errors
/// Why it was not repaired; `Ok(Err(..))` when only saying so failed.
pub(crate) fn run(options: &Repair) -> Result<io::Result<()>, RepairError> {
    let progress = Arc::new(Progress::default());
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let repaired = progress::shown(&progress, || {
        repair(&options.dir, options.to.as_deref(), &disk, &progress)
    })?;
    Ok(print(&repaired))
}

fn print(repaired: &Repaired) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let found = &repaired.found;
    let (old, new) = (word(&found.directory), word(&repaired.directory));
    writeln!(
        out,
        "kept: {} entries, {} bytes, in {}",
        repaired.entries,
        repaired.bytes,
        repaired.snapshot.display()
    )?;
    if found.is_damaged() {
        writeln!(out, "dropped: {} records that are known to be lost", found.lost)?;
        for problem in found.problems(10) {
            writeln!(out, "  {problem}")?;
        }
    } else {
        writeln!(out, "dropped: nothing; no damage was found")?;
    }
    for (file, offset) in found
        .contents()
        .filter_map(|(file, content)| Some((file, content.torn_at?)))
    {
        let path = file.path.display();
        writeln!(
            out,
            "  {path}: an unfinished write at offset {offset}, which was never acknowledged"
        )?;
    }
    if found.totals.expired > 0 {
        writeln!(out, "  {} entries that have expired", found.totals.expired)?;
    }
    writeln!(out, "the files in {old} are what they were\n\nnext:")?;
    if let (Some(old_owner), Some(new_owner)) = (owner(&found.directory), owner(&repaired.directory))
        && old_owner != new_owner
    {
        writeln!(out, "  chown -R {old_owner} {new}    # the owner of {old}")?;
    }
    let mut aside = full(&found.directory).into_os_string();
    aside.push(".damaged");
    let aside = word(Path::new(&aside));
    writeln!(out, "  mv {old} {aside}\n  mv {new} {old}")?;
    writeln!(
        out,
        "and start the daemon; remove {aside} when you need it no more"
    )?;
    out.flush()
}

/// A path that means the same wherever it is used, and without a slash at its end.
fn full(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A path as a word for a shell.
fn word(path: &Path) -> String {
    let text = full(path).display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

fn owner(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    Some(path.metadata().ok()?.uid())
}
